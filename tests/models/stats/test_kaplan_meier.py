import bisect
import itertools
import math
import pickle
import random

import pytest

from models.evidence.arrivals import Arrivals, Resumed
from models.evidence.maturity import BUCKETS, DelayCurve, Survival


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
