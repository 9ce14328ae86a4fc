"""A segment's own model answers once the evidence says that it is better, and loses it alike."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import base, dummy, stats

from models.features.featurizer import Feature
from models.spec.use_case import Contest, Kpi, Segments
from models.values.durations import hours, minutes
from schemas.events import Column
from tests.support.one_partition import Partition, use_case

BLOCK = minutes(10)
EACH = 12
"""Examples of each segment in a block."""


def mean() -> Any:
    """A model that says what it has seen on average."""
    return dummy.StatisticRegressor(stats.EWMean(0.02))


class Settled(base.Regressor):
    """A mean that learns its first 400 examples and nothing after."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0

    def learn_one(self, _x: Any, y: Any) -> None:
        """Take one in."""
        if self.n < 400:
            self.n += 1
            self.mean += (y - self.mean) / self.n

    def predict_one(self, _x: Any) -> float:
        """The mean."""
        return self.mean


def case(**changes: Any) -> Any:
    """Two segments, one model that says the mean, cost = absolute error."""
    features: dict[str, Feature] = {"weight": Column("weight")}
    plain = {
        "features": features,
        "models": {"linear": mean},
        "kpi": Kpi(lambda _e, o, s: abs(s - o.took), unit="EUR", better="lower", range=(0, 30)),
        "segments": Segments("items", limit=4),
        "slices": {},
        "window": BLOCK,
        "horizon": minutes(10),
        "max_jump": hours(100),
        "breaker": False,
        "interval": None,
        "drift_features": (),
        "warmup": 20,
    }
    return use_case(**(plain | changes))


def drive(
    partition: Partition, blocks: range, effect: dict[int, float], seed: int = 1, lost: int = 0
) -> list[dict[str, Any]]:
    """Blocks of events; a segment's labels differ by its effect. Returns what changed.

    The first `lost` events of a segment in each block have no outcome.
    """
    draw = random.Random(f"{seed} {blocks.start}")
    before = len(partition.outputs)
    for block in blocks:
        for number in range(EACH):
            for items, shift in effect.items():
                second = block * BLOCK + number * BLOCK / EACH
                event_id = f"{block}-{number}-{items}"
                partition.event(event_id, second, items=items)
                took = 10.0 + shift + draw.gauss(0, 2)
                if number >= lost:
                    partition.outcome(event_id, second, took=took)
    return [
        out.value
        for out in partition.outputs[before:]
        if out.kind == "lifecycle" and out.value["cause"] == "rule"
    ]


def test_planted_effects_are_earned_and_nothing_else() -> None:
    """Two segments whose labels differ by a planted effect earn their own models, and then it is
    theirs that is served, with a smaller cost than the pooled one had.
    """
    partition = Partition(case())
    changes = drive(partition, range(70), {1: 0.0, 2: 4.0})
    assert [(c["segment"], c["to_state"], c["model"]) for c in sorted(changes, key=str)] == [
        ("1", "champion", "linear"),
        ("2", "champion", "linear"),
    ]
    figures = changes[0]["evidence"]
    assert figures["lower"] > 0
    assert figures["gain"] == pytest.approx(0.5, abs=0.4)
    last = partition.of("predictions")[-1]
    assert last["served_by"] == "champion"
    assert last["reason"] == "the segment's own model"
    assert last["value"] == last["shadows"]["linear[2]"] == pytest.approx(14, abs=1)


@pytest.mark.parametrize(
    ("contest", "earned"),
    [
        (Contest(), 0),
        (Contest(missing="worst"), 0),
        (Contest(missing="by chance"), 2),
    ],
    ids=["missing, unknown", "missing, at worst", "missing, by chance"],
)
def test_a_place_is_earned_by_what_is_promised_only(contest: Contest, earned: int) -> None:
    """One of twelve outcomes is missing, of a range of 30: at worst that outweighs any effect."""
    partition = Partition(case(contest=contest))
    changes = drive(partition, range(70), {1: 0.0, 2: 4.0}, lost=1)
    assert len(changes) == earned
    promotion = partition.task.router.own.earning["2"]["linear"]
    assert earned or promotion.comparison.missing >= 60
    if contest.missing != "worst" and not earned:
        assert promotion.comparison.verdict == "better"
        assert promotion.comparison.not_promised


def test_a_segment_that_appears_mid_stream_earns_its_place() -> None:
    """Long after the others, and from its first example on."""
    partition = Partition(case())
    assert drive(partition, range(30), {1: 0.0, 2: 0.0}) == []
    changes = drive(partition, range(30, 90), {1: 0.0, 2: 0.0, 3: 6.0})
    assert ("3", "champion") in [(c["segment"], c["to_state"]) for c in changes]


@pytest.mark.slow
def test_the_place_is_lost_the_same_way() -> None:
    """Earned while the segment differed; lost once its own model is the worse one."""

    partition = Partition(case(models={"linear": Settled}))
    assert len(drive(partition, range(70), {1: 0.0, 2: 5.0})) == 2
    # Both segments now change to one value, which is what the pooled one says.
    changes = drive(partition, range(70, 290), {1: 2.5, 2: 2.5})
    lost = [c for c in changes if c["to_state"] == "shadow"]
    assert lost
    assert all(c["from_state"] == "champion" and c["evidence"]["upper"] < 0 for c in lost)


@pytest.mark.slow
def test_without_effects_almost_no_segment_earns() -> None:
    """Sixty segments that are all alike: by luck alone at most one."""
    earned = 0
    for seed in range(15):
        partition = Partition(case())
        alike = dict.fromkeys((1, 2, 3, 4), 0.0)
        changes = drive(partition, range(30), alike, seed)
        earned += len({c["segment"] for c in changes})
    assert earned <= 1


def test_named_models_have_their_own_and_keep_them_over_a_promotion() -> None:
    """`Segments.models` names whose; without it, another champion's start over."""
    models = {"linear": mean, "tree": mean}
    named = Partition(case(models=models, segments=Segments("items", models=("tree",))))
    drive(named, range(3), {1: 0.0, 2: 1.0})
    slots = {(s.name, s.segment) for s in named.task.router.slots()}
    assert slots == {("linear", None), ("tree", None), ("tree", "1"), ("tree", "2")}
    learnt = named.task.router.own.of("1")["tree"].trained_on
    named.command("c1", "promote", model="tree")
    assert named.task.router.own.of("1")["tree"].trained_on == learnt > 0

    plain = Partition(case(models=models))
    drive(plain, range(3), {1: 0.0})
    plain.command("c1", "promote", model="tree")
    assert not len(plain.task.router.own)
    drive(plain, range(3, 6), {1: 0.0})
    assert [(s.name, s.segment) for s in plain.task.router.own] == [("tree", "1")]


def test_the_error_budget_is_never_exceeded() -> None:
    """However many segments come and go, their shares add up to at most half of alpha."""
    partition = Partition(case(segments=Segments("items", limit=1)))
    drive(partition, range(5), dict.fromkeys(range(20), 0.0))
    budget = partition.task.router.own.budget
    assert budget.comparisons > 500
    assert budget.spent < 0.025
