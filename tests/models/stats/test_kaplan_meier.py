import bisect
import heapq
import itertools
import math
import pickle
import random

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from scipy.stats import CensoredData, ecdf

from models.stats.kaplan_meier import BUCKETS, DelayCurve, Survival
from models.stats.label_outage import Arrivals, Resumed


def watched(age_max_s):
    """A curve that is watched for a stop of labels."""
    return Arrivals(DelayCurve(age_max_s))


def now_of(arrivals):
    """Its curve at its watermark."""
    return arrivals.curve.survival(arrivals.watermark)


def play(arrivals, n, delay_of, seed=1, gap_s=1.0):
    """Issue one prediction a `gap_s`; outcomes after `delay_of(rng, i)`, None never; the alarms."""
    rng, due, alarms = random.Random(seed), [], []
    for i in range(n):
        now = i * gap_s
        while due and due[0][0] <= now:
            at, issued = due.pop(0)
            alarms.append(arrivals.advance(at))
            arrivals.labelled(issued)
        alarms.append(arrivals.advance(now))
        arrivals.issued(now)
        delay = delay_of(rng, i)
        if delay is not None:
            bisect.insort(due, (now + delay, now))
    return [a for a in alarms if a is not None]


def test_the_curve_of_exponential_delays_is_found_with_a_plateau():
    """80 % ever come, mean delay 600 s: median and plateau within the bins' 12 %."""
    arrivals = watched(20_000.0)
    play(arrivals, 60_000, lambda r, _: r.expovariate(1 / 600) if r.random() < 0.8 else None)
    curve = now_of(arrivals)
    assert curve.plateau == pytest.approx(0.8, abs=0.01)
    for age in (100.0, 600.0, 2_000.0):
        expected = 0.8 * (1 - math.exp(-age / 600))
        assert curve.share_labelled(age) == pytest.approx(expected, abs=0.02)
    assert curve.quantile(0.4) == pytest.approx(600 * math.log(2), rel=0.13)
    assert curve.quantile(0.85) is None
    assert curve.horizon() == pytest.approx(600 * math.log(100), rel=0.15)


def test_those_that_still_wait_are_censored_not_forgotten():
    """After 1,000 s of delays up to 2,000 s most are waiting: the naive median is too short."""
    arrivals = watched(10_000.0)
    delays = []

    def delay(rng, i):
        delays.append((i, rng.uniform(0, 2_000)))
        return delays[-1][1]

    play(arrivals, 1_000, delay)
    arrived = sorted(d for i, d in delays if i + d < 1_000)
    assert arrived[len(arrived) // 2] < 500
    assert now_of(arrivals).share_labelled(900.0) == pytest.approx(0.45, abs=0.08)


def test_it_is_the_product_limit_estimate():
    """Against Kaplan and Meier's formula, on delays at the bins' middles and a cut in between."""
    arrivals = watched(10_000.0)
    play(arrivals, 5_000, lambda r, _: r.choice((30.0, 300.0)) if r.random() < 0.5 else 3_000.0)
    # 5,000 s: of those issued after 2,000 s none can have had 3,000 s; the rest of them all have.
    curve = now_of(arrivals)
    assert curve.share_labelled(100.0) == pytest.approx(0.25, abs=0.02)
    assert curve.share_labelled(1_000.0) == pytest.approx(0.5, abs=0.02)
    assert curve.share_labelled(3_500.0) == pytest.approx(1.0, abs=0.03)


def test_a_late_outcome_leaves_the_plateau():
    """A prediction given up as never labelled comes after all: it enters at the last age."""
    curve = DelayCurve(age_max_s=100.0)
    curve.issued(0.0)
    assert curve.survival(500.0).plateau == 0.0
    curve.labelled(0.0, 500.0)
    assert curve.survival(500.0).plateau == 1.0


def test_memory_is_bounded_whatever_the_traffic():
    """Never-labelled predictions over 50 times age_max_s leave at most two rounds of buckets."""
    arrivals = watched(200.0)
    play(arrivals, 10_000, lambda r, i: None)
    curve = arrivals.curve
    assert len(curve.waiting) <= 2 * BUCKETS
    assert curve.never + sum(curve.waiting.values()) == 10_000 == curve.predictions


def test_two_curves_add_up():
    """Merging two partitions is the curve of all their predictions, up to the waiting's ages."""
    one, two, both = (watched(1_000.0) for _ in range(3))
    for arrivals, seeds in ((one, [1]), (two, [2]), (both, [1, 2])):
        rngs = [random.Random(seed) for seed in seeds]
        pending: list[list[tuple[float, float]]] = [[] for _ in seeds]
        for now in range(5_000):
            arrivals.advance(float(now))
            for rng, due in zip(rngs, pending, strict=True):
                while due and due[0][0] <= now:
                    arrivals.labelled(due.pop(0)[1])
                arrivals.issued(float(now))
                bisect.insort(due, (now + rng.choice((5, 50, 400)), float(now)))
    merged = now_of(one) + now_of(two)
    assert merged == now_of(both)
    rows = [vars(now_of(half)) for half in (one, two)]
    assert Survival.merged(rows) == merged
    assert Survival.merged([]) is None
    with pytest.raises(ValueError, match="bins"):
        merged + DelayCurve(age_max_s=2_000.0).survival(0.0)


def test_a_read_changes_nothing():
    """The curve is read for a report at any time, and a fold does not read it."""
    arrivals = watched(200.0)
    play(arrivals, 1_000, lambda r, i: None)
    before = pickle.dumps(arrivals)
    arrivals.curve.survival(1e6)
    assert pickle.dumps(arrivals) == before


def test_labels_that_stop_raise_one_alarm_soon_and_labels_that_go_on_none():
    """Delays of 60 to 600 s, a prediction a second: stopped at 40,000 s, told in 15 minutes."""
    assert play(watched(6_400.0), 40_000, lambda r, _: r.uniform(60, 600)) == []
    stopped = watched(6_400.0)
    alarms = play(stopped, 44_000, lambda r, i: r.uniform(60, 600) if i < 40_000 else None)
    assert len(alarms) == 1
    assert 40_000 <= alarms[0].since <= 40_900
    assert alarms[0].arrived < 0.5 * alarms[0].expected


def test_labels_that_come_again_are_told_once():
    """After 3,000 s without labels they come again: one alarm, and within 15 minutes its end."""
    arrivals = watched(6_400.0)
    alarms = play(
        arrivals, 50_000, lambda r, i: None if 40_000 < i < 43_000 else r.uniform(60, 600)
    )
    assert [type(alarm).__name__ for alarm in alarms] == ["Stopped", "Resumed"]
    assert isinstance(alarms[1], Resumed)
    assert 43_000 <= alarms[1].since <= 43_900


def test_a_pause_of_predictions_is_not_a_stop_of_labels():
    """At night nobody predicts, so nothing is expected."""
    arrivals, alarms, due = watched(6_400.0), [], []
    for now in itertools.chain.from_iterable(
        range(d * 86_400, d * 86_400 + 9_000) for d in range(4)
    ):
        alarms.append(arrivals.advance(float(now)))
        while due and due[0] <= now - 100:
            arrivals.labelled(float(due.pop(0)))
        if now % 86_400 < 8_000:
            arrivals.issued(float(now))
            due.append(now)
    assert [a for a in alarms if a] == []


def test_a_curve_cut_and_restored_goes_on_the_same():
    """The pickle holds everything."""
    arrivals = watched(1_000.0)
    play(arrivals, 3_000, lambda r, _: r.uniform(1, 500))
    copy = pickle.loads(pickle.dumps(arrivals))
    for a in (arrivals, copy):
        a.advance(3_500.0)
        a.labelled(2_990.0)
    assert copy == arrivals


def test_delays_of_two_months_ago_are_forgotten():
    """Delays fall from a day to two hours: 60 days later the horizon follows."""
    draw, curve, arrivals = random.Random(1), DelayCurve(age_max_s=48 * 3_600.0), []
    size = len(pickle.dumps(curve))
    for n in range(100 * 100):
        time = n * 864.0
        while arrivals and arrivals[0][0] <= time:
            came, issued = heapq.heappop(arrivals)
            curve.labelled(issued, came - issued)
        curve.issued(time)
        delay = (24 if n < 40 * 100 else 2) * 3_600.0 * draw.uniform(0.8, 1.05)
        heapq.heappush(arrivals, (time + delay, time))
    horizon = curve.survival(time).horizon()
    assert horizon is not None
    assert 2 * 3_600.0 < horizon < 2.5 * 3_600.0
    assert len(pickle.dumps(curve)) < size + 3_000


@pytest.mark.parametrize(("hours", "rising"), [(3.0, False), (200.0, True)])
def test_a_curve_that_still_rises_at_its_longest_age_says_so(hours, rising):
    """Where outcomes come after the longest age, the proposed horizon is a lower bound."""
    draw, curve, arrivals = random.Random(2), DelayCurve(age_max_s=48 * 3_600.0), []
    for n in range(4_000):
        time = n * 600.0
        while arrivals and arrivals[0][0] <= time:
            came, issued = heapq.heappop(arrivals)
            curve.labelled(issued, came - issued)
        curve.issued(time)
        heapq.heappush(arrivals, (time + draw.expovariate(1.0 / (hours * 3_600.0)), time))
    assert curve.survival(time).is_rising() is rising


def test_a_curve_agrees_with_lifelines_and_scipy():
    """Kaplan-Meier of two libraries on the same delays, a third of them censored."""
    rng = np.random.default_rng(3)
    delays = rng.exponential(3_600.0, size=3_000)
    ages = rng.uniform(600.0, 4 * 3_600.0, size=3_000)
    now = 1e6
    curve = DelayCurve(age_max_s=24 * 3_600.0)
    for delay, age in zip(delays.tolist(), ages.tolist(), strict=True):
        curve.issued(now - age)
        if delay <= age:
            curve.labelled(now - age, delay)
    seen = delays <= ages
    fitted = KaplanMeierFitter().fit(np.minimum(delays, ages), seen)
    data = CensoredData(uncensored=delays[seen], right=ages[~seen])
    survival = curve.survival(now)
    for hours in (0.5, 1.0, 2.0, 3.0):
        share = survival.remaining(3_600.0 * hours)
        assert share == pytest.approx(float(fitted.predict(3_600.0 * hours)), abs=0.03)
        assert share == pytest.approx(float(ecdf(data).sf.evaluate(3_600.0 * hours)), abs=0.03)


DAY_S = 86_400.0


def watch_labels(days, delay_of, per_day=300, age_max_days=4.0, lost=lambda now: False):
    """(day, alarm's type) where each day's events have labels `delay_of(rng, event_time)` later."""
    rng, arrivals, alarms = random.Random(7), watched(age_max_days * DAY_S), []
    events = sorted(rng.uniform(0, days * DAY_S) for _ in range(days * per_day))
    outcomes = [(t + delay_of(rng, t), t) for t in events]
    rows = [(t, True, t) for t in events]
    rows += [(due, False, t) for due, t in outcomes if not lost(due)]
    for now, is_event, event_time in sorted(rows):
        alarm = arrivals.advance(now)
        if alarm is not None:
            alarms.append((now / DAY_S, type(alarm).__name__))
        if is_event:
            arrivals.issued(event_time)
        else:
            arrivals.labelled(event_time)
    return alarms


def hours(rng):
    """1 to 10 hours, mostly 3."""
    return 3_600.0 * min(10.0, max(1.0, 3.0 * math.exp(0.5 * rng.gauss(0, 1))))


def slow_week_ends(rng, time):
    """Labels of Saturdays and Sundays take five times longer."""
    return hours(rng) * (5.0 if time // DAY_S % 7 >= 5 else 1.0)


def office_hours(rng, time):
    """Labels are made from 9 to 17 on weekdays."""
    due = time + hours(rng)
    while due // DAY_S % 7 >= 5 or not 9 <= due % DAY_S / 3_600 < 17:
        due = (due // 3_600 + 1) * 3_600 + rng.uniform(0, 1_800)
    return due - time


@pytest.mark.parametrize(("delay_of", "age_max_days"), [(slow_week_ends, 4.0), (office_hours, 7.0)])
def test_quiet_hours_of_the_week_are_no_outage(delay_of, age_max_days):
    """In 100 days: none after the first week, in which nothing is known of the week."""
    alarms = watch_labels(100, delay_of, age_max_days=age_max_days)
    assert [day for day, kind in alarms if kind == "Stopped" and day > 7] == []


def test_a_stop_is_told_although_labels_have_quiet_hours():
    """No label from Thursday on, after eight weeks: told on that day."""
    alarms = watch_labels(60, slow_week_ends, lost=lambda now: now > 59.0 * DAY_S - 6 * DAY_S)
    stopped = [day for day, kind in alarms if kind == "Stopped" and day > 7]
    assert len(stopped) == 1
    assert 53.0 < stopped[0] < 54.0


def test_delays_that_grow_for_good_raise_one_alarm_that_ends():
    """From 1 to 6 hours: labels do stop for 5 hours, and the new delay is known 6 days later."""

    def delay_of(rng, time):
        return hours(rng) * (1 / 3 if time < 40 * DAY_S else 2.0)

    alarms = watch_labels(70, delay_of, age_max_days=2.0)
    assert [kind for _, kind in alarms] == ["Stopped", "Resumed"]
    assert alarms[0][0] < 40.5
    assert alarms[1][0] < 46.0
