import math
import pickle
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.breaker_trips import simulated
from models.evidence.breaker import Breaker
from models.evidence.mean_detector import MeanDetector


def examples(n, seed=1):
    """(champion, baseline, label): labels of sd 20, baseline errs by 10, champion by 8."""
    rng = random.Random(seed)
    for _ in range(n):
        label = rng.gauss(0, 20)
        yield label + rng.gauss(0, 8), label + rng.gauss(0, 10), label


def tripped_after(breaker, stream):
    """Examples until the breaker opens, or None."""
    for i, (champion, baseline, label) in enumerate(stream, start=1):
        breaker.update(champion, baseline, label)
        if breaker.open:
            return i
    return None


def settled():
    """A breaker that has seen 20,000 ordinary examples."""
    breaker = Breaker()
    assert tripped_after(breaker, examples(20_000)) is None
    return breaker


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_healthy_champion_is_never_replaced(rho):
    """200,000 examples, independent or AR(.9); a million, and flights: benchmarks/breaker_trips."""
    assert simulated(rho, n=200_000) == 0


@pytest.mark.parametrize("said", [1e9, -1e9, math.nan, math.inf])
def test_a_runaway_champion_is_replaced_within_150_examples(said):
    """Whatever it says, finite or not."""
    breaker = settled()
    assert tripped_after(breaker, ((said, b, y) for _, b, y in examples(1_000, 2))) <= 150
    assert breaker.cause == "worse than the baseline"


def test_a_champion_that_errs_twice_as_much_as_the_baseline_is_replaced_within_500():
    """Gradual harm, no runaway."""
    breaker = settled()
    worse = ((y + 2.5 * (c - y), b, y) for c, b, y in examples(2_000, 3))
    assert tripped_after(breaker, worse) <= 500
    assert breaker.cause == "worse than the baseline"


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda y: -y,
        lambda y: 0.0,
        lambda y: 60 * y,
        lambda y: y + 300,
        lambda y: 999.0,
        lambda y: y / 60,
        lambda y: float(round(y / 60)),
    ],
)
def test_corrupted_labels_bring_the_baseline_within_500_even_if_the_champion_fits_them(corrupt):
    """A champion that has learnt the corruption perfectly looks best of all: still replaced."""
    breaker = settled()
    fitted = ((corrupt(y), b, corrupt(y)) for _, b, y in examples(2_000, 4))
    assert tripped_after(breaker, fitted) <= 500


def test_the_way_back_needs_evidence_and_leads_back():
    """After a trip the baseline stays while harm lasts, and goes once the champion is better."""
    breaker = settled()
    assert tripped_after(breaker, ((1e9, b, y) for _, b, y in examples(1_000, 2)))
    for _, b, y in examples(5_000, 5):
        assert not breaker.update(y + 50.0, b, y)
    changes = [breaker.update(c, b, y) for c, b, y in examples(5_000, 6)]
    assert sum(changes) == 1
    assert changes.index(True) < 2_000
    assert not breaker.open
    assert breaker.cause is None


def test_a_champion_no_better_than_the_baseline_rarely_comes_back():
    """Hysteresis: the way back asks for better, not for no longer worse."""
    breaker = settled()
    tripped_after(breaker, ((1e9, b, y) for _, b, y in examples(1_000, 2)))
    rng = random.Random(7)
    for _, b, y in examples(5_000, 7):
        breaker.update(y + 12.0 * rng.choice((-1, 1)), b, y)
    assert breaker.open


def test_each_further_trip_makes_the_way_back_longer():
    """A champion that flaps is let back ever later, up to a bound."""
    breaker = settled()
    assert breaker.needed_back == 1_000.0
    for _ in range(3):
        tripped_after(breaker, ((1e9, b, y) for _, b, y in examples(1_000, 2)))
        for c, b, y in examples(20_000, 8):
            breaker.update(c, b, y)
        assert not breaker.open
    assert breaker.trips == 3
    assert breaker.needed_back == 4_000.0
    breaker.trips = 10_000
    assert breaker.needed_back == 1_000.0 * 1_024


def test_what_comes_while_open_does_not_become_usual():
    """A long corruption leaves the memory of ordinary losses as it was."""
    breaker = settled()
    tripped_after(breaker, ((999.0, b, 999.0) for _, b, _ in examples(1_000, 2)))
    before = breaker.usual.loss
    for _, b, _ in examples(20_000, 9):
        breaker.update(999.0, b, 999.0)
    assert breaker.usual.loss == before
    assert breaker.open


def test_a_baseline_that_says_nothing_silences_the_labels_detector_only():
    """A constant baseline claims nothing about labels; a bad champion still trips."""
    breaker, rng = Breaker(), random.Random(1)
    for _ in range(20_000):
        y = rng.gauss(0, 20)
        breaker.update(y + rng.gauss(0, 8), 0.0, y)
    assert not breaker.open
    assert not breaker.usual.informative
    worse = ((1e6, 0.0, y) for _, _, y in examples(500, 3))
    assert tripped_after(breaker, worse) <= 150


def test_the_mean_run_to_a_false_trip_is_at_least_the_threshold():
    """On the boundary of what is allowed the bound is nearly an equality: 10 % for chance."""
    runs = []
    for seed in range(400):
        rng, detector = random.Random(seed), MeanDetector(allowed=0.5, low=0.0)
        steps = 0
        while detector.evidence < 200.0:
            detector.update(float(rng.random() < 0.5))
            steps += 1
        runs.append(steps)
    assert 180.0 <= statistics.mean(runs) <= 400.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 4_999))
def test_a_breaker_cut_and_restored_goes_on_the_same(cut):
    """Any cut: the same state, open or closed."""
    whole, part = Breaker(warm=100, open_min=50), Breaker(warm=100, open_min=50)
    for i, (c, b, y) in enumerate(examples(5_000, 10)):
        c = 1e9 if 2_000 <= i < 2_300 else c
        whole.update(c, b, y)
        if i == cut:
            part = pickle.loads(pickle.dumps(part))
        part.update(c, b, y)
    assert part == whole
    assert whole.trips == 1
