"""Inputs are taken in the order of time, and no feature knows what comes after its event."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from river import stream

from models.inputs.merge_order import choose
from models.replay.backtest import aligned
from tests.support.one_partition import START
from tests.support.task_runs import CALM, FEW, Given, Inputs, Run, inputs


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=25),
)
@settings(max_examples=200, deadline=None)
def test_alignment_is_river_s_question_and_answer_order(rows: list[tuple[int, int]]):
    """For any times with ties and any delays: smallest time first, on equal times answers first."""
    times, now = [], 0
    for apart, _ in rows:
        now += apart
        times.append(now)
    delays = [delay for _, delay in rows]
    moments, later = iter(times), iter(delays)
    river = [
        ("event" if y is None else "outcome", i)
        for i, _, y in stream.simulate_qa(
            [({}, 1) for _ in rows],
            moment=lambda _x: START + timedelta(seconds=next(moments)),
            delay=lambda _x, _y: timedelta(seconds=next(later)),
        )
    ]
    due = sorted(
        (time + delay, n) for n, (time, delay) in enumerate(zip(times, delays, strict=True))
    )
    taken = aligned(
        [
            iter([SimpleNamespace(due=float(t), kind=("event", n)) for n, t in enumerate(times)]),
            iter([SimpleNamespace(due=float(t), kind=("outcome", n)) for t, n in due]),
        ]
    )
    assert list(_after_its_event(one.kind for one in taken)) == river


def _after_its_event(taken: Iterator[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """An outcome that comes before its event waits for it, as it does in the task."""
    early, seen = set(), set()
    for what, n in taken:
        if what == "outcome" and n not in seen:
            early.add(n)
            continue
        yield what, n
        seen.add(n)
        if n in early and what == "event":
            early.remove(n)
            yield "outcome", n


def test_choice_among_inputs():
    """Commands at once, then the smallest time; on equal times history, outcomes, events."""
    assert choose([None] * 4) is None
    assert choose([5.0, 4.0, None, None]) == 1
    assert choose([3.0, 4.0, None, None]) == 0
    assert choose([5.0, 5.0, float("-inf"), 5.0]) == 2
    assert choose([5.0, 5.0, None, 5.0]) == 3
    assert choose([5.0, 5.0, None, None]) == 1
    assert choose([None, None, None, 1.0]) == 3


@given(given_=inputs(), cut=st.integers(0, 3_000), random=st.randoms(use_true_random=False))
@FEW
def test_no_feature_knows_what_comes_after_its_event(given_: Inputs, cut: int, random: Random):
    """All that is later than a time is changed and shuffled: no feature up to that time differs.

    Of what comes in time order, that is: a record that its own topic holds back is known late.
    """
    events, outcomes = _in_time(given_.events), _in_time(given_.outcomes)
    plain = _features(events, outcomes)
    shuffled = _features(_shuffled(events, cut, random), _shuffled(outcomes, cut, random))
    until = {event_id for event_id, (time, _) in plain.items() if time <= cut}
    assert until == {event_id for event_id, (time, _) in shuffled.items() if time <= cut}
    for event_id in until:
        assert shuffled[event_id] == plain[event_id]


def _features(events: list[Given], outcomes: list[Given]) -> dict[str, tuple[float, Any]]:
    """Event id → (seconds since the start, features), taken in aligned order."""
    task = Run(CALM)
    taken = aligned([map(task.read, events), map(task.read, outcomes)])
    task.outputs = [out for one in taken for out in task.task.apply(one)]
    orders = {}
    for row in task.of("features"):
        time = datetime.fromisoformat(row["event_time"])
        orders[row["event_id"]] = ((time - START).total_seconds(), row["features"])
    return orders


def _time(record: Given) -> datetime:
    fields = orjson.loads(record.value)
    return datetime.fromisoformat(fields.get("event_time") or fields["outcome_time"])


def _in_time(records: list[Given]) -> list[Given]:
    return sorted((one for one in records if one.value != b"garbage"), key=_time)


def _shuffled(records: list[Given], cut: int, random: Random) -> list[Given]:
    """Records up to `cut` as they are; the later ones in another order with other values."""
    until = START + timedelta(seconds=cut)
    later = []
    for record in records:
        if _time(record) > until:
            fields = orjson.loads(record.value)
            changed = "weight" if "weight" in fields else "took"
            fields[changed] = random.random() * 100
            later.append(record._replace(value=orjson.dumps(fields)))
    random.shuffle(later)
    return [*(one for one in records if _time(one) <= until), *later]
