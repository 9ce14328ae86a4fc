"""What a declaration's functions do on recorded data, and what comes along has no mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from models.validation import Trial, first, mistakes, running, sample
from tests.support.use_cases.declared_shop import SOURCE, changed, declared


def tried(old: str, new: str) -> tuple[Trial, int]:
    """What running the changed source finds, and the line of the change."""
    source, line = changed(old, new)
    use_case = declared(source)
    return running(use_case, first(use_case), source), line


def test_running_takes_ten_events_and_their_outcomes() -> None:
    """The first ten events, with what the world answered to them."""
    trial, _ = tried("range(12)", "range(12)")
    assert (trial.events, trial.outcomes, trial.mistakes) == (10, 10, [])
    assert len(trial.examples) == 10


def test_outcomes_that_come_long_after_are_found_too() -> None:
    """The ten first events of a stream have their outcomes thousands of records later."""

    def late() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for n in range(5_000):
            yield "event", {"event_id": str(n)}
        for n in range(5_000):
            yield "outcome", {"event_id": str(n)}

    rows = list(sample(late()))
    assert [kind for kind, _ in rows].count("outcome") == 10


BROKEN = [
    ("lambda event: event.event_time.hour", "lambda event: event.hour", "feature 'hour' failed"),
    ("lambda event: event.event_time.hour", "lambda event, x: x['usual']", "KeyError: 'usual'"),
    ("lambda event: event.event_time.hour", 'lambda event: float("nan")', "must be finite"),
    ("lambda event: event.price", "lambda event: None", "the baseline failed"),
    ("lambda event, outcome: outcome.amount", "lambda event, outcome: None", "nothing can be"),
    ("abs(said - outcome.amount)", "None", "KPI's cost of event 'e0' is None"),
    ("abs(said - outcome.amount)", "1 / 0", "ZeroDivisionError"),
    ('"tree": lambda: compose.Select("price")', '"tree": lambda: compose.Select("no")', "failed"),
]


@pytest.mark.parametrize(("old", "new", "reason"), BROKEN)
def test_a_function_that_fails_on_the_data_is_found(old: str, new: str, reason: str) -> None:
    """Only running can tell, and it tells once, at the function's own line."""
    trial, line = tried(old, new)
    mistake = [m for m in trial.mistakes if reason in m.reason]
    assert [m.line for m in mistake] == [line], [(m.line, m.reason) for m in trial.mistakes]
    assert mistake[0].hint


RECORDED = [
    ('"price": 1.0 + n}', '"price": "cheap"}', "price"),
    ('"price": 1.0 + n}', '"price": {1, 2}}', "TypeError"),
    ('yield "event", {**row, "event_time": time}', 'yield "evnt", {}', "it gave 'evnt'"),
    ("range(12)", "reversed(range(12))", "after a later record"),
    ("range(12)", "[1 / 0]", "ZeroDivisionError"),
]


@pytest.mark.parametrize(("old", "new", "reason"), RECORDED)
def test_recorded_data_that_cannot_be_used_is_found(old: str, new: str, reason: str) -> None:
    """Wrong fields, no JSON, another kind, another order, a generator that fails."""
    trial, _ = tried(old, new)
    at = SOURCE[: SOURCE.index("    recorded=recorded")].count("\n") + 1
    mistake = [m for m in trial.mistakes if reason in m.reason]
    assert [m.line for m in mistake] == [at], [(m.line, m.reason) for m in trial.mistakes]


def test_a_kpi_outside_its_range_is_doubted() -> None:
    """It is cut to the range, which the author may not have meant."""
    trial, _ = tried("range=(0, 100)", "range=(50, 100)")
    assert trial.mistakes == []
    assert "outside its range" in trial.warnings[0]


def test_recorded_events_without_outcomes_are_doubted() -> None:
    """Then nothing of label, KPI and learning was tried."""
    trial, _ = tried('yield "outcome", {"event_id"', 'row = {"event_id"')
    assert "has an outcome" in trial.warnings[0]


@pytest.mark.parametrize("name", ["phishing", "flight_eta"])
def test_the_use_cases_that_come_along_have_no_mistakes(name: str) -> None:
    """They are what newcomers copy."""
    from streams.config.use_case_loader import load

    loaded = load(str(Path(__file__).parents[3] / "usecases" / f"{name}.py"))
    assert [m.reason for m in mistakes(loaded.use_case, loaded.source)] == []
    trial = running(loaded.use_case, first(loaded.use_case), loaded.source)
    assert [m.reason for m in trial.mistakes] == []
