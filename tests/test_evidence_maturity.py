import bisect
import itertools
import math
import pickle
import random

import pytest

from models.evidence.maturity import BUCKETS, DelayCurve


def play(curve, n, delay_of, seed=1, gap_s=1.0):
    """Issue one prediction a `gap_s`; outcomes after `delay_of(rng, i)`, None never; the alarms."""
    rng, due, alarms = random.Random(seed), [], []
    for i in range(n):
        now = i * gap_s
        while due and due[0][0] <= now:
            at, issued = due.pop(0)
            alarms.append(curve.advance(at))
            curve.labelled(issued)
        alarms.append(curve.advance(now))
        curve.issued(now)
        delay = delay_of(rng, i)
        if delay is not None:
            bisect.insort(due, (now + delay, now))
    return [a for a in alarms if a is not None]


def test_the_curve_of_exponential_delays_is_found_with_a_plateau():
    """80 % ever come, mean delay 600 s: median and plateau within the bins' 12 %."""
    curve = DelayCurve(age_max_s=20_000.0)
    play(curve, 60_000, lambda r, _: r.expovariate(1 / 600) if r.random() < 0.8 else None)
    assert curve.plateau == pytest.approx(0.8, abs=0.01)
    for age in (100.0, 600.0, 2_000.0):
        expected = 0.8 * (1 - math.exp(-age / 600))
        assert curve.share_labelled(age) == pytest.approx(expected, abs=0.02)
    assert curve.quantile(0.4) == pytest.approx(600 * math.log(2), rel=0.13)
    assert curve.quantile(0.85) is None
    assert curve.horizon() == pytest.approx(600 * math.log(100), rel=0.15)


def test_those_that_still_wait_are_censored_not_forgotten():
    """After 1,000 s of delays up to 2,000 s most are waiting: the naive median is too short."""
    curve = DelayCurve(age_max_s=10_000.0)
    delays = []

    def delay(rng, i):
        delays.append((i, rng.uniform(0, 2_000)))
        return delays[-1][1]

    play(curve, 1_000, delay)
    arrived = sorted(d for i, d in delays if i + d < 1_000)
    assert arrived[len(arrived) // 2] < 500
    assert curve.share_labelled(900.0) == pytest.approx(0.45, abs=0.08)


def test_it_is_the_product_limit_estimate():
    """Against Kaplan and Meier's formula, on delays at the bins' middles and a cut in between."""
    curve = DelayCurve(age_max_s=10_000.0)
    play(curve, 5_000, lambda r, _: r.choice((30.0, 300.0)) if r.random() < 0.5 else 3_000.0)
    # 5,000 s: of those issued after 2,000 s none can have had 3,000 s; the rest of them all have.
    assert curve.share_labelled(100.0) == pytest.approx(0.25, abs=0.02)
    assert curve.share_labelled(1_000.0) == pytest.approx(0.5, abs=0.02)
    assert curve.share_labelled(3_500.0) == pytest.approx(1.0, abs=0.03)


def test_a_late_outcome_leaves_the_plateau():
    """A prediction given up as never labelled comes after all: it enters at the last age."""
    curve = DelayCurve(age_max_s=100.0)
    curve.advance(0.0)
    curve.issued(0.0)
    curve.advance(500.0)
    assert (curve.never, curve.plateau) == (1, 0.0)
    curve.labelled(0.0)
    assert (curve.never, curve.plateau) == (0, 1.0)


def test_memory_is_bounded_whatever_the_traffic():
    """Never-labelled predictions over 50 times age_max_s leave at most the buckets."""
    curve = DelayCurve(age_max_s=200.0)
    play(curve, 10_000, lambda r, i: None)
    assert len(curve.waiting) <= BUCKETS + 2
    assert curve.never + sum(curve.waiting.values()) == 10_000


def test_two_curves_add_up():
    """Merging two partitions is the curve of all their predictions."""
    one, two, both = (DelayCurve(age_max_s=1_000.0) for _ in range(3))
    for curve, seeds in ((one, [1]), (two, [2]), (both, [1, 2])):
        rngs = [random.Random(seed) for seed in seeds]
        pending: list[list[tuple[float, float]]] = [[] for _ in seeds]
        for now in range(5_000):
            curve.advance(float(now))
            for rng, due in zip(rngs, pending, strict=True):
                while due and due[0][0] <= now:
                    curve.labelled(due.pop(0)[1])
                curve.issued(float(now))
                bisect.insort(due, (now + rng.choice((5, 50, 400)), float(now)))
    merged = one.merge(two)
    assert merged.counts == both.counts
    assert merged.survival() == pytest.approx(both.survival())
    with pytest.raises(ValueError, match="bins"):
        one.merge(DelayCurve(age_max_s=2_000.0))


def test_labels_that_stop_raise_one_alarm_soon_and_labels_that_go_on_none():
    """Delays of 60 to 600 s, a prediction a second: stopped at 40,000 s, told in 15 minutes."""
    going = DelayCurve(age_max_s=6_400.0)
    assert play(going, 40_000, lambda r, _: r.uniform(60, 600)) == []
    stopped = DelayCurve(age_max_s=6_400.0)
    alarms = play(stopped, 44_000, lambda r, i: r.uniform(60, 600) if i < 40_000 else None)
    assert len(alarms) == 1
    assert 40_000 <= alarms[0].since <= 40_900
    assert alarms[0].arrived < 0.5 * alarms[0].expected


def test_a_pause_of_predictions_is_not_a_stop_of_labels():
    """At night nobody predicts, so nothing is expected."""
    curve, alarms, due = DelayCurve(age_max_s=6_400.0), [], []
    for now in itertools.chain.from_iterable(
        range(d * 86_400, d * 86_400 + 9_000) for d in range(4)
    ):
        alarms.append(curve.advance(float(now)))
        while due and due[0] <= now - 100:
            curve.labelled(float(due.pop(0)))
        if now % 86_400 < 8_000:
            curve.issued(float(now))
            due.append(now)
    assert [a for a in alarms if a] == []


def test_a_curve_cut_and_restored_goes_on_the_same():
    """The pickle holds everything."""
    curve = DelayCurve(age_max_s=1_000.0)
    play(curve, 3_000, lambda r, _: r.uniform(1, 500))
    copy = pickle.loads(pickle.dumps(curve))
    for c in (curve, copy):
        c.advance(3_500.0)
        c.labelled(2_990.0)
    assert copy == curve
