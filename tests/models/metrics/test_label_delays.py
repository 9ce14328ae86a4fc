"""How long labels take, in the partition task: curves, records, and labels that stop."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import orjson
import pytest

from models.metrics.label_delays import delays_of
from models.spec.use_case import Segments
from models.task.checkpoint import parts_of, take_parts
from models.values.durations import hours, minutes
from schemas import records
from tests.support.one_partition import Partition, order, use_case


def play(feed: Partition, count: int, *, first: int = 0, share: float = 1.0) -> None:
    """An event a minute, `share` of the outcomes after 5 to 20 minutes, in the order of time."""
    draw, due = Random(first), []
    for n in range(first, first + count):
        now = 60.0 * n
        for at, event_id in sorted(entry for entry in due if entry[0] <= now):
            due.remove((at, event_id))
            feed.outcome(event_id, at)
        feed.event(f"e{n}", now, items=1 + n % 2)
        if draw.random() < share:
            due.append((now + draw.uniform(300, 1_200), f"e{n}"))


def reported(feed: Partition) -> list[dict[str, Any]]:
    """The delay records of a report, each held against its model."""
    rows = [orjson.loads(o.value) for o in feed.task.report() if o.kind == "delays"]
    for row in rows:
        records.Delays.model_validate(row)
    return rows


@pytest.mark.slow
def test_the_delay_curve_of_all_and_of_each_segment_is_reported_and_adds_up() -> None:
    """90 % of labels come after 5 to 20 minutes: plateau, quantiles and horizon from records."""
    one = Partition(use_case(segments=Segments("items", limit=5)))
    two = Partition(use_case(segments=Segments("items", limit=5)))
    play(one, 1_500, share=0.9)
    play(two, 1_500, first=5_000, share=0.9)
    curves = delays_of([*reported(one), *reported(two)], hours(1))
    assert list(curves) == [None, "1", "2"]
    whole = curves[None]
    assert whole["labels"] == curves["1"]["labels"] + curves["2"]["labels"] > 2_000
    assert 0.88 < whole["plateau"] < 0.93
    assert 700 < whole["quantiles_s"]["0.5"] < 900
    assert 1_150 < whole["proposed_horizon_s"] < 1_400
    assert whole["share_at_horizon"] == whole["plateau"]
    assert reported(one) == [], "nothing changed since"


def test_what_never_comes_and_what_comes_late_is_in_the_curve() -> None:
    """A label after its horizon is not learnt and counts all the same; the rest never came."""
    feed = Partition(use_case(horizon=hours(1), id_retention=hours(10), max_jump=1e9))
    for n in range(300):
        feed.event(f"e{n}", 60.0 * n)
        if n >= 120 and n % 2:
            feed.outcome(f"e{n - 120}", 60.0 * n + 1)
    feed.event("end", 60.0 * 300 + hours(9))
    assert feed.task.counts["late"] == 90
    curve = feed.task.maturity.arrivals.curve
    assert curve.labels == 90
    assert 0.25 < delays_of(reported(feed), hours(1))[None]["plateau"] < 0.35


@pytest.mark.slow
def test_labels_that_stop_are_told_on_drift_and_again_when_they_come() -> None:
    """After 3,000 labelled minutes nothing for eight hours, then labels again: two records."""
    feed = Partition(use_case(horizon=minutes(30), id_retention=hours(4)))
    play(feed, 3_000)
    assert [row for row in feed.of("drift") if row["subject"] == "labels"] == []
    play(feed, 480, first=3_000, share=0.0)
    play(feed, 480, first=3_480)
    told = [row for row in feed.of("drift") if row["subject"] == "labels"]
    assert [(row["severity"], row["now"]) for row in told][1] == ("notice", "come as expected")
    assert told[0]["severity"] == "alarm"
    assert "outcomes due" in told[0]["was"]
    for row in told:
        records.Drift.model_validate(row)


def test_backfilled_history_is_in_no_curve() -> None:
    """Its labels are chosen, so their delays say nothing."""
    feed = Partition()
    feed.history("event", order("h", 0))
    assert feed.task.maturity.arrivals.curve.predictions == 0


def test_segments_with_a_curve_are_bounded() -> None:
    """The least recently used makes room."""
    feed = Partition(use_case(segments=Segments("items", limit=3)))
    for n in range(20):
        feed.event(f"e{n}", 60.0 * n, items=1 + n)
    assert list(feed.task.maturity.segments) == ["18", "19", "20"]


def test_a_cut_and_restored_partition_has_the_same_curves() -> None:
    """And tells the same afterwards."""
    whole, case = Partition(), use_case()
    play(whole, 300)
    other = Partition(case)
    take_parts(
        other.task, *pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    )
    other.offsets = list(whole.offsets)
    for feed in (whole, other):
        play(feed, 300, first=300)
    assert parts_of(whole.task)["maturity"] == parts_of(other.task)["maturity"]
