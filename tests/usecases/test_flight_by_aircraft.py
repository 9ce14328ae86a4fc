"""Keyed by aircraft, the flights have the floats of one partition on sixteen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from models.replay.backtest import Backtest
from models.validation import mistakes
from streams.config.use_case_loader import load
from usecases.flight_by_aircraft import FLIGHT_BY_AIRCRAFT

MAE_MAX = 10.4
"""Minutes over the year: as good as with the airport as key."""


def rows(events: int) -> Iterator[tuple[str, Any]]:
    """Yield the first flights."""
    count = 0
    for kind, fields in FLIGHT_BY_AIRCRAFT.recorded():  # type: ignore[misc]
        count += kind == "event"
        if count > events:
            return
        yield kind, fields


def predictions(partitions: int, events: int) -> dict[str, float]:
    """What was served of each flight."""
    backtest, served = Backtest(FLIGHT_BY_AIRCRAFT, partitions, "d"), {}
    for kind, fields in rows(events):
        for output in backtest.feed(kind, fields):
            assert output.kind != "dead-letter", output.value
            if output.kind == "predictions":
                row = orjson.loads(output.value)
                served[row["event_id"]] = row["value"]
    return served


def test_it_is_loaded_by_its_name():
    """`riverrun backtest flight_by_aircraft` finds one use case in its file."""
    assert load("flight_by_aircraft").use_case.name == "flight_by_aircraft"


def test_the_number_of_partitions_changes_no_prediction():
    """Windows by airport and route are shared, and so is the model."""
    assert not mistakes(FLIGHT_BY_AIRCRAFT)
    assert len(FLIGHT_BY_AIRCRAFT.shared_windows) > 10
    one = predictions(1, 250)
    assert len(one) == 250
    assert predictions(16, 250) == one


@pytest.mark.soak
def test_over_the_year_it_is_as_good_as_with_the_airport_as_key():
    """Its mean absolute error over all flights of 2013, on sixteen partitions."""
    backtest = Backtest(FLIGHT_BY_AIRCRAFT, 16, "d")
    for kind, fields in rows(10**9):
        backtest.feed(kind, fields)
    scores = [task.metrics.total().scores["served"] for task in backtest.tasks.values()]
    assert sum(row[2] for row in scores) / sum(row[0] for row in scores) <= MAE_MAX
