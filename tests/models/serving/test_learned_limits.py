"""What a model may say of which nothing is declared: by the labels seen."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, optim

from models.serving.learned_limits import FEW, LearnedLimits
from models.task.checkpoint import parts_of, take_parts
from tests.support.one_partition import Partition, dump, use_case


def squared() -> Any:
    """Squared loss and large steps, nothing scaled: it blows up within some examples."""
    return linear_model.LinearRegression(optimizer=optim.SGD(0.05))


def bounded(**changes: Any) -> Partition:
    """A use case that declares no limits, whose champion blows up."""
    fields: dict[str, Any] = {
        "models": {"squared": squared, "calm": linear_model.PARegressor},
        "champion": "squared",
        "limits": None,
        "breaker": False,
        "segments": None,
        "interval": None,
        "warmup": 5,
        "features": {"weight": lambda e: e.weight},
    }
    return Partition(use_case(**fields | changes))


def live(partition: Partition, first: int, last: int) -> None:
    """Orders of growing weight that take 5 to 9."""
    for step in range(first, last):
        partition.event(f"e{step}", step * 10.0, weight=5.0 + step % 40)
        partition.outcome(f"e{step}", step * 10.0 + 5, took=5.0 + step % 5)


@pytest.mark.parametrize("role", ["champion", "challenger"])
def test_a_model_that_blows_up_is_withheld_though_no_limits_are_declared(role: str) -> None:
    """Its values pass a million; nothing that was served is outside the labels' range and, while
    they are few, ten times as much again; the baseline answers in its place, the reason is said,
    and it is no evidence for it.
    """
    partition = bounded(champion="squared" if role == "champion" else "calm")
    live(partition, 0, 120)
    predictions = partition.of("predictions")
    assert max(abs(row["shadows"]["squared"] or math.inf) for row in predictions) > 1e6
    assert all(5 - 90 <= row["value"] <= 9 + 90 for row in predictions[5:])
    if role == "champion":
        held = [row for row in predictions[6:] if row["served_by"] == "baseline"]
        assert held
        assert all("squared left its limits" in row["reason"] for row in held)
    told = {row["model"]: row for row in partition.of("lifecycle") if row["to_state"] == "withheld"}
    assert told["squared"]["cause"] == "safeguard"
    total = partition.task.metrics.total()
    error = {name: row[2] / row[0] for name, row in total.scores.items()}
    assert error["squared"] < 2 * max(error["baseline"], error["calm"]), "as what was served"
    assert total.diverged["squared"] > 50


def test_what_a_model_says_during_its_warm_up_is_no_news() -> None:
    """It would not have been served; the first value that might have been is told."""
    partition = bounded(warmup={"squared": 60})
    live(partition, 0, 60)
    assert partition.task.metrics.total().diverged["squared"] > 0
    assert not [row for row in partition.of("lifecycle") if row["to_state"] == "withheld"]
    live(partition, 60, 70)
    [told] = [row for row in partition.of("lifecycle") if row["to_state"] == "withheld"]
    assert told["model"] == "squared"


def test_declared_limits_are_taken_as_they_are() -> None:
    """Wide ones let a large number through; those of one model leave the others bounded."""
    partition = bounded(limits={"squared": (-1e99, 1e99)})
    live(partition, 0, 60)
    assert max(abs(row["value"]) for row in partition.of("predictions")) > 1e6
    assert partition.task.router.limits_of("calm") == (-85.0, 99.0)
    assert not bounded(limits=(0, 9)).task.router.bounded


def test_they_are_kept_in_a_snapshot_and_what_was_said_is_judged_by_those_of_then() -> None:
    """Cut anywhere, restored and gone on: the same state as without."""
    whole = bounded()
    live(whole, 0, 40)
    before = bounded()
    live(before, 0, 17)
    before.event("open", 175.0, weight=30.0)
    whole_too = bounded()
    live(whole_too, 0, 17)
    whole_too.event("open", 175.0, weight=30.0)
    after = bounded()
    take_parts(after.task, parts_of(before.task), dict(before.task.ledger.entries))
    after.offsets = list(before.offsets)
    for partition in (after, whole_too):
        live(partition, 20, 40)
        partition.outcome("open", 500.0, took=9.0)
    assert dump(after.task) == dump(whole_too.task)
    assert after.task.router.bounds.limits == whole.task.router.bounds.limits


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=FEW, max_size=400),
    st.lists(st.sampled_from([1e99, -1e99, 1e12]), max_size=2),
)
@settings(deadline=None)
def test_two_wild_labels_among_many_widen_nothing(
    labels: list[float], diverged: list[float]
) -> None:
    """And a label that is seen is never outside, once it is not among the two furthest; where all
    others are 0 there are no limits.
    """
    bounds = LearnedLimits()
    for label in (*diverged, *labels):
        bounds.update(label)
    least, most = bounds.limits or (-1e6, 1e6)
    assert -6e6 <= least <= most <= 6e6
    assert all(least <= label <= most for label in sorted(labels)[2:-2])


def test_one_label_says_little_of_what_is_possible() -> None:
    """A flight that was 21 minutes early does not forbid to say that the next one is late."""
    bounds = LearnedLimits()
    bounds.update(-21.0)
    assert bounds.limits is not None
    assert bounds.limits[0] <= -21.0 < 180.0 <= bounds.limits[1]


def test_labels_that_are_all_zero_forbid_nothing() -> None:
    """Most days bring no claim; that is no reason to withhold every number but 0."""
    bounds = LearnedLimits()
    for label in (0.0, 0.0, *([0.0] * FEW), 70.0, 80.0):
        bounds.update(label)
    assert bounds.limits is None
    bounds.update(90.0)
    assert bounds.limits == (-70.0, 140.0)
