import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import skew

from models.stats.confidence_sequence import Comparison
from models.stats.running_mean import LossSkew


def after(gains):
    """The skewness of blocks with these gains."""
    losses = LossSkew()
    for gain in gains:
        losses.update(float(gain))
    return losses


@given(st.lists(st.integers(-1_000, 1_000), min_size=3, max_size=80, unique=True))
def test_the_skewness_is_that_of_scipy(gains):
    """Block by block, in constant memory."""
    assert after(gains).skewness == pytest.approx(skew(gains), abs=1e-6)


def test_equal_gains_and_none_have_no_skewness():
    """Nothing is divided by a deviation of 0."""
    assert after([]).skewness == after([0.1] * 40).skewness == 0.0
    assert after([0.1] * 40).doubt(1.0) is None


def test_normal_blocks_are_doubted_by_chance_only():
    """In 2.3 % of cases at 28 blocks, less later: it costs them no power."""
    rng = np.random.default_rng(1)
    doubts = [after(rng.normal(size=60)).doubt(1.0) for _ in range(500)]
    assert sum(doubt is not None for doubt in doubts) <= 10


def test_losses_with_a_long_tail_are_doubted_until_there_are_blocks_enough():
    """Fifty blocks do not show the tail of a Pareto, four thousand of a lognormal do."""
    rng = np.random.default_rng(2)
    heavy = [after(-rng.pareto(1.2, size=(50, 60)).mean(1)).doubt(1.0) for _ in range(100)]
    assert sum(doubt is not None and "losses are so uneven" in doubt for doubt in heavy) > 90
    assert after(rng.lognormal(size=100)).doubt(-1.0).startswith("gains are so uneven")
    assert after(-rng.lognormal(0.0, 0.7, size=4_000)).doubt(1.0) is None


def test_a_verdict_on_uneven_losses_is_not_promised():
    """The comparison asks it of the side that could undo the verdict."""
    for sign, verdict, tail in ((1.0, "better", "losses"), (-1.0, "worse", "gains")):
        comparison = Comparison(alpha=0.05, bound=50.0)
        rng = np.random.default_rng(3)
        for _ in range(60):
            comparison.update(100, 100 * sign * (2.0 - rng.lognormal(-1.0, 0.9)))
        assert comparison.verdict == verdict
        assert f"{tail} are so uneven" in comparison.not_promised
