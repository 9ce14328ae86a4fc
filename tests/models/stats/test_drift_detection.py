import itertools
import math
import pickle
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.decisions.drift_alarms import CATEGORIES, MODELS, NUMERIC, STREAMS, alarms, records
from benchmarks.decisions.drift_delays import CHANGES, EXCHANGEABLE, delay, false_alarms
from models.stats.block_histograms import CategorySummary, NumericSummary, hellinger
from models.stats.block_totals import MissingSummary
from models.stats.drift_detection import DriftMonitor, Watch
from models.stats.rank_shift import RankDetector

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_do_not_drift_raise_no_alarm(name):
    """150,000 records in 500 days of 300; a million: benchmarks/decisions/drift_alarms.py."""
    monitor = DriftMonitor(NUMERIC, CATEGORIES, MODELS)
    assert alarms(records(name, 500, 300, seed=4), monitor) == []
    assert len(monitor.watches) == 16


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
    raised = alarms(records("i.i.d.", 170, 500, seed=2, planted=planted, at=150), monitor)
    first = next(a for a in raised if (a.name, a.kind) == who)
    assert first.block - 150 < 9
    assert abs(first.since - 150) <= 5
    assert abs(first.now - first.was) > 0.02


@pytest.mark.parametrize("calm", [10, 60])
@pytest.mark.parametrize("change", CHANGES)
def test_a_large_change_is_told_within_days_whatever_came_before(change, calm):
    """Gone, stuck, another constant, a new category, another unit: a week at most, often 3 days."""
    days, _ = delay(change, calm, seed=3, after=16)
    if calm == 10 and change.startswith("mean"):
        return  # half a standard deviation after ten days: nothing without a distribution tells it
    assert days is not None
    assert days <= (15 if calm == 10 else 8)
    if change not in ("mean + 0.5 standard deviations", "error + 50 %", "a quarter of the events"):
        assert days <= 3


def test_less_traffic_is_told_as_that_and_as_nothing_else():
    """A quarter, and later a tenth, of the same events: one alarm each, of how many come."""
    monitor = DriftMonitor(numeric=["a", "sparse"], categories=["c"], models=["m"])
    rng, alarms = random.Random(8), []
    for day in range(260):
        for _ in range(400 if day < 60 else 100 if day < 160 else 40):
            sparse = rng.gauss(0, 1) if rng.random() < 0.3 else None
            x = {"a": rng.gauss(0, 1), "sparse": sparse, "c": rng.choice("abc")}
            alarms += monitor.update(day, x, rng.gauss(0, 1))
            monitor.update_error("m", abs(rng.gauss(0, 1)))
    assert [(alarm.kind, alarm.name) for alarm in alarms] == [("volume", "events")] * 2
    assert [abs(alarm.since - at) <= 3 for alarm, at in zip(alarms, (60, 160), strict=True)]
    assert (alarms[0].before, alarms[0].after) == ("400 events a block", "100 events a block")


WEEKS = {
    "flat": (1.0,) * 7,
    "quiet week-ends": (1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.15),
    "half week-ends": (1.1, 1.0, 1.0, 1.0, 1.2, 0.5, 0.4),
    "falling all week": (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
}


@pytest.mark.parametrize("calm", [30, 60, 120])
@pytest.mark.parametrize("week", WEEKS)
def test_less_traffic_is_told_within_a_week_whatever_the_weekly_pattern(week, calm):
    """A quarter of the events, where a Monday then has as few as a Sunday had before."""
    rng = np.random.default_rng(calm)
    monitor, alarms = DriftMonitor(models=["m"]), []
    for day in range(calm + 8):
        alarms += [(alarm.block, alarm.kind) for alarm in monitor.advance(day)]
        level = WEEKS[week][day % 7] * (0.25 if day >= calm else 1.0)
        monitor.records += 400
        monitor.volume.summary.count = int(rng.poisson(400 * level))
    assert [kind for _, kind in alarms] == ["volume"]
    assert 0 < alarms[0][0] - calm + 1 <= 7


def test_a_weekly_pattern_alone_is_no_fall():
    """Five years of week-ends with a fifth of the traffic."""
    rng = np.random.default_rng(5)
    for pattern in WEEKS.values():
        detector = RankDetector(phases=7)
        counts = [rng.poisson(400 * level) for _ in range(260) for level in pattern]
        assert max(detector.update(-float(count)) for count in counts) < 13 * 2_500


def test_a_stream_that_is_away_now_and_then_is_told_ever_more_rarely():
    """No value on every 30th day: each plain alarm doubles the calm asked for before the next."""
    monitor, days = DriftMonitor(numeric=["a"]), []
    for day in range(600):
        for k in range(60):
            value = None if day % 30 == 29 else float((k * 37 + day) % 59)
            days += [a.block for a in monitor.update(day, {"a": value}, 0.0) if a.plainly]
    assert days == [29, 59, 89]
    assert monitor.features[0][2].plain_alarms == 3


def test_three_far_days_by_chance_are_rarer_than_the_bound():
    """The worst constructed stream, in 3,000 lives: storms on a sixth of the days; 0.15 allowed."""
    rng, alarms = random.Random(11), 0
    for _ in range(3_000):
        watch = Watch("n", "missing")
        for _ in range(60):
            score = 1.0 if rng.random() < 1 / 6 else 0.05 * rng.random()
            watch.detector.order.append(score)
            if watch._is_far(score):
                alarms += 1
                break
    assert alarms <= 0.05 * 3_000


def test_days_without_any_event_are_a_fall_in_how_many_come():
    """A stream that pauses for a fortnight: told once it goes on, since no event closes a day."""
    monitor = DriftMonitor(numeric=["a"])
    rng, alarms = random.Random(3), []
    for day in [*range(60), *range(74, 80)]:
        for _ in range(100):
            alarms += monitor.update(day, {"a": rng.gauss(0, 1)}, 0.0)
    assert [(alarm.kind, alarm.since) for alarm in alarms] == [("volume", 60)]
    hourly, alarms = DriftMonitor(numeric=["a"], a_day=24), []
    for hour in [*range(60 * 24), *range(74 * 24, 80 * 24)]:
        for _ in range(4):
            alarms += hourly.update(hour, {"a": rng.gauss(0, 1)}, 0.0)
    assert [(alarm.kind, alarm.since) for alarm in alarms] == [("volume", 60 * 24)]


def test_nights_are_told_neither_as_less_traffic_nor_as_a_change():
    """Blocks of an hour: few events at night, of which some features have none or other values."""
    monitor = DriftMonitor(numeric=["a", "b"], categories=["c"], a_day=24)
    rng, alarms = random.Random(6), []
    for hour in range(24 * 12):
        night = hour % 24 >= 16
        for _ in range(60 if night else 300):
            x = {"a": rng.gauss(3.0 if night else 0.0, 1), "b": None if night else 1.0 + hour % 2}
            x["c"] = rng.choice("xy" if night else "abc")
            alarms += monitor.update(hour, x, 0.0)
    assert [alarm for alarm in alarms if alarm.kind == "volume" or alarm.plainly] == []


def test_a_feature_that_was_often_away_for_a_day_is_not_gone():
    """Every tenth day has none of it: no alarm, nor at its end."""
    monitor = DriftMonitor(numeric=["a"])
    rng, alarms = random.Random(5), []
    for day in range(100):
        for _ in range(100):
            value = None if day % 10 == 3 else rng.gauss(0, 1)
            alarms += monitor.update(day, {"a": value}, 0.0)
    assert alarms == []


@pytest.mark.parametrize("name", EXCHANGEABLE)
def test_days_that_differ_but_in_no_order_raise_no_alarm(name):
    """Days of different level or traffic; more: benchmarks/decisions/drift_delays.py."""
    assert len(false_alarms(name, days=150, runs=1)) == 0


def test_what_changed_is_said_in_words():
    """From what to what, with the range that moved most; the value itself where it was one."""
    summary = NumericSummary()
    for k in range(700):
        summary.update(float(k % 100))
    summary.fix()
    for _ in range(100):
        summary.update(450.0)
    change = summary.change(summary.close())
    assert change.before == "mean 49.5, 0.0% of values above 99, the most before"
    assert change.after == "mean 450, 100.0% of values above 99, the most before"
    constant = NumericSummary()
    for value in (3.0, 3.0):
        constant.update(value)
    constant.fix()
    constant.update(4.0)
    change = constant.change(constant.close())
    assert change.before == "mean 3, 100.0% of values equal to 3"
    assert change.after == "mean 4, 0.0% of values equal to 3"


def test_an_error_that_gets_better_is_no_alarm():
    """Only worsening counts."""
    monitor = DriftMonitor(models=["m"])
    rng = random.Random(1)
    alarms = []
    for day in range(200):
        alarms += monitor.advance(day)
        for _ in range(100):
            monitor.update_error("m", abs(rng.gauss(0, 1)) * (0.5 if day >= 150 else 1.0))
    assert alarms == []


def test_one_terrible_day_is_no_drift():
    """Ten of 150 days are storms that multiply every error by 20; nothing is said."""
    monitor = DriftMonitor(models=["m"])
    rng = random.Random(1)
    alarms = []
    for day in range(300):
        alarms += monitor.advance(day)
        storm = 20.0 if rng.random() < 1 / 15 else 1.0
        for _ in range(60):
            monitor.update_error("m", storm * abs(rng.gauss(0, 1)))
    assert alarms == []


@pytest.mark.parametrize("phases", [1, 2])
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=5, max_size=7))
def test_the_bets_expect_at_most_one_a_block_over_all_orders(phases, scores):
    """Exact, over every order of the same scores, ties among them: the mean of M is at most n."""
    orders = list(itertools.permutations(scores))
    total = 0.0
    for order in orders:
        detector = RankDetector(phases=phases)
        for score in order:
            detector.update(float(score))
        total += detector.evidence
    assert total / len(orders) <= len(scores) + 1e-9


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
    detector = RankDetector(memory=50, phases=7)
    rng = random.Random(2)
    for _ in range(500):
        detector.update(rng.random())
    assert len(detector.order) == 50
    assert sorted(detector.order) == detector.sorted
    assert sorted(itertools.chain(*detector.sorted_of_phase)) == detector.sorted


def test_the_summary_is_bounded_and_thins_evenly():
    """A million values leave at most 4,096 kept and deciles within one percent."""
    summary = NumericSummary()
    for i in range(200_000):
        summary.update(float(i * 7_919 % 200_000))
    assert len(summary.values_sampled) < 4_096
    summary.fix()
    least, *deciles, most = summary.edges
    assert least < 100
    assert most > 199_900
    assert deciles == pytest.approx([20_000 * k for k in range(1, 10)], rel=0.03)
    assert sum(summary.reference) == pytest.approx(1.0)


def test_non_finite_numbers_are_missing_and_not_counted_as_values():
    """NaN and infinity never reach a mean."""
    monitor = DriftMonitor(numeric=["a"], reference=2)
    for day in range(4):
        for k in range(60):
            monitor.update(day, {"a": (math.nan, math.inf, None, float(k))[k % 4]}, 0.0)
    values, missing = monitor.features[0][1].summary, monitor.features[0][2].summary
    assert isinstance(values, NumericSummary)
    assert isinstance(missing, MissingSummary)
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
    histogram = summary.close()
    assert summary.score(histogram, 50, "day 1") == pytest.approx(1.0)
    assert summary.change(histogram).after == "100.0% of values other categories"


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


def test_an_alarm_without_a_suspected_rise_is_told_of_its_own_block():
    """The sum may come to what is needed by slow growth alone: it says what that block was."""
    watch = Watch("n", "numeric", reference=2, records_min=1)
    told = []
    for block in range(40):
        for k in range(10):
            watch.summary.update(float(k + block % 2))
        told += [alarm for alarm in (watch.close(block, needed=0.1),) if alarm is not None]
    assert told
    assert all(alarm.since <= alarm.block for alarm in told)
