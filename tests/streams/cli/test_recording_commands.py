"""What the commands make of recordings, and tell of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.errors import ConfigError
from streams.offline.backfill import Backfill
from streams.offline.cpu_sampler import READING, Cpu, whose
from streams.recordings import Recording
from tests.support.commands import Command
from tests.support.use_cases import clinic
from tests.support.use_cases.clinic import CLINIC, row, table, visit


@pytest.fixture
def riverrun(riverrun: Command) -> Command:
    """The command in a folder that holds the clinic's file."""
    source = Path(clinic.__file__).read_text("utf-8")
    (riverrun.folder / "clinic.py").write_text(source)
    return riverrun


def test_a_backtest_tells_what_was_read_and_left_out(riverrun: Command) -> None:
    """For people on standard error, for programs in the document."""
    (riverrun.folder / "a.csv").write_text(
        table(row(0), row(1, age="old"), row(2)).replace(",", ";")
    )
    result = riverrun("backtest", "clinic.py", "--source", "a.csv", "--json")
    assert result.code == 0, result.err
    assert "a.csv: CSV, delimiter ';'" in result.err
    assert "a.csv, line 3, column age: 'old' is not a number" in result.err
    assert result.json["recording"]["refused"] == 1
    assert result.json["runs"][0]["scored"] == 2
    more = riverrun("backtest", "clinic.py", "--source", "a.csv", "--source", "a.csv", "--json")
    assert more.json["recording"]["events"] == 4


def test_a_run_of_nothing_is_an_error(riverrun: Command) -> None:
    """In every command that reads recordings."""
    (riverrun.folder / "a.csv").write_text(table(row(0, event_time="20240501")))
    for command in (
        ("backtest", "clinic.py", "--source", "a.csv"),
        ("check", "clinic.py", "--source", "a.csv"),
        ("cost", "clinic.py", "--source", "a.csv"),
        ("worth", "clinic.py", "--source", "a.csv"),
        ("learning-curve", "clinic.py", "--source", "a.csv"),
    ):
        result = riverrun(*command)
        assert result.code == 5, command
        assert "20240501 is not a time" in result.err + result.out, command


def test_reading_is_not_charged_to_the_run() -> None:
    """What it costs to read a recording is nobody's cost of running."""
    whose_slices = []

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        whose_slices.append(whose(sys._getframe()))
        yield "event", {"event_id": "a"}

    assert len(list(Recording(CLINIC, "rows", rows))) == 1
    assert whose_slices == [READING]
    cpu = Cpu(samples=Counter({READING: 3, "riverrun": 1}), seconds=4.0)
    assert cpu.shares() == {"riverrun": 1.0}


def test_a_check_runs_on_a_recording(riverrun: Command) -> None:
    """Of a use case that has none of its own."""
    (riverrun.folder / "a.csv").write_text(table(*(row(n) for n in range(12))))
    assert riverrun("check", "clinic.py", "--json").json["ran"] is None
    result = riverrun("check", "clinic.py", "--source", "a.csv", "--json")
    assert result.json["ran"] == {"events": 10, "outcomes": 10}
    assert result.json["mistakes"] == []


def test_a_profile_keeps_text_and_tells_what_is_no_time(riverrun: Command) -> None:
    """NA among texts is text, among numbers it is missing; mixed times end nothing."""
    lines = [
        visit(0, origin="NA"),
        visit(1, event_time=1714525200000),
        visit(2, event_time=20240501),
    ]
    (riverrun.folder / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{broken\n")
    result = riverrun("profile", "a.jsonl", "--json")
    assert result.code == 0, result.err
    assert result.json["fields"]["origin"]["types"] == {"text": 1}
    assert result.json["time"]["not_a_time_first"] == 20240501
    assert result.json["recording"]["refused"] == 1
    rows = [row(0), row(1, age="NA"), row(2, event_time="20240501")]
    (riverrun.folder / "a.csv").write_text(table(*rows))
    (riverrun.folder / "b.csv").write_text(row(0) + "\n" + row(1))
    assert "is it one?" in riverrun("profile", "b.csv").err
    shown = riverrun("profile", "a.csv")
    assert "write 2024-03-01T18:30:00+00:00" in shown.out
    assert riverrun("profile", "a.csv", "--json").json["fields"]["age"]["absent"] == {"NA": 1}


async def test_a_recording_out_of_order_is_refused_before_it_is_written() -> None:
    """What a file's rows are sorted for, a function of the author's has to do itself."""
    work = Backfill(CLINIC, cast("Any", None), {}, 1)
    rows = [("event", _event(3)), ("event", _event(1))]
    with pytest.raises(ConfigError, match=r"comes after 'v3'.*Nothing was written"):
        await work.run(Recording(CLINIC, "own", lambda: rows))
    with pytest.raises(ConfigError, match=r"No record of it can be used. Nothing was written"):
        await work.run([("event", {"event_id": "x"})])


def _event(number: int) -> dict[str, Any]:
    stay = ("outcome_time", "nights")
    return {name: value for name, value in visit(number).items() if name not in stay}
