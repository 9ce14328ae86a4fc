"""`riverrun check` measures what a step costs, with reasons, and once there are many categories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from river import compose, linear_model, preprocessing

from models.features.window_declarations import over_events
from models.spec.use_case import Kpi, UseCase
from models.values.durations import hours
from schemas.events import Event, Outcome
from streams.config.use_case_loader import LoadedUseCase
from streams.offline import check

BEGIN = datetime(2022, 1, 3, tzinfo=UTC)


class Call(Event):
    """Somebody calls."""

    line: str
    caller: str


class Hung(Outcome):
    """After so many seconds."""

    seconds: float


def lean() -> Any:
    """One input for the caller of this event."""
    onehot = preprocessing.OneHotEncoder(drop_zeros=True)
    return compose.Select("caller") | onehot | linear_model.LinearRegression()


def wide() -> Any:
    """A zero for every caller ever seen."""
    return (
        compose.Select("caller") | preprocessing.OneHotEncoder() | linear_model.LinearRegression()
    )


def recorded() -> Any:
    """The same two callers."""
    for n in range(40):
        time = BEGIN + timedelta(minutes=n)
        yield "event", {"event_id": f"c{n}", "event_time": time, "line": "1", "caller": "ab"[n % 2]}
        late = time + timedelta(seconds=9)
        yield "outcome", {"event_id": f"c{n}", "outcome_time": late, "line": "1", "seconds": 9.0}


def case(make: Any) -> UseCase:
    """How long a call takes."""
    return UseCase(
        name="calls", owner="tests", event=Call, outcome=Hung, key="line",
        label=lambda _e, o: o.seconds, features=Call.fields("caller"), models={"m": make},
        champion="m", baseline=lambda _e: 10.0, metric="mae", horizon=hours(1),
        kpi=Kpi(lambda _e, o, s: abs(o.seconds - s), unit="s", better="lower", range=(0, 99)),
        recorded=recorded,
    )  # fmt: skip


@pytest.mark.parametrize(("make", "warned"), [(lean, False), (wide, True)])
def test_a_step_that_grows_with_the_categories_is_measured_and_told(
    make: Any, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 callers that the two recorded ones do not show; nothing is told where it is alike."""
    monkeypatch.setattr(check, "_check_seeds", lambda *_: None)
    examined = check.examine(LoadedUseCase(case(make), Path(__file__), "", "d"))
    assert examined.mistakes == []
    told = [warning for warning in examined.warnings if "values of caller" in warning]
    assert bool(told) is warned


def test_check_says_how_far_a_shared_window_is_behind():
    """A window by something else than the key is told with its bounds, one by the key is not."""
    by_caller = over_events(by="caller", last=hours(1)).count()
    by_line = over_events(by="line", last=hours(1)).count()
    shared = replace(case(lean), features={"calls": by_caller, "busy": by_line})
    assert check.staleness_of(shared) == {
        "calls": "counts the records of all partitions, at most 30 records and 60 seconds of event "
        "time behind; 30 minutes in a catch-up"
    }
