"""Commands on odd machines: closed streams, full disks, other locales; files that end Python."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from streams.config.process_env import only_one
from streams.config.use_case_loader import load
from tests.support.commands import Command

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `riverrun` as a shell starts it, with redirections."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -P -m streams.cli {command}', sys.executable],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_the_null_device(tmp_path: Path, closed: str) -> None:
    """No number of a standard stream goes to a file, and no command fails at its output."""
    done = shell(tmp_path, f"topics flight_eta {closed}")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert (b"flight_eta.events" in done.stdout) == (">&-" not in closed.split())


@pytest.mark.parametrize("command", ["topics flight_eta", "schema flight_eta"])
def test_a_full_disk_behind_an_output_is_told(tmp_path: Path, command: str) -> None:
    """One line and no traceback, whichever way a command prints."""
    done = shell(tmp_path, f"{command} > /dev/full")
    assert done.returncode == 5
    assert done.stderr.decode().splitlines() == [
        "riverrun: Cannot write: No space left on device. Make room there, or name another place."
    ]


def test_what_a_locale_lacks_is_escaped(tmp_path: Path) -> None:
    """In data and in use cases, which are UTF-8 wherever they are read."""
    rows = "id,at,Straße\n" + "".join(f"e{n},2024-03-01T08:0{n}:00Z,Ñ\n" for n in range(3))
    (tmp_path / "rows.csv").write_text(rows, "utf-8")
    done = shell(tmp_path, "profile rows.csv", **ASCII)
    assert done.returncode == 0, done.stderr
    assert b"Stra\\xdfe" in done.stdout
    (tmp_path / "mine.py").write_text("# Ñ\n", "utf-8")
    assert b"makes 0 use cases" in shell(tmp_path, "check mine.py", **ASCII).stdout


@pytest.mark.slow
def test_a_use_case_of_other_letters_is_checked_in_any_locale(tmp_path: Path) -> None:
    """Names of features travel between processes, too."""
    assert shell(tmp_path, "new mine").returncode == 0
    file = tmp_path / "usecases" / "mine.py"
    file.write_text(file.read_text("utf-8").replace('"busy"', '"größe"'), "utf-8")
    done = shell(tmp_path, "check mine", **ASCII)
    assert done.returncode == 0, done.stdout


def test_a_place_that_cannot_be_written_to_is_named(riverrun: Command) -> None:
    """Without a traceback."""
    (riverrun.folder / "file").write_text("x")
    refused = riverrun("new", "mine", "--to", "file/mine.py")
    assert refused.code == 5
    assert "Cannot use file: " in refused.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instead", "of"),
    [
        ("raise SystemExit(0)", "from __future__ import annotations"),
        ("exit()", 'over_events(by="depot", last=hours(1)).count()'),
        ("label=lambda event, outcome: exit()", "label=lambda event, outcome: outcome.minutes"),
        ("exit()\n    return 0", "return min(0.2 * abs(outcome.minutes - prediction), 3.0)"),
        ("exit()\n    numbers =", "numbers ="),
        ("exit()\n    for n in", "for n in"),
    ],
)
def test_a_file_that_ends_python_does_not_pass(riverrun: Command, instead: str, of: str) -> None:
    """`exit()` in any part of a use case is a mistake, and no check that found none."""
    riverrun("new", "mine")
    file = riverrun.folder / "usecases" / "mine.py"
    text = file.read_text("utf-8")
    assert of in text
    file.write_text(text.replace(of, instead), "utf-8")
    checked = riverrun("check", "mine")
    assert checked.code == 5
    assert "SystemExit" in checked.out
    assert " mistake" in checked.err


def test_a_file_that_is_no_python_is_told_so(riverrun: Command) -> None:
    """Its name is not looked for among the use cases; bytes that are no UTF-8 are named."""
    (riverrun.folder / "rows.csv").write_text("a")
    assert "rows.csv is no Python file" in riverrun("check", "rows.csv").err
    (riverrun.folder / "latin.py").write_bytes(b"# \xe9\n")
    assert "latin.py is no text in UTF-8" in riverrun("check", "latin.py").out


def test_a_second_backfill_at_once_is_refused(
    riverrun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would see an empty topic, and write all of it."""
    servers = "127.0.0.1:1"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    prefix = f"t{uuid.uuid4().hex}."
    with only_one("backfill", f"{prefix}flight_eta", servers):
        refused = riverrun("backfill", "flight_eta", "--limit", "1", "--prefix", prefix)
    assert refused.code == 4
    assert "runs for" in refused.err
    after = riverrun("backfill", "flight_eta", "--limit", "1", "--prefix", prefix)
    assert after.code == 3  # no server answers


@pytest.mark.slow
def test_an_interrupt_while_it_starts_has_no_traceback(tmp_path: Path) -> None:
    """Whatever is being imported when Ctrl-C comes."""
    code = (
        "import sys, types\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'streams.cli.author': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from streams.entry import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_what_is_hashed_is_what_is_run(riverrun: Command) -> None:
    """Bytecode of a file of the same time and size is not taken for it."""
    riverrun("new", "mine")
    file = riverrun.folder / "usecases" / "mine.py"
    before, times = load(str(file)), file.stat()
    py_compile.compile(str(file))
    file.write_text(before.source.replace("hours(12)", "hours(13)"), "utf-8")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = load(str(file))
    assert before.definition != after.definition
    assert (before.use_case.horizon, after.use_case.horizon) == (43_200.0, 46_800.0)


@pytest.mark.slow
def test_what_a_use_case_prints_is_no_result(riverrun: Command) -> None:
    """With --json, stdout holds one document."""
    riverrun("new", "mine")
    file = riverrun.folder / "usecases" / "mine.py"
    file.write_text(file.read_text("utf-8") + "print('hello')\n", "utf-8")
    tested = riverrun("backtest", "mine", "--json")
    assert tested.json["runs"]
    assert "hello" in tested.err


@pytest.mark.slow
def test_a_feature_that_remembers_is_found(riverrun: Command) -> None:
    """What it keeps is not part of the state, so nothing could be derived again."""
    riverrun("new", "mine")
    file = riverrun.folder / "usecases" / "mine.py"
    text = file.read_text("utf-8").replace("FEATURES = {", "SEEN: list[int] = []\nFEATURES = {")
    counted = '"hour": lambda event: SEEN.append(1) or len(SEEN),'
    file.write_text(text.replace('"hour": local_hour(zone="Europe/Berlin"),', counted), "utf-8")
    checked = riverrun("check", "mine")
    assert checked.code == 5
    assert "feature 'hour' is another when the same records are run again" in checked.out
