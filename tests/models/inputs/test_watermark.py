"""The watermark never goes back, and one mad clock does not move it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.inputs.watermark import Watermark

JUMP = 100.0
IDS = count()


@dataclass
class Held:
    """A record with a time and an id of its own."""

    time: float
    input: int = 0
    body: Any = field(default_factory=lambda: SimpleNamespace(event_id=str(next(IDS))))


@given(st.lists(st.floats(-1e9, 1e9)))
def test_it_is_the_largest_time_seen(times: list[float]):
    """And so never goes back, whatever comes."""
    watermark = Watermark(JUMP, 3)
    reached = [watermark.advance(time) for time in times]
    assert reached == [max(times[: n + 1]) for n in range(len(times))]


def test_only_what_is_more_than_the_jump_ahead_is_doubted():
    """Exactly the jump is believed; the past is never doubted."""
    watermark = Watermark(JUMP, 3)
    watermark.advance(1_000.0)
    assert not watermark.doubts(1_100.0, 9_000_000)
    assert watermark.doubts(1_100.1, 9_000_000)
    assert not watermark.doubts(-1e9, 9_000_000)


def test_a_time_that_kafka_s_timestamp_confirms_is_believed():
    """Within the jump before it; what lies further before it is a replay, which may be wrong."""
    watermark = Watermark(JUMP, 3)
    watermark.advance(0.0)
    assert not watermark.doubts(5_000.0, 4_900_000)
    assert not watermark.doubts(5_000.0, 5_100_000)
    assert watermark.doubts(5_000.0, 5_101_000)


def test_before_it_exists_the_kafka_timestamp_stands_in():
    """Old events of a backfilled topic are believed."""
    watermark = Watermark(JUMP, 3)
    assert not watermark.doubts(0.0, 9_000_000)


@given(st.lists(st.floats(0, 1e6)), st.floats(0, 1e6))
def test_it_is_set_back_and_never_forward(times: list[float], time: float):
    """What was set aside is refused by it."""
    watermark = Watermark(JUMP, 3)
    for each in times:
        watermark.advance(each)
    reached, held = watermark.time, Held(2e6)
    watermark.set_aside(held)
    assert watermark.set_back(time) == [held]
    assert watermark.time == (None if reached is None else min(reached, time))


def test_records_are_believed_once_enough_agree_and_in_the_order_of_time():
    """Two wait, the third frees all three."""
    watermark = Watermark(JUMP, 3)
    first, second, third = Held(1_000.0), Held(1_090.0), Held(950.0)
    assert watermark.set_aside(first) == ([], [])
    assert watermark.set_aside(second) == ([], [])
    assert watermark.set_aside(third) == ([third, first, second], [])
    assert watermark.aside == []


def test_one_that_disagrees_starts_anew():
    """What was held before it is refused."""
    watermark = Watermark(JUMP, 3)
    first, second = Held(1_000.0), Held(9_000.0)
    watermark.set_aside(first)
    assert watermark.set_aside(second) == ([], [first])
    assert watermark.aside == [second]


def test_an_ordinary_record_ends_the_doubt():
    """All that was held is refused, once."""
    watermark = Watermark(JUMP, 3)
    first = Held(1_000.0)
    watermark.set_aside(first)
    assert watermark.refuse() == [first]
    assert watermark.refuse() == []


@given(st.lists(st.floats(0, 1e6)), st.integers(1, 4))
@pytest.mark.filterwarnings("error")
def test_none_is_lost_and_few_are_held(times: list[float], agree: int):
    """Each doubted record is held, believed or refused once; fewer than `agree` are held."""
    watermark = Watermark(JUMP, agree)
    records = [Held(time) for time in times]
    seen: list[Held] = []
    for record in records:
        believed, refused = watermark.set_aside(record)
        seen += [*refused, *believed]
        assert len(watermark.aside) < agree
        if believed:
            assert len(believed) >= agree
            assert believed == sorted(believed, key=lambda held: held.time)
    seen += watermark.refuse()
    assert sorted(map(id, seen)) == sorted(map(id, records))
