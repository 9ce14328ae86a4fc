"""Data that people see acts on no terminal, no log and no shell."""

from __future__ import annotations

import io
import json
import logging
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from models.inputs.decoder import _parsed
from schemas.command_line import command_line, quoted
from schemas.errors import Malformed
from schemas.events import Event, Outcome
from schemas.printable import json_text, printable
from streams.cli.shared.terminal import PrintingConsole
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.telemetry.log_format import JsonLines, LogLines, quieten_client
from streams.web.state.page_model import Case
from tests.support.loop import SOURCE

HOSTILE = [
    "\x1b]52;c;cm0gLXJmIH4=\x07",  # OSC 52: into the clipboard
    "\x1b[2J\x1b[1;1Hall is well",
    "\x9b31m",  # CSI as one C1 character
    "first\r\nsecond",
    "gate\u202e4711",  # shown from right to left
    "line\u2028separator",
    "nul\x00",
]
SHELL_SIGNS = ["$(touch /tmp/owned)", "`id`", "a; id", "it's", 'say "so"', "a && b", "#1", "*", "~"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_prints_what_data_would_have_it_obey(text: str, terminal: bool) -> None:
    """As a line, as markup, in a table's cell; rich's own styles stay."""
    out = io.StringIO()
    console = PrintingConsole(file=out, force_terminal=terminal, width=200)
    console.print(text, markup=False, style="red")
    console.print(f"[bold]{text}[/]")
    table = Table("name", box=None)
    table.add_row(text)
    console.print(table)
    written = out.getvalue()
    own = ("\x1b[31m", "\x1b[1m", "\x1b[0m", "\x1b[1;", "\n")
    for code in own:
        written = written.replace(code, "")
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written
    assert not any(sign in written for sign in "\x07\x9b\r\u202e\u2028\x00")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("model", [Event, Outcome])
def test_an_id_with_a_control_character_is_refused(model: type, text: str) -> None:
    """At the door, as malformed, with what is wrong and without the character itself."""
    time = "event_time" if model is Event else "outcome_time"
    value = json.dumps({"event_id": text, time: "2024-03-01T08:00:00Z"}).encode()
    with pytest.raises(Malformed) as refused:
        _parsed(model, value)
    assert "control character" in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("text", ["Zürich 7", "東京-12", "o'hare", "👩‍✈️-9", "a$(b)"])
def test_every_other_text_is_an_id(text: str) -> None:
    """Letters of any language, emoji with joiners, signs of the shell."""
    value = json.dumps({"event_id": text, "event_time": "2024-03-01T08:00:00Z"}).encode()
    assert _parsed(Event, value).event_id == text


@pytest.mark.parametrize("text", [*HOSTILE, *SHELL_SIGNS, "--help", "-x"])
def test_a_copied_command_line_is_one_printable_line_of_these_words(text: str) -> None:
    """A shell reads exactly the text, as one word, and as data rather than as an option."""
    line = command_line("explain", "flight_eta", data=[text], options=["--prefix", "p."])
    assert line.isprintable()
    shell = "for word; do printf '%s\\0' \"$word\"; done"
    script = line.replace("riverrun", f"bash -c {shlex.quote(shell)} riverrun", 1)
    read = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    words = read.decode().split("\0")[:-1]
    if "\x00" in text:  # no word of a process holds a NUL: nothing is run with another id
        assert text not in words
        return
    assert text in words
    assert not text.startswith("-") or words.index("--") == words.index(text) - 1


@given(st.text(max_size=30))
def test_what_is_shown_is_printable_and_plain_text_stays(text: str) -> None:
    """Of any text; what needs no escape is not changed."""
    assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in printable(text))
    assert quoted(text) == shlex.quote(text) or printable(text) != text
    document = json.dumps({"v": text}, ensure_ascii=False)
    assert json.loads(json_text(document)) == {"v": text}


def test_the_page_quotes_what_it_offers_to_copy(tmp_path: Any) -> None:
    """The case's file, with a blank in its path, and an id with signs of the shell."""
    file = tmp_path / "my cases" / "parcels.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    case = Case(load(str(file)), Settings(kafka_bootstrap_servers="127.0.0.1:1"))
    line = case.command("explain", case.file, data=["x; rm -rf ~"])
    assert shlex.split(line) == ["riverrun", "explain", str(file), "x; rm -rf ~"]


def test_the_hint_how_to_release_an_outcome_is_quoted() -> None:
    """An id that begins with a hyphen, or holds signs of the shell, stays data."""
    line = command_line("release", "parcels", data=["-f $(id)"], options=["--why", "reason"])
    assert shlex.split(line)[-2:] == ["--", "-f $(id)"]


def test_a_kafka_client_says_nothing_that_is_retried() -> None:
    """A command's own words are what is read: no warning at each connection to our own Kafka."""
    client = logging.getLogger("aiokafka")
    level = client.level
    try:
        quieten_client()
        assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.WARNING)
    finally:
        client.setLevel(level)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_data_forges_a_log_line(text: str) -> None:
    """For people and as JSON: one record is one line, and a terminal only prints it."""
    record = logging.LogRecord(
        "riverrun.ops", logging.WARNING, __file__, 1, "%s by %s", ("promote", text), None
    )
    line, row = LogLines().format(record), JsonLines().format(record)
    assert line.isprintable()
    assert "\n" not in row
    assert not any(sign in row for sign in "\x1b\x9b\u202e\u2028\r\x00")
    assert json.loads(row)["message"] == f"promote by {text}"
    assert json.loads(row)["level"] == "warning"


def test_a_traceback_keeps_its_lines_and_gives_no_order() -> None:
    """For people; what the error quotes is escaped."""
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("riverrun", logging.ERROR, __file__, 1, "failed", (), told)
    text = LogLines().format(record)
    assert text.count("\n") > 2
    assert "\x1b" not in text
