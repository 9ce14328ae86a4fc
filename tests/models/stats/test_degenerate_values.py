"""Each algorithm of evidence on runs of extreme values: no exception, and figures that can be used.

The fuzz of `apply` (test_degenerate_data.py) seldom stays in one mood for as long as a detector
needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.attribution.sampled_shapley import sampled
from models.serving.learned_limits import LearnedLimits
from models.stats.ab_test import AbTest
from models.stats.adaptive_conformal import IntervalTracker, SetTracker
from models.stats.breaker_rules import Breaker
from models.stats.confidence_sequence import Comparison
from models.stats.drift_detection import DriftMonitor
from models.stats.kaplan_meier import DelayCurve
from models.stats.label_outage import Arrivals
from models.stats.rank_shift import RankDetector
from models.worth.time_to_decision import blocks_needed

EDGES = (0.0, -0.0, 5e-324, -1e-300, 1e-12, 0.5, 1.0, -7.0, 1e16, 1e100, -1e100, 2.0**63)
FEW = settings(max_examples=60, deadline=None, derandomize=True)
VALUES = st.sampled_from(EDGES) | st.floats(-1e100, 1e100)
WILD = VALUES | st.sampled_from((math.inf, -math.inf, math.nan, 1e308))
RUNS = st.integers(1, 400)


def runs(*of: st.SearchStrategy[Any], most: int = 12) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Tuples, each with how often it comes in a row."""
    return st.lists(st.tuples(RUNS, *of), min_size=1, max_size=most)


def each(drawn: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Them, one by one."""
    for count, *values in drawn:
        for _ in range(count):
            yield tuple(values)


@pytest.mark.slow
@given(runs(WILD, WILD, VALUES), st.integers(0, 50))
@FEW
def test_the_breaker_takes_any_run_of_values(drawn: list[tuple[Any, ...]], warm: int):
    """Whatever champion and baseline say of whatever labels."""
    breaker = Breaker(warm=warm, examples_between=30.0, back=2.0, open_min=3)
    for champion, baseline, label in each(drawn):
        breaker.update(champion, baseline, label)
        assert 0.05 <= breaker.usual.allowed <= 0.95


@given(runs(VALUES, VALUES, st.sampled_from((None, "a", "b"))), st.sampled_from((0.01, 0.9, 0.999)))
@FEW
def test_intervals_take_any_run_of_values(drawn: list[tuple[Any, ...]], coverage: float):
    """Bounds are numbers in their order."""
    tracker = IntervalTracker(coverage=coverage, own_after=3)
    for value, label, segment in each(drawn):
        tracker.update(value, label, segment)
        bounds = tracker.interval(value, segment)
        assert bounds is not None
        assert -math.inf < bounds.lower <= bounds.upper < math.inf


@given(runs(st.sampled_from((0.0, 5e-324, 0.5, 1.0, 1.0 + 1e-9)), st.sampled_from("ab")))
@FEW
def test_sets_take_any_run_of_values(drawn: list[tuple[Any, ...]]):
    """At least one class, whatever the probabilities."""
    tracker = SetTracker(own_after=3)
    for share, label in each(drawn):
        tracker.update({"a": share, "c": 0.0}, label)
        assert tracker.classes({"a": share, "c": 0.0})


@pytest.mark.slow
@given(
    runs(st.integers(0, 10**6), st.sampled_from((-1.0, 1.0, 0.0, 1e-9, -1e-300, 0.5)), most=6),
    st.sampled_from((1e-100, 1e-9, 1.0, 2e100)),
    st.sampled_from((0.9, 1e-3, 1e-100)),
)
@FEW
def test_comparisons_take_any_run_of_blocks(
    drawn: list[tuple[Any, ...]], bound: float, alpha: float
):
    """Gains from one end of the range to the other, and what is said of them at any time."""
    comparison = Comparison(alpha=alpha, bound=bound)
    for number, (count, share) in enumerate(each(drawn)):
        comparison.update(count, count * share * bound, missing=count // 2)
        if number % 50 == 0:
            lower, upper = comparison.interval
            assert -bound <= lower <= upper <= bound
            assert comparison.worst_case.lower <= comparison.worst_case.upper
            blocks_needed(comparison)


@given(
    runs(st.integers(0, 1_000), st.sampled_from(EDGES), st.sampled_from(EDGES), most=6),
    st.sampled_from((1e-100, 1.0, 2e100)),
)
@FEW
def test_arms_take_any_run_of_blocks(drawn: list[tuple[Any, ...]], bound: float):
    """Costs that were alike while the scale was taken, and differ by any power afterwards."""
    contest = AbTest(alpha=0.01, bound=bound, lower=True)
    for count, first, second in each([(min(row[0], 20), *row[1:]) for row in drawn]):
        cut = [max(-bound, min(value, bound)) / 2 for value in (first, second)]
        arms = [[(count, count * cost * (g % 3)) for g in range(32)] for cost in cut]
        contest.update(arms[0], arms[1], missing=count)
        lower, upper = contest.interval
        assert -bound <= lower <= upper <= bound
        assert contest.worst_case.lower <= contest.worst_case.upper


@pytest.mark.slow
@given(
    runs(
        VALUES | st.sampled_from((math.nan, -math.inf, None)),
        st.sampled_from(("", "a", None, "\0")),
        VALUES | st.just(math.nan),
        most=20,
    )
)
@FEW
def test_drift_takes_any_run_of_values(drawn: list[tuple[Any, ...]]):
    """Every kind of stream, with a verdict after few blocks; no number is above 1e100."""
    monitor = DriftMonitor(["n"], ["c"], ["m"], 20.0, 3.0, reference=2)
    for watch in monitor.watches:
        watch.records_min = 3
    for number, (value, word, error) in enumerate(each(drawn)):
        x = {"n": value, "c": word}
        for alarm in monitor.update(number // 20, x, error):
            assert alarm.plainly or alarm.evidence >= alarm.needed
        monitor.update_error("m", error)


@pytest.mark.slow
@given(runs(VALUES))
@FEW
def test_ranks_take_any_run_of_scores(drawn: list[tuple[Any, ...]]):
    """Evidence stays a number."""
    detector = RankDetector(memory=50)
    for (score,) in each(drawn):
        assert 0.0 <= detector.update(score) < math.inf


@pytest.mark.slow
@given(
    runs(st.floats(0, 1e7), st.floats(-1e6, 1e6), st.integers(0, 5)),
    st.sampled_from((1e-3, 1.0, 1e5, 1e10)),
)
@FEW
def test_delays_take_any_run_of_times(drawn: list[tuple[Any, ...]], age_max: float):
    """Times that leap, stand still, and are set back."""
    arrivals = Arrivals(DelayCurve(age_max, min(1.0, age_max / 1_000)))
    now = -1e9
    for number, (step, apart, labels) in enumerate(each(drawn)):
        now += step / 100
        arrivals.advance(now)
        arrivals.issued(now + apart)
        for _ in range(labels):
            arrivals.labelled(now - abs(apart))
        if number % 70 == 69:
            now -= 1e5
            arrivals.set_back(now)
    left = arrivals.curve.survival(now).left
    assert all(0.0 <= share <= 1.0 for share in left)


@given(runs(VALUES | st.integers(-(2**63), 2**64 - 1)))
@FEW
def test_bounds_take_any_run_of_labels(drawn: list[tuple[Any, ...]]):
    """None, or a range that the labels lie in but for the wildest."""
    bounds = LearnedLimits()
    for (label,) in each(drawn):
        bounds.update(label)
        assert bounds.limits is None or bounds.limits[0] <= bounds.limits[1]


@given(st.lists(st.sampled_from((*EDGES, math.inf, math.nan, 1e308)), min_size=1), WILD)
@FEW
def test_sampled_reasons_take_a_model_that_says_anything(seen: list[float], value: float):
    """Numbers, or nothing."""
    shares = sampled(lambda x: x["a"] * 2, {"a": value}, [{"a": one} for one in seen], seed="s")
    if shares is not None:
        assert all(map(math.isfinite, (*shares.contributions.values(), *shares.errors.values())))
