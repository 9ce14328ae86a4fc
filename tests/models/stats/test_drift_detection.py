import math
import pickle
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.drift_alarms import CATEGORIES, MODELS, NUMERIC, STREAMS, alarms, records
from models.evidence.block_summary import CategorySummary, NumericSummary, hellinger
from models.evidence.drift import DriftMonitor
from models.evidence.rank_detector import RankDetector


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_do_not_drift_raise_no_alarm(name):
    """150,000 records in 500 days of 300; the full million is benchmarks/drift_alarms.py."""
    monitor = DriftMonitor(NUMERIC, CATEGORIES, MODELS)
    assert alarms(records(name, 500, 300, seed=4), monitor) == []
    assert len(monitor.watches) == 15


@pytest.mark.parametrize(
    ("planted", "who"),
    [
        ("mean 0.5", ("a", "numeric")),
        ("category 0.5", ("c", "category")),
        ("missing 0.1", ("often_missing", "missing")),
        ("error 0.25", ("linear", "error")),
    ],
)
def test_a_planted_drift_is_found_within_nine_days_named_and_dated(planted, who):
    """The alarm says which stream, from what to what, and since when, to a few days."""
    monitor = DriftMonitor(NUMERIC, CATEGORIES, MODELS)
    found = alarms(records("i.i.d.", 170, 500, seed=2, planted=planted, at=150), monitor)
    first = next(a for a in found if (a.name, a.kind) == who)
    assert first.block - 150 < 9
    assert abs(first.since - 150) <= 5
    assert abs(first.now - first.was) > 0.02


def test_an_error_that_gets_better_is_no_alarm():
    """Only worsening counts."""
    monitor = DriftMonitor(models=["m"])
    rng = random.Random(1)
    found = []
    for day in range(200):
        found += monitor.advance(day)
        for _ in range(100):
            monitor.update_error("m", abs(rng.gauss(0, 1)) * (0.5 if day >= 150 else 1.0))
    assert found == []


def test_one_terrible_day_is_no_drift():
    """Ten of 150 days are storms that multiply every error by 20; nothing is said."""
    monitor = DriftMonitor(models=["m"])
    rng = random.Random(1)
    found = []
    for day in range(300):
        found += monitor.advance(day)
        storm = 20.0 if rng.random() < 1 / 15 else 1.0
        for _ in range(60):
            monitor.update_error("m", storm * abs(rng.gauss(0, 1)))
    assert found == []


@pytest.mark.parametrize("tail", [lambda r: r.gauss(0, 1), lambda r: 1 / r.random() ** 3])
def test_the_mean_run_to_a_false_alarm_is_at_least_the_threshold(tail):
    """On exchangeable blocks, normal or with no mean at all; simulated it is about five times A."""
    threshold, runs = 50.0, []
    for seed in range(100):
        rng, detector = random.Random(seed), RankDetector()
        runs.append(
            next((k for k in range(1, 2_000) if detector.update(tail(rng)) >= threshold), 2_000)
        )
    assert statistics.mean(runs) >= threshold


def test_scores_that_never_differ_raise_no_alarm():
    """Ties count against the detector: a feature that is never missing stays silent."""
    detector = RankDetector()
    assert max(detector.update(0.0) for _ in range(3_000)) < 10.0


def test_the_detector_keeps_no_more_than_its_memory():
    """The oldest scores leave, the sorted list with them."""
    detector = RankDetector(memory=50)
    rng = random.Random(2)
    for _ in range(500):
        detector.update(rng.random())
    assert len(detector.order) == 50
    assert sorted(detector.order) == detector.sorted


def test_the_summary_is_bounded_and_thins_evenly():
    """A million values leave at most 4,096 kept and deciles within one percent."""
    summary = NumericSummary()
    for i in range(200_000):
        summary.update(float(i * 7_919 % 200_000))
    assert len(summary.kept) < 4_096
    summary.fix()
    assert summary.edges == pytest.approx([20_000 * k for k in range(1, 10)], rel=0.03)
    assert sum(summary.reference) == pytest.approx(1.0)


def test_non_finite_numbers_are_missing_and_not_counted_as_values():
    """NaN and infinity never reach a mean."""
    monitor = DriftMonitor(numeric=["a"], reference=2)
    for day in range(4):
        for k in range(60):
            monitor.update(day, {"a": (math.nan, math.inf, None, float(k))[k % 4]}, 0.0)
    values, missing = monitor.features[0][1].summary, monitor.features[0][2].summary
    assert math.isfinite(values.mean)
    assert missing.share == pytest.approx(0.75)


def test_new_categories_fall_into_the_rest_and_are_far_from_the_reference():
    """A category never seen moves the score, and the alarm can name it as another one."""
    summary = CategorySummary()
    for k in range(100):
        summary.update("ab"[k % 2])
    summary.fix()
    for _ in range(100):
        summary.update("z")
    score, histogram = summary.close()
    assert score == pytest.approx(1.0)
    assert summary.change(histogram).what == "share of '(other)'"


@given(st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any))
def test_the_distance_is_zero_of_itself_and_at_most_one(counts):
    """Squared Hellinger distance lies between 0 and 1."""
    shares = [c / sum(counts) for c in counts]
    assert hellinger(counts, shares) == pytest.approx(0.0, abs=1e-12)
    assert 0.0 <= hellinger(counts, [1.0, 0.0, 0.0]) <= 1.0


def test_a_small_block_goes_on_into_the_next():
    """Three records are no day: blocks of three are scored only as fifty are there."""
    monitor = DriftMonitor(numeric=["a"], reference=1)
    for day in range(40):
        for k in range(3):
            monitor.update(day, {"a": float(k)}, 0.0)
    assert monitor.features[0][1].blocks == 2


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2_000))
def test_a_monitor_cut_and_restored_goes_on_the_same(cut):
    """Any cut: the same alarms and the same state."""
    source = list(records("AR(.9)", 40, 60, seed=9))
    whole, part = (DriftMonitor(NUMERIC, CATEGORIES, MODELS, reference=5) for _ in range(2))
    for i, (day, x, prediction, _) in enumerate(source):
        a = whole.update(day, x, prediction)
        if i == cut:
            part = pickle.loads(pickle.dumps(part))
        assert part.update(day, x, prediction) == a
    assert part == whole
