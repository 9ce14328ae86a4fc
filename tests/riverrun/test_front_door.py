"""What people import from riverrun, and the command line's own options."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import riverrun
import riverrun.client
import riverrun.testing
from riverrun.testing import Loop, RejectedRecord
from streams import cli
from streams.cli import PANELS, app
from streams.config.use_case_loader import load
from tests.support.loop import SOURCE

ROOT = Path(riverrun.__file__).parents[1]


@pytest.mark.parametrize("module", [riverrun, riverrun.client, riverrun.testing])
def test_a_public_module_names_what_it_offers(module: object) -> None:
    """`__all__` is sorted, and everything in it exists."""
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", ["riverrun", "models", "schemas", "streams", "usecases"])
def test_each_package_is_typed(package: str) -> None:
    """A type checker of those who import it reads its annotations (PEP 561)."""
    assert (ROOT / package / "py.typed").exists()


def test_importing_riverrun_imports_neither_river_nor_a_server() -> None:
    """A consumer who has only `riverrun[consumer]` can import it."""
    code = (
        "import riverrun, sys; "
        "loaded = {'river', 'faust', 'aiokafka', 'redis'} & set(sys.modules); "
        "sys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version_is_that_of_the_distribution() -> None:
    """`riverrun --version` and `python -m riverrun --version`."""
    command = [sys.executable, "-P", "-m", "riverrun", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        done.stdout == f"riverrun {version('riverrun')}\n" == f"riverrun {riverrun.__version__}\n"
    )


def test_each_command_is_in_one_panel_and_has_the_file_of_its_name() -> None:
    """A reader finds a command by its name; `riverrun --help` lists each file's command."""
    pairs = {"down": "up", "unfreeze": "freeze", "unmute": "mute"}
    commands = [
        *(command.name for command in app.registered_commands),
        *(group.name for group in app.registered_groups),
    ]
    assert len(commands) == len(set(commands)) == sum(map(len, PANELS.values()))
    folder = Path(cli.__file__).parent
    files = {file.stem for file in folder.glob("*/[!_]*.py") if file.parent.name != "shared"}
    assert {pairs.get(str(name), str(name)).replace("-", "_") for name in commands} == files


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """The parcels' use case in memory."""
    path = tmp_path / "parcels.py"
    path.write_text(SOURCE)
    return Loop(load(str(path)).use_case)


EVENT = {
    "event_id": "a",
    "event_time": "2026-01-01T08:00:00Z",
    "depot": "north",
    "weight": 2.0,
    "miles": 3,
}
OUTCOME = {
    "event_id": "a",
    "outcome_time": "2026-01-01T10:00:00Z",
    "depot": "north",
    "hours": 2.0,
}


def test_a_use_case_is_driven_in_memory(loop: Loop) -> None:
    """An event gives its prediction, its outcome the example."""
    prediction = loop.event(**EVENT)
    assert prediction is not None
    assert prediction["event_id"] == "a"
    example = loop.outcome(**OUTCOME)
    assert example is not None
    assert example["label"] == 2.0
    assert loop.topics["examples"] == [example]


def test_a_repeated_event_gives_no_second_prediction(loop: Loop) -> None:
    """As on the topics."""
    loop.event(**EVENT)
    assert loop.event(**EVENT) is None


def test_a_record_that_is_refused_says_why(loop: Loop) -> None:
    """Its dead letter goes with it."""
    with pytest.raises(RejectedRecord, match="event_time") as refused:
        loop.event(**EVENT | {"event_time": "yesterday"})
    assert refused.value.dead_letter["error"] in str(refused.value)
