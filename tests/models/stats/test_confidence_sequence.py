import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.decisions.false_winners import PROMISED, count
from models.stats.alpha_spending import AlphaSpending
from models.stats.confidence_sequence import Comparison

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", PROMISED)
def test_equal_models_get_a_winner_in_at_most_24_of_300_runs(name, record_property):
    """The 99 % binomial limit of 5 %, with a look after every block; the t-test is shown beside."""
    c = count(PROMISED[name], runs=300, blocks=200, seed=11)
    record_property(
        f"false winners in 300 runs, {name}",
        f"riverrun {c.comparison}, strict {c.strict}; t-test at the end {c.t_at_end}, "
        f"after every block {c.t_each_block}",
    )
    assert c.comparison <= 24
    assert c.strict <= 24


def test_the_t_test_that_is_looked_at_fails_the_same_simulation():
    """The simulation can fail a method: otherwise passing it would show nothing."""
    c = count(PROMISED["common day effect"], runs=200, blocks=100, seed=11)
    assert c.t_each_block > 0.25 * 200


def test_a_true_gain_of_two_percent_is_found_within_a_season(record_property):
    """Cost 15, gain 0.30, sd 10, 900 examples a day with a day variance inflation of 5."""
    rng = np.random.default_rng(3)
    days = []
    for _ in range(100):
        c = Comparison(alpha=0.05, bound=540.0)
        won = math.inf
        for day, value in enumerate((0.30 + 0.745 * rng.normal(size=365)).tolist(), 1):
            c.update(900, 900 * value)
            won = min(won, day) if c.verdict == "better" else won
        days.append(won)
    record_property(
        "a true gain of 2 %",
        f"{sum(map(math.isfinite, days))} of 100 runs find it, median {np.median(days):.0f} days",
    )
    assert np.median(days) <= 126
    assert sum(map(math.isfinite, days)) >= 95


def test_identical_models_never_win():
    """A difference that is always zero is no evidence, however long."""
    c = Comparison(alpha=0.05, bound=540.0)
    for _ in range(5_000):
        c.update(900, 0.0)
    assert c.verdict == "undecided"


def test_models_that_differ_by_rounding_do_not_win_in_a_year():
    """A constant gain of a ten-millionth of the range is below the floor of the scale."""
    c = Comparison(alpha=0.05, bound=540.0)
    for _ in range(365):
        c.update(900, 900 * 540e-7)
    assert c.verdict == "undecided"


@pytest.mark.parametrize("gain", [1.0, -20.0])
def test_a_gain_without_any_variance_is_found(gain):
    """The same gain on each day, however large beside the scale: found on day 35, the first."""
    c = Comparison(alpha=0.05, bound=50.0)
    for _ in range(60):
        c.update(900, 900 * gain)
    assert c.verdict == ("better" if gain > 0 else "worse")
    assert c.decided_at == 35
    assert c.interval.lower <= gain <= c.interval.upper
    assert c.interval.lower * c.interval.upper > 0


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_verdict_ends_when_what_it_rests_on_turns(gain):
    """100 good days and 200 bad ones: the verdict is that of the interval as of now."""
    rng, verdicts = random.Random(4), []
    c = Comparison(alpha=0.05, bound=50.0)
    for day in range(300):
        c.update(100, 100 * ((gain if day < 100 else -gain) + rng.gauss(0.0, 1.0)))
        if day % 10 == 9:
            assert (c.verdict == "better") is (c.interval.lower > 0)
            assert (c.verdict == "worse") is (c.interval.upper < 0)
        verdicts.append(c.verdict)
    first, last = ("better", "worse") if gain > 0 else ("worse", "better")
    assert verdicts[90] == first
    assert verdicts[299] != first
    assert last not in verdicts[:200]
    assert c.decided_at is None or c.decided_at > 100


def test_the_strict_verdict_is_not_fooled_by_losses_not_yet_seen():
    """Small gains every day, the whole range lost once in 1,000: mean zero, no strict winner."""
    rng = np.random.default_rng(5)
    wins = 0
    for _ in range(200):
        c = Comparison(alpha=0.05, bound=100.0)
        won = False
        for lost in (rng.random(300) < 1 / 1_000).tolist():
            c.update(100, 100 * (-99.9 if lost else 0.1))
            won = won or c.strict_verdict == "better"
        wins += won
    assert wins <= 20


def test_the_interval_holds_the_true_mean_and_shrinks():
    """At every block of 200 runs the true mean lies inside, in all but alpha of the runs."""
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(100):
        c = Comparison(alpha=0.05, bound=60.0)
        bad = False
        for day, value in enumerate((0.5 + rng.normal(size=150)).tolist()):
            c.update(100, 100 * value)
            if day % 10 == 9:
                bad |= not c.interval.lower <= 0.5 <= c.interval.upper
        missed += bad
    assert missed <= 12
    assert c.interval.upper - c.interval.lower < 1.2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1.5, 1.5), st.floats(-0.5, 0.5))
def test_interval_and_verdict_agree(seed, gain, margin):
    """A lower bound above the margin means 'better', an upper bound below it 'worse'."""
    rng = random.Random(seed)
    c = Comparison(alpha=0.05, bound=50.0, margin=margin)
    for _ in range(90):
        n = rng.randint(1, 1_000)
        c.update(n, n * (gain + rng.gauss(0.0, 1.0)))
    lower, upper = c.interval
    assert lower <= upper
    if lower > margin + 1e-6:
        assert c.verdict == "better"
    if upper < margin - 1e-6:
        assert c.verdict == "worse"


def test_a_margin_is_demanded_and_the_worse_challenger_is_named():
    """0.5 better is not enough for a margin of 1, and is 'worse' than the margin."""
    c = Comparison(alpha=0.05, bound=50.0, margin=1.0)
    rng = random.Random(1)
    for _ in range(150):
        c.update(500, 500 * (0.5 + rng.gauss(0.0, 0.3)))
    assert c.verdict == "worse"


def test_missing_outcomes_at_their_worst_widen_the_bound_by_their_share_of_the_range(
    record_property,
):
    """10 % missing of a range of 50 costs 5 on either side (Manski)."""
    c = Comparison(alpha=0.05, bound=50.0)
    for day in range(40):
        c.update(900, 900 * (1.0 + 0.1 * (-1) ** day), missing=100)
    lower, upper = c.interval
    worst = c.worst_case
    record_property(
        "10 % of outcomes missing, range 50",
        f"gain in [{lower:.2f}, {upper:.2f}], at worst in [{worst.lower:.2f}, {worst.upper:.2f}]",
    )
    assert c.worst_case.lower == pytest.approx(0.9 * lower - 5.0)
    assert c.worst_case.upper == pytest.approx(0.9 * upper + 5.0)


def test_a_lonely_block_does_not_count_as_a_day():
    """A block of one example with an extreme value barely moves the evidence of full days."""
    c = Comparison(alpha=0.05, bound=50.0)
    for day in range(60):
        c.update(900, 900 * (0.3 * (-1) ** day))
    before = c.interval
    c.update(1, 50.0)
    assert c.interval.upper - before.upper < 0.05


def test_a_block_outside_the_declared_range_is_refused_and_changes_nothing():
    """The range is what the bounds rest on."""
    c = Comparison(alpha=0.05, bound=10.0)
    c.update(5, 10.0)
    before = pickle.dumps(c)
    with pytest.raises(ValueError, match="outside"):
        c.update(1, 10.1)
    with pytest.raises(ValueError, match="outside"):
        c.update(1, math.nan)
    assert pickle.dumps(c) == before


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_a_comparison_cut_and_restored_goes_on_the_same(seed, cut):
    """Any cut, any stream: the same verdict and the same floats."""
    rng = random.Random(seed)
    values = [rng.gauss(0.2, 1.0) for _ in range(60)]
    whole, part = (Comparison(alpha=0.05, bound=50.0) for _ in range(2))
    for i, value in enumerate(values):
        whole.update(10, 10 * value)
        if i == cut:
            part = pickle.loads(pickle.dumps(part))
        part.update(10, 10 * value)
    assert part == whole


def days_to_find(gain=0.3, first=None, bound=540.0, cost=15.0, seed=3, runs=40):
    """Median days until a gain is found, of days with a deviation of a third of cost 1."""
    rng, days = np.random.default_rng(seed), []
    for _ in range(runs):
        c = Comparison(alpha=0.05, bound=bound)
        values = (gain + rng.normal(size=200) / 3.0).tolist()
        if first is not None:
            values[0] = first
        won = math.inf
        for day, value in enumerate(values, 1):
            c.update(900, 900 * value, cost=900 * cost)
            won = min(won, day) if c.verdict == "better" else won
        days.append(won)
    return float(np.median(days))


def test_a_cold_start_does_not_hide_what_follows():
    """One day at -20 among the first seven costs at most two weeks."""
    assert days_to_find(first=-20.0) <= days_to_find() + 14


@pytest.mark.parametrize("bound", [540.0, 30_000.0, 1e6])
def test_a_wide_range_does_not_hide_a_gain(bound):
    """The least deviation is relative to the champion's usual cost, not to the range."""
    assert days_to_find(bound=bound, runs=10) <= 63


def test_what_missing_outcomes_could_undo_is_not_promised():
    """4 % missing: unknown is marked, by chance is not, and the worst case has no verdict."""
    comparisons = {
        missing: Comparison(alpha=0.05, bound=50.0, missing_outcomes=missing)
        for missing in ("unknown", "by chance", "worst")
    }
    for day in range(80):
        for c in comparisons.values():
            c.update(96, 96 * (1.0 + 0.3 * (-1) ** day), missing=4)
    assert [c.verdict for c in comparisons.values()] == ["better", "better", "undecided"]
    doubts = [c.not_promised for c in comparisons.values()]
    assert doubts[0] is not None
    assert "4.0% of the outcomes are missing" in doubts[0]
    assert doubts[1:] == [None, None]


def test_a_gain_above_the_worst_case_is_promised_and_found():
    """1 % missing of a range of 50 can take back 0.5 at most: a gain of 2 stands."""
    for missing in ("unknown", "worst"):
        c = Comparison(alpha=0.05, bound=50.0, missing_outcomes=missing)
        for day in range(80):
            c.update(99, 99 * (2.0 + 0.3 * (-1) ** day), missing=1)
        assert (c.verdict, c.not_promised) == ("better", None)


def steady(days, **options):
    """Return a comparison of days that each gain about 0.1."""
    c = Comparison(alpha=0.05, bound=options.pop("bound", 50.0), **options)
    for day in range(days):
        c.update(100, 100 * (0.1 + 0.01 * (-1) ** day))
    return c


def test_a_clear_gain_is_promised_as_soon_as_it_is_found():
    """The first verdict, after 35 days: it says which losses could not be seen by then."""
    first = steady(35)
    assert (first.verdict, first.not_promised) == ("better", None)
    assert "no large loss comes less often than once in 3 blocks" in first.assumes


def test_losses_that_were_declared_are_waited_for():
    """Once in 40 blocks: seen in 200 blocks but for 0.7 % of use cases."""
    young = steady(199, rare_losses=40)
    assert young.verdict == "better"
    assert "a loss that comes once in 40 blocks may not have been seen" in young.not_promised
    assert steady(200, rare_losses=40).not_promised is None


def test_that_months_are_independent_is_assumed_until_it_is_measured():
    """Twelve groups of 28 blocks measure it."""
    assert "hang together over months" in steady(7 + 335).assumes
    assert steady(7 + 336).assumes == (
        "that no large loss comes less often than once in 34 blocks (343 cannot show how often)"
    )


@pytest.mark.parametrize(("gain", "doubted"), [(0.8, True), (3.0, False)])
def test_memory_is_a_doubt_only_where_it_could_undo_the_verdict(gain, doubted):
    """AR(.3) days of deviation 1: long memory of it would widen the bounds threefold."""
    rng, level = np.random.default_rng(2), 0.0
    c = Comparison(alpha=0.05, bound=50.0)
    for _ in range(100):
        level = 0.3 * level + rng.normal()
        c.update(100, 100 * (gain + level))
    assert c.verdict == "better"
    assert ("hang together" in (c.not_promised or "")) is doubted


def test_a_gain_that_no_rare_loss_within_the_range_could_undo_is_promised():
    """Of 80 days at most 3/80 have losses unlike any seen: of a range of 1 they cost 0.04."""
    assert steady(80, bound=1.0, rare_losses=40).not_promised is None
    assert steady(80, bound=4.0, rare_losses=40).not_promised is not None


def test_a_share_that_could_not_err_is_given_back_and_used_again():
    """What ended before its first possible verdict costs nothing."""
    budget = AlphaSpending(0.05)
    first, second = budget.open("first"), budget.open("second")
    budget.give_back(first)
    assert budget.spent == pytest.approx(second.alpha)
    assert budget.open("third") == first
    assert budget.open("fourth").number == 3


def test_the_budget_of_any_number_of_comparisons_stays_within_alpha():
    """The shares of 10,000 comparisons add up to less than 5 %, and the first gets most."""
    budget = AlphaSpending(0.05)
    first = budget.spend("first")
    total = first + sum(budget.spend(str(k)) for k in range(10_000))
    assert total < 0.05
    assert budget.left == pytest.approx(0.05 - total)
    assert first > 0.03
    assert len(budget.names) == 100


def test_a_large_block_at_the_edge_of_the_range_ruins_no_bet():
    """A block 50 times the usual size that gains or loses all it can leaves every stake its log."""
    for sign in (1.0, -1.0):
        part = Comparison(alpha=0.05, bound=50.0, margin=0.0)
        for _ in range(20):
            part.update(2, sign * 100.0, 0, cost=100.0)
        part.update(100, -sign * 5_000.0, 0, cost=5_000.0)
        assert all(map(math.isfinite, [*part.strict.up, *part.strict.down]))
