"""Importance of the champion's features, followed in the task and published on metrics."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import orjson
import pytest
from river import forest, neighbors, tree

from models.attribution.sampled_shapley import sampled
from models.spec.use_case import Kpi
from models.task.checkpoint import parts_of, take_parts
from models.values.durations import hours
from schemas import records
from tests.support.one_partition import Order, Partition, linear, use_case


def partition(**changes: Any) -> Partition:
    """The label is twice the weight; `items` says nothing."""
    plain: dict[str, Any] = {
        "features": Order.fields("weight", "items"),
        "segments": None,
        "horizon": hours(2),
        "window": hours(1_000),
        "max_jump": 1e9,
    }
    return Partition(use_case(**(plain | changes)))


def play(feed: Partition, count: int, *, first: int = 0) -> None:
    """An event a minute, its outcome half a minute later."""
    draw = Random(first)
    for n in range(first, first + count):
        weight = draw.uniform(1, 10)
        feed.event(f"e{n}", 60.0 * n, weight=weight, items=draw.randint(1, 9))
        feed.outcome(f"e{n}", 60.0 * n + 30, took=2 * weight)


def importance(feed: Partition) -> dict[str, Any]:
    """Model → importance, of a report's metrics."""
    rows = [orjson.loads(out.value) for out in feed.task.report() if out.kind == "metrics"]
    for row in rows:
        records.Metric.model_validate(row)
    return {row["model"]: row.get("importance") for row in rows if row["slice"] is None}


def test_the_champions_importance_is_on_its_metric_and_nowhere_else() -> None:
    """What decides the label weighs; what says nothing does not."""
    feed = partition()
    play(feed, 3_000)
    importances = importance(feed)
    assert list(importances["linear"]) == ["weight", "items"]
    assert importances["linear"]["weight"] > 3.0
    assert abs(importances["linear"]["items"]) < 0.5
    assert importances["tree"] is None
    assert importances["served"] is None


def test_another_champion_begins_anew_and_none_is_followed_where_nothing_is_explained() -> None:
    """It is the champion's; `contributions=0` costs nothing."""
    feed = partition()
    play(feed, 500)
    feed.command("c1", "promote", model="tree")
    play(feed, 100, first=500)
    importances = importance(feed)
    assert importances["linear"] is None
    assert feed.task.influence.importance.seen == 100
    off = partition(contributions=0)
    play(off, 100)
    assert off.task.influence.importance.seen == 0


def test_it_goes_on_the_same_after_a_cut() -> None:
    """Its random choices are part of the state."""
    whole, other = partition(), partition()
    play(whole, 500)
    state = pickle.loads(pickle.dumps((parts_of(whole.task), whole.task.ledger.entries)))
    take_parts(other.task, *state)
    other.offsets = list(whole.offsets)
    for feed in (whole, other):
        play(feed, 500, first=500)
    assert importance(whole) == importance(other)


@pytest.mark.parametrize("model", [linear, tree.HoeffdingTreeRegressor, neighbors.KNNRegressor])
def test_sampled_contributions_add_up_for_any_model(model: Any) -> None:
    """Reference and contributions are the prediction, the same again by the same seed."""
    fitted, draw = model(), Random(1)
    rows = [{"a": draw.gauss(0, 1), "b": draw.gauss(0, 1)} for _ in range(300)]
    for row in rows:
        fitted.learn_one(row, 3 * row["a"] * row["b"] + row["a"])
    shares = sampled(fitted.predict_one, rows[0], rows[1:], seed="e1")
    again = sampled(fitted.predict_one, rows[0], rows[1:], seed="e1")
    assert shares is not None
    assert shares == again
    total = shares.reference + sum(shares.contributions.values())
    assert total == pytest.approx(shares.prediction, abs=1e-9)
    assert shares.prediction == fitted.predict_one(rows[0])


def test_sampled_contributions_of_a_linear_model_are_the_exact_ones() -> None:
    """Weight times distance from the mean of the others, within four standard errors."""
    others = [{"a": float(k % 7), "b": float(k % 11)} for k in range(77)]
    shares = sampled(lambda x: 2 * x["a"] - x["b"], {"a": 6.0, "b": 0.0}, others, seed="s")
    assert shares is not None
    for name, exact in (("a", 2 * (6 - 3.0)), ("b", 5.0)):
        assert abs(shares.contributions[name] - exact) <= 4 * shares.errors[name]
    assert sampled(lambda x: 1.0, {"a": 1}, [], seed="s") is None
    assert sampled(lambda x: float("nan"), {"a": 1}, [{"a": 2}], seed="s") is None


def test_probabilities_are_counted_in_bins_against_what_came_true() -> None:
    """Ten bins of (how many, sum of probabilities, how many true), of what was served only."""
    feed = partition(
        kind="binary",
        metric="logloss",
        limits=None,
        label=lambda _e, o: o.took > 10,
        baseline=lambda e: 0.05 if e.weight < 5 else 0.95,
        models={"tree": tree.HoeffdingTreeClassifier},
        champion="tree",
        warmup=10_000,
        kpi=Kpi(lambda _e, _o, _s: 1.0, unit="EUR", better="lower", range=(0, 1)),
    )
    play(feed, 200)
    rows = [orjson.loads(out.value) for out in feed.task.report() if out.kind == "metrics"]
    served = next(row for row in rows if row["model"] == "served" and row["slice"] is None)
    bins = served["reliability"]
    assert [row[0] for row in bins[1:-1]] == [0.0] * 8
    assert bins[0][0] + bins[-1][0] == 200
    assert bins[0][1] == pytest.approx(0.05 * bins[0][0])
    assert (bins[0][2], bins[-1][2]) == (0.0, bins[-1][0]), "the baseline is right here"
    assert all(row["reliability"] is None for row in rows if row["model"] != "served")


def test_a_model_that_cannot_be_taken_apart_is_explained_by_sampling() -> None:
    """Of a forest no prediction has contributions; sampled, they add up to what was served."""
    feed = partition(
        models={"forest": lambda: forest.ARFRegressor(n_models=3, seed=1)},
        champion="forest",
        target="label - baseline",
    )
    play(feed, 400)
    feed.event("last", 60.0 * 400, weight=9.0, items=1)
    prediction = feed.of("predictions")[-1]
    assert prediction["contributions"] is None
    shown = {"weight": 9.0, "items": 1}
    before = pickle.dumps(feed.task.router.pooled["forest"].model)
    shares = feed.task.influence.sampled(prediction, shown)
    assert shares is not None
    assert shares == feed.task.influence.sampled(prediction, shown)
    assert shares["prediction"] == pytest.approx(prediction["value"], abs=1e-9)
    total = shares["reference"] + sum(shares["contributions"].values())
    assert total == pytest.approx(prediction["value"], abs=1e-9)
    assert next(iter(shares["contributions"])) == "weight"
    assert shares["contributions"]["weight"] > 3
    assert pickle.dumps(feed.task.router.pooled["forest"].model) == before, "nothing was learnt"
    exact = partition()
    play(exact, 30)
    assert exact.task.influence.sampled(exact.of("predictions")[-1], shown) is None
