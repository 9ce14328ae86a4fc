"""The commands that pages show, run as they stand: those that need no server.

What needs one is run by the integration tests of its own command; here its help is.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.config.gc_tuning import YOUNG_MAX
from tests.project.test_docs import COMMANDS, PAGES, shown
from tests.support.commands import Command

MEANT = {"USECASE": "flight_eta", "FILE": "usecases/flight_eta.py", "NAME": "mine", "DIR": "made"}
"""What stands for what in a page."""
ALONE = ("topics", "schema", "new", "check", "backtest", "profile")
LONG = ("--against", "--partitions", "--from-backtest")
"""Options with which a command takes minutes, or files that no page makes."""


def commands() -> list[list[str]]:
    """Every command line of every page, in its order, with what is meant by its words."""
    lines: dict[tuple[str, ...], None] = {}
    for page in PAGES:
        for line in shown(page.read_text("utf-8")):
            words = shlex.split(line)[1:]
            lines[tuple(MEANT.get(word, word) for word in words)] = None
    return [list(words) for words in lines]


def name_of(words: list[str]) -> str:
    """The command's full name; empty if it is a group's, or riverrun's own."""
    names = (" ".join(words[:size]) for size in (2, 1))
    return next((name for name in names if name in COMMANDS), "")


@pytest.fixture
def riverrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Commands in a folder with what the pages' reader has there by then."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    (tmp_path / "usecases").symlink_to(Path(__file__).parents[2] / "usecases")
    rows = "".join(f"v{n},2024-05-01T08:{n:02d}:00Z,north,{n}\n" for n in range(60))
    (tmp_path / "visits.csv").write_text("event_id,event_time,place,minutes\n" + rows)
    return Command(monkeypatch, capsys, tmp_path)


RUN = [
    words
    for words in commands()
    if name_of(words) in ALONE and len(words) > 1 and not set(words) & set(LONG)
    if words[0] != "profile" or "visits.csv" in words  # of a topic, it needs servers
]


@pytest.mark.slow
def test_what_the_readme_begins_with_runs_from_end_to_end(riverrun: Command) -> None:
    """A new use case is written, checked and run on its own data, with exit code 0 each time."""
    (riverrun.folder / "usecases").unlink()  # an author's own folder is empty
    assert riverrun("new", "my_case").code == 0
    assert riverrun("check", "usecases/my_case.py").code == 0
    done = riverrun("backtest", "my_case")
    assert done.code == 0
    assert done.out


def params() -> Iterator[Any]:
    """Those that are not of the README's own case; `check` makes models in three processes."""
    for words in RUN:
        if "my_case" not in " ".join(words):
            marks = [pytest.mark.slow] if words[0] == "check" else []
            yield pytest.param(words, id=" ".join(words), marks=marks)


@pytest.mark.parametrize("words", list(params()))
def test_a_command_that_is_shown_runs(riverrun: Command, words: list[str]) -> None:
    """As it stands, with exit code 0."""
    if words[0] == "new":
        words = [*words, "--to", "new.py"]
    done = riverrun(*words)
    assert done.code == 0, done.err
    assert done.out


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_without_colours_where_they_are_not_wanted(
    name: str, riverrun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR is heard, and off a terminal there are none anyway."""
    monkeypatch.setenv("NO_COLOR", "1")
    result = riverrun(*name.split(), "--help")
    assert result.code == 0
    assert "Usage" in result.out
    assert "\x1b[3" not in result.out


@pytest.mark.slow
@pytest.mark.parametrize("group", sorted({name.split()[0] for name in COMMANDS}))
def test_a_misspelt_command_is_answered_with_the_right_one(group: str, riverrun: Command) -> None:
    """Did you mean …? with exit code 2."""
    if len(group) < 4:
        return
    result = riverrun(group[:-1] + group[-1] * 2)
    assert result.code == 2
    assert group in result.err


def test_help_waits_for_no_heavy_import() -> None:
    """The command line lists its commands without River, SciPy or an HTTP client: `--help`, and
    every command that needs none of them, starts in a third of the time.
    """
    heavy = {"river", "scipy", "numpy", "aiohttp", "faust"}
    code = f"import streams.cli, sys; sys.exit(' '.join({heavy!r} & sys.modules.keys()) or 0)"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_runs_with_the_collector_tuned() -> None:
    """Every command does, not only a worker: the collector's default costs a backtest a quarter."""
    code = (
        "import atexit, gc, sys; from streams.cli import main; sys.argv[1:] = ['--version']; "
        "atexit.register(lambda: print(gc.get_threshold()[0])); main()"
    )
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == str(YOUNG_MAX)
