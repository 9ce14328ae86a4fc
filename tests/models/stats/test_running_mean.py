import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import t as student_t
from statsmodels.tsa.stattools import acf

from models.stats.running_mean import TAU, RunningMean, student


def running_mean(gains, weights=None):
    """Return a running mean of these blocks."""
    running = RunningMean()
    for gain, weight in zip(gains, weights or [1.0] * len(gains), strict=True):
        running.update(gain, weight)
    return running


@pytest.mark.parametrize("blocks", [10, 50, 1_000])
def test_the_bound_is_robbins_mixture_integrated_by_scipy(blocks):
    """At the bound, the likelihood ratio mixed over N(0, 1/TAU) drifts is 1/alpha exactly."""
    alpha, ratio = 0.05, blocks / TAU
    z = math.sqrt((1.0 + 1.0 / ratio) * (math.log1p(ratio) - 2.0 * math.log(alpha)))
    path = z * math.sqrt(blocks)

    def mixed(drift):
        density = math.sqrt(TAU / (2.0 * math.pi)) * math.exp(-TAU * drift * drift / 2.0)
        return math.exp(drift * path - drift * drift * blocks / 2.0) * density

    wealth, _ = quad(mixed, -10.0, 10.0, points=[path / (blocks + TAU)], limit=200)
    assert wealth == pytest.approx(1.0 / alpha, rel=1e-6)


@pytest.mark.parametrize("freedom", [5, 10, 30])
@pytest.mark.parametrize("z", [1.5, 2.5, 3.5])
def test_students_t_is_scipys_within_three_percent(z, freedom):
    """Wallace's approximation against the exact quantile."""
    exact = student_t.isf(0.5 * math.erfc(z / math.sqrt(2.0)), freedom)
    assert student(z, freedom) == pytest.approx(exact, rel=0.03)


def test_the_correlation_is_that_of_statsmodels():
    """Equal weights: the first autocorrelation."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=200).cumsum() * 0.1 + rng.normal(size=200)
    correlation = running_mean(values.tolist()).correlation
    assert correlation == pytest.approx(acf(values, nlags=1)[1], abs=0.02)


def test_the_variances_are_numpys_about_the_mean_of_all():
    """Groups of one and of seven blocks, with weights."""
    rng = np.random.default_rng(2)
    weights = rng.integers(1, 100, size=70).astype(float)
    gains = weights * rng.normal(0.3, 1.0, size=70)
    running = running_mean(gains.tolist(), weights.tolist())
    for group in running.groups[:2]:
        rest = (gains - running.mean * weights).reshape(-1, group.size).sum(1)
        expected = (rest**2).sum() / (len(rest) - 1) / group.size
        assert group.variance(running.mean) == pytest.approx(expected)


def test_a_gain_that_hangs_together_widens_the_bounds_beyond_their_own_variance():
    """AR(.9): the bounds are wider than those of the same values in another order."""
    rng = np.random.default_rng(3)
    values = [0.0]
    for noise in rng.normal(size=200):
        values.append(0.9 * values[-1] + noise)
    shuffled = rng.permutation(values).tolist()
    half = running_mean(values).half_width(0.05, 0.0)
    assert half > 2.5 * running_mean(shuffled).half_width(0.05, 0.0)


def autoregressive(rho, blocks, seed):
    """Return a stationary AR(1)."""
    rng = np.random.default_rng(seed)
    values = [rng.normal() / math.sqrt(1.0 - rho * rho)]
    for noise in rng.normal(size=blocks - 1):
        values.append(rho * values[-1] + noise)
    return values


def test_memory_is_unknown_before_28_blocks():
    """Whatever they are like; 28 independent ones leave no doubt."""
    values = np.random.default_rng(4).normal(size=60).tolist()
    early = running_mean(values[:27]).memory_doubt
    assert "27 of them; 28 are needed" in early.reason
    assert math.isinf(early.factor)
    assert running_mean(values).memory_doubt is None


@pytest.mark.parametrize("blocks", [60, 160, 320])
def test_a_correlation_is_doubted_before_336_blocks(blocks):
    """AR(.45): the doubt says how wide long memory of that correlation would make the bounds."""
    doubts = [running_mean(autoregressive(0.45, blocks, seed)).memory_doubt for seed in range(20)]
    told = [doubt for doubt in doubts if doubt and "known after 336 blocks" in doubt.reason]
    assert len(told) >= 15
    assert all(1.0 < doubt.factor < blocks**0.5 for doubt in told)


@pytest.mark.parametrize(("rho", "blocks"), [(0.0, 320), (0.3, 340)])
def test_no_memory_and_a_memory_that_was_measured_are_not_doubted(rho, blocks):
    """Independent blocks at any time, a short memory after 336."""
    doubts = [running_mean(autoregressive(rho, blocks, seed)).memory_doubt for seed in range(20)]
    assert sum(doubt is None for doubt in doubts) >= 15


def test_a_running_mean_cut_and_restored_goes_on_the_same():
    """The same floats after a snapshot."""
    rng = np.random.default_rng(5)
    whole, part = RunningMean(), RunningMean()
    for number, gain in enumerate(rng.normal(size=80).tolist()):
        whole.update(gain, 1.0 + number % 3)
        part = pickle.loads(pickle.dumps(part))
        part.update(gain, 1.0 + number % 3)
    assert part == whole
    assert part.half_width(0.05, 0.1) == whole.half_width(0.05, 0.1)
