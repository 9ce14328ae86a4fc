"""Precision, recall, AUC, MAPE and pinball loss from mergeable sums."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import metrics

from models.spec.metric_sums import AUC, BINS, bin_of
from models.spec.problem_types import (
    BETTER,
    DECLARABLE,
    KINDS,
    Kind,
    is_metric,
    kind_of,
    metric_value,
)
from models.spec.use_case import Promotion
from models.validation import mistakes
from tests.models.metrics.test_decision_threshold import ROWS, payments
from tests.support.one_partition import Partition, use_case
from tests.support.use_cases.declared_shop import changed, declared

SHARES = st.floats(0, 1)
NUMBERS = st.floats(-1e6, 1e6)
BINARY = kind_of("binary", ["auc", "precision"])


def summed(kind: Kind, pairs: list[tuple[Any, Any]]) -> Counter[str]:
    """The sums of all pairs of label and prediction."""
    total = Counter[str]()
    for y, prediction in pairs:
        total.update(dict(zip(kind.sums, kind.losses(y, prediction), strict=True)))
    return total


def test_a_kind_keeps_no_further_sums_where_none_are_declared():
    """Records of a use case that declares nothing new stay the same bytes."""
    for name, kind in KINDS.items():
        assert kind_of(name, ("mae", "f1", "precision", "recall", "freshness", "")) is kind
    assert kind_of("regression", ["mape"]).sums == ("abs", "sq", "bias", "ape", "ape_n")


@given(st.lists(st.tuples(st.booleans(), SHARES), min_size=1))
@settings(deadline=None)
def test_precision_and_recall_are_those_of_river(rows: list[tuple[bool, float]]):
    """Where nothing was said yes, or nothing is true, there is none."""
    pairs = [(y, BINARY.said_of(p)) for y, p in rows]
    sums = summed(BINARY, pairs)
    for name, metric, any_of in (
        ("precision", metrics.Precision(), [prediction[0] for _, prediction in pairs]),
        ("recall", metrics.Recall(), [y for y, _ in pairs]),
    ):
        for y, prediction in pairs:
            metric.update(y, prediction[0])
        expected = pytest.approx(metric.get()) if any(any_of) else None
        assert metric_value(name, len(pairs), sums) == expected


@given(st.lists(st.tuples(st.booleans(), SHARES), min_size=2, max_size=60))
@settings(deadline=None)
def test_the_auc_is_within_its_stated_error(rows: list[tuple[bool, float]]):
    """Against all pairs of a true and a false one, equal ones half."""
    sums = summed(BINARY, [(y, BINARY.said_of(p)) for y, p in rows])
    true, false = [p for y, p in rows if y], [p for y, p in rows if not y]
    value = metric_value("auc", len(rows), sums)
    if not true or not false:
        assert value is None
        return
    shared = sum(bin_of(t) == bin_of(f) for t in true for f in false)
    error = shared / (2 * len(true) * len(false))
    wins = sum((t > f) + (t == f) / 2 for t in true for f in false) / (len(true) * len(false))
    assert value is not None
    assert abs(value - wins) <= error + 1e-12


@given(SHARES, SHARES)
@settings(deadline=None)
def test_bins_keep_the_order_of_probabilities(a: float, b: float):
    """A larger probability never has a smaller bin, and there are 66."""
    assert bin_of(min(a, b)) <= bin_of(max(a, b))
    assert 0 <= bin_of(a) < BINS
    assert len(AUC) == 2 * BINS


def test_probabilities_of_one_in_a_hundred_are_told_apart():
    """Bins are of the odds, so rare events have an AUC, too."""
    assert len({bin_of(p) for p in (0.004, 0.006, 0.01, 0.02, 0.04)}) == 5


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
@settings(deadline=None)
def test_mape_and_pinball_equal_their_definitions(pairs: list[tuple[float, float]]):
    """Labels of 0 are left out of the MAPE; the pinball loss of 0.5 is half the absolute error."""
    kind = kind_of("regression", ["mape", "pinball(0.9)", "pinball(0.5)"])
    sums, n = summed(kind, pairs), len(pairs)
    shares = [min(abs(p - y) / abs(y), 1e200) for y, p in pairs if y]
    expected = pytest.approx(math.fsum(shares) / len(shares)) if shares else None
    assert metric_value("mape", n, sums) == expected
    losses = [max(0.9 * (y - p), -0.1 * (y - p)) for y, p in pairs]
    assert metric_value("pinball(0.9)", n, sums) == pytest.approx(math.fsum(losses) / n)
    half = metric_value("pinball(0.5)", n, sums)
    assert half == pytest.approx((metric_value("mae", n, sums) or 0.0) / 2)


def test_every_metric_has_a_direction():
    """And what is not one has none."""
    for kind, names in DECLARABLE.items():
        for name in (name.replace("q", "0.25") for name in names):
            assert is_metric(kind, name)
            assert BETTER[name] in ("lower", "higher")
    for wrong in ("pinball(q)", "pinball(2)", "pinball", "r2", None):
        assert not is_metric("regression", wrong)
    with pytest.raises(KeyError):
        BETTER["pinball(2)"]


def test_a_partition_reports_the_declared_metric_with_its_sums():
    """Metrics and evidence carry the counts, and the value that they give."""
    partition = Partition(payments(metric="auc", targets={"recall": 0.5}))
    for kind, fields in ROWS:
        partition.give(0 if kind == "event" else 1, fields)
    records = [orjson.loads(o.value) for o in partition.task.report() if o.kind == "metrics"]
    (row,) = (r for r in records if r["model"] == "baseline")
    assert sum(row["sums"][name] for name in AUC) == 2.0
    assert (row["metric"], row["value"]) == ("auc", 0.5)


def test_a_guard_and_a_target_get_their_sums():
    """Also where the use case's own metric needs none."""
    case = use_case(promotion=Promotion(guard="pinball(0.9)"), targets={"mape": 0.2})
    sums = Partition(case).task.kind.sums
    assert sums == ("abs", "sq", "bias", "pinball(0.9)", "ape", "ape_n")


@pytest.mark.parametrize("metric", ["auc", "pinball(2)", "pinball(q)"])
def test_a_metric_of_another_kind_is_found(metric: str):
    """The mistake names those that a regression has."""
    source, line = changed('metric="mae"', f'metric="{metric}"')
    mistake = [m for m in mistakes(declared(source), source) if "metric" in m.reason]
    assert [m.line for m in mistake] == [line]
    assert "mape, pinball(q)" in mistake[0].hint
