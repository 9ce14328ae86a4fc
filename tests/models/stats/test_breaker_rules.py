import math
import pickle
import random
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.decisions.breaker_trips import simulated
from models.serving.circuit_breaker import CircuitBreaker
from models.spec.problem_types import KINDS
from models.spec.use_case import Kpi
from models.stats.breaker_rules import Breaker, Difference
from models.stats.mean_shift import MeanDetector

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_healthy_champion_is_never_replaced(rho):
    """200,000 examples, independent or AR(.9); a million, and flights: benchmarks/breaker_trips."""
    assert simulated(rho, n=200_000) == 0


@pytest.mark.parametrize("value", [1e9, -1e9, math.nan, math.inf])
def test_a_runaway_champion_is_replaced_within_150_examples(value):
    """Whatever it says, finite or not."""
    breaker = settled()
    assert tripped_after(breaker, ((value, b, y) for _, b, y in examples(1_000, 2))) <= 150
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


def test_evidence_is_the_sum_over_all_starts_of_the_products_of_bets():
    """Shiryaev and Roberts by the definition, in numpy: a sum over starts, averaged over stakes."""
    values = np.random.default_rng(2).uniform(size=200)
    detector = MeanDetector(allowed=0.45, low=0.0)
    for value in values.tolist():
        detector.update(value)
    sums = [
        sum(np.prod(1.0 + stake * (values[start:] / 0.45 - 1.0)) for start in range(200))
        for stake in (0.02, 0.06, 0.2)
    ]
    assert detector.evidence == pytest.approx(np.mean(sums), rel=1e-9)


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


@pytest.mark.parametrize("jump", [30.0, 1e6, 1e100, -50.0])
@pytest.mark.parametrize("label", [0.0, 7.0, -3e-310])
def test_labels_may_shift_under_a_constant_baseline(jump, label):
    """Labels that were all alike and then are not: it may open, and goes on whatever comes."""
    rng = random.Random(1)
    breaker, changes = Breaker(warm=100), 0
    for i in range(4_000):
        y = label if i < 1_000 else label + jump * (i < 2_500) + rng.gauss(0, 1)
        changes += breaker.update(champion=y + 0.1, baseline=7.0, label=y)
    assert changes >= 0
    assert 0.05 <= breaker.usual.allowed <= 0.95


LARGEST_LOSS = -math.log(1e-15)


def log_loss(p, yes):
    """As `Binary.losses` has it."""
    p = min(max(p, 1e-15), 1 - 1e-15)
    return -math.log(p if yes else 1.0 - p)


def rare(n, one_in, seed=1, predict=lambda share: share, cost=log_loss):
    """Arguments of `update_losses` of a rare class: a model that predicts from each event's true
    probability, and a baseline that always says no.
    """
    rng = random.Random(seed)
    for _ in range(n):
        share = min(0.9, rng.expovariate(one_in))
        yes = rng.random() < share
        yield (cost(predict(share), yes), cost(0.0, yes)), log_loss(0.0, yes), not yes


def missed(p, yes):
    """A KPI: an alarm costs 1, a miss 1,000; who knows p raises one above 1/1,000."""
    return 1.0 if p > 1e-3 else 1_000.0 * yes


COSTS = {"log loss": (log_loss, LARGEST_LOSS), "alarms": (missed, 1_000.0)}


def of_range(largest):
    """A breaker of a KPI with this range."""
    return Breaker(difference=Difference(largest))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("one_in", [2, 12, 300, 20_000])
def test_a_calibrated_champion_is_never_withheld_however_rare_the_class(one_in, cost):
    """Its premium for each no is paid long before the first yes, and yeses are far between."""
    function, largest = COSTS[cost]
    breaker = of_range(largest)
    rows = rare(30_000, one_in, cost=function)
    assert not any(breaker.update_losses(*row) for row in rows)


@pytest.mark.parametrize(
    ("one_in", "labels", "broken"),
    [
        (12, 220, lambda share: 1.0),
        (50, 200, lambda share: 1.0 - share),
        (20_000, 120, lambda share: 1.0),
    ],
)
def test_a_broken_champion_of_a_rare_class_is_withheld_and_comes_back(one_in, labels, broken):
    """Yes to everything, or turned: withheld after some hundred labels, not after some hundred
    yeses; served again within 5,000 labels once it is mended.
    """
    breaker = of_range(LARGEST_LOSS)
    for row in rare(12_000, one_in):
        assert not breaker.update_losses(*row)
    withheld = [breaker.update_losses(*row) for row in rare(500, one_in, 9, broken)]
    assert withheld.index(True) < labels
    assert breaker.cause == "worse than the baseline"
    back = [breaker.update_losses(*row) for row in rare(8_000, one_in, 10)]
    assert any(back)


def test_a_champion_that_is_broken_from_the_start_is_withheld_before_any_event():
    """No yes in sight, so nothing is known of what the baseline costs: the range bounds it."""
    breaker = of_range(LARGEST_LOSS)
    rows = rare(2_500, 1_000_000, 3, lambda share: 1.0)
    assert any(breaker.update_losses(*row) for row in rows)
    assert breaker.usual.error.events == 0


def test_worse_is_judged_by_the_kpi_and_not_by_the_error():
    """Too late costs 19 times as much as too early: the champion errs more, and costs a quarter."""
    rng, breaker = random.Random(1), of_range(1_000.0)

    def cost(error):
        return 19.0 * -error if error < 0 else error

    for _ in range(20_000):
        y = rng.gauss(0, 1)
        champion, baseline = y + rng.gauss(0, 0.05) + 1.5, y + rng.gauss(0, 0.5)
        costs = cost(champion - y), cost(baseline - y)
        assert not breaker.update_losses(costs, abs(baseline - y), True, baseline, y)
    opened = [
        breaker.update_losses((cost(-1.5), cost(0.4)), 0.4, True, 0.4, 0.0) for _ in range(200)
    ]
    assert any(opened)
    assert breaker.cause == "worse than the baseline"


def test_a_champion_far_better_in_few_events_is_not_withheld_for_many_small_costs():
    """It pays 1 for 3 of 10 events and saves 1,000 for 1 of 1,000: clipping hides no gain."""
    rng, breaker = random.Random(2), of_range(1_000.0)
    for _ in range(30_000):
        yes, alarm = rng.random() < 0.001, rng.random() < 0.3
        costs = (1.0 if yes or alarm else 0.0), 1_000.0 * yes
        assert not breaker.update_losses(costs, float(yes), not yes)


def test_an_example_without_a_kpi_is_not_judged_worse():
    """Default labels may have no KPI; *loss* and *labels* read them all the same."""
    breaker = settled()
    before = list(breaker.worse.sums)
    breaker.update_losses(None, 5.0, True, 1.0, 6.0)
    assert breaker.worse.sums == before
    assert breaker.seen == settled().seen + 1


def test_it_closes_again_though_the_baseline_says_nothing_of_the_label():
    """*labels* is no witness there, neither against the champion nor for it."""
    rng = random.Random(3)
    breaker = Breaker()
    for _ in range(5_000):
        y = rng.gauss(0, 1)
        breaker.update(champion=y + 0.1, baseline=0.0, label=y)
    breaker.trip("error drifted")
    for _ in range(3_000):
        y = rng.gauss(0, 1)
        breaker.update(champion=y + 0.1, baseline=0.0, label=y)
    assert not breaker.open


def test_one_that_was_opened_before_the_baseline_erred_learns_what_is_usual():
    """Else nothing would ever be judged again, and the champion stay out for good."""
    rng = random.Random(4)
    breaker = Breaker(warm=100)
    breaker.trip("error drifted")
    for _ in range(3_000):
        y = rng.gauss(0, 1)
        breaker.update(champion=y, baseline=0.0, label=y)
    assert not breaker.open


def a_kpi(most):
    """A KPI from 0 to `most`, less is better."""
    return Kpi(lambda event, outcome, prediction: 0.0, "EUR", better="lower", range=(0.0, most))


def learnt(guard, amounts):
    """One labelled example whose served value and baseline have these KPIs, where they have one."""
    served, baseline = amounts
    kpi = {} if served is None else {"served": served, "baseline": baseline, "linear": served}
    guard.observe({"served": 3.0, "baseline": 2.0, "linear": 3.0}, kpi, "linear", 10.0, 8.0)


def test_the_breaker_of_a_partition_reads_kpis_whichever_way_they_are_better():
    """A gain of 5 more is a cost of 5 less; without a KPI nothing is judged by it."""
    kind = KINDS["regression"]
    gains = Kpi(lambda event, outcome, prediction: 0.0, "EUR", better="higher", range=(-5.0, 100.0))
    for kpi, cost in ((a_kpi(100.0), 5.0), (gains, -5.0)):
        guard = CircuitBreaker(kind, kpi, on=True)
        assert guard.breaker.difference.largest_possible == kpi.range[1] - kpi.range[0]
        learnt(guard, (15.0, 10.0))
        assert guard.breaker.difference.size.mean == 5.0
        assert (guard.breaker.difference.relative(cost) > 0) is (kpi.better == "lower")
        learnt(guard, (None, None))
        assert guard.breaker.difference.size.count == 1
        assert guard.breaker.seen == 2


def test_costs_of_another_kpi_are_forgotten():
    """A new definition with another KPI keeps the champion, and begins to measure its costs."""
    kind, breaker = KINDS["regression"], settled()
    same, other = (CircuitBreaker(kind, a_kpi(most), on=True) for most in (100.0, 7.0))
    same.adopt(breaker, same_kpi=True)
    assert same.breaker.difference.size.count == 20_000
    other.adopt(breaker, same_kpi=False)
    assert other.breaker.difference.size.count == 0
    assert other.breaker.difference.largest_possible == 7.0
    assert other.breaker.usual.error.count == 20_000
