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
    found = running_mean(values.tolist()).correlation
    assert found == pytest.approx(acf(values, nlags=1)[1], abs=0.02)


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


def test_memory_is_unknown_before_28_blocks_and_doubted_until_it_is_measured():
    """AR(.8) is told within two months; independent blocks are not."""
    rng = np.random.default_rng(4)
    values = [0.0]
    for noise in rng.normal(size=60):
        values.append(0.8 * values[-1] + noise)
    assert "hang together" in (running_mean(values).memory_doubt or "")
    shuffled = rng.permutation(values).tolist()
    assert running_mean(shuffled).memory_doubt is None
    assert "27 of them; 28 are needed" in (running_mean(shuffled[:27]).memory_doubt or "")


def autoregressive(rho, blocks, seed):
    """Return a stationary AR(1)."""
    rng = np.random.default_rng(seed)
    values = [rng.normal() / math.sqrt(1.0 - rho * rho)]
    for noise in rng.normal(size=blocks - 1):
        values.append(rho * values[-1] + noise)
    return values


@pytest.mark.parametrize(
    ("rho", "blocks", "known_after"), [(0.2, 150, 168), (0.45, 150, 168), (0.45, 320, 336)]
)
def test_a_correlation_is_doubted_as_long_as_groups_of_28_are_few(rho, blocks, known_after):
    """Above .1 before 168 blocks and above .2 before 336; the doubt says how long it lasts."""
    doubts = [running_mean(autoregressive(rho, blocks, seed)).memory_doubt for seed in range(20)]
    told = [doubt for doubt in doubts if doubt and f"known after {known_after} blocks" in doubt]
    assert len(told) >= 15


@pytest.mark.parametrize(("rho", "blocks"), [(0.1, 320), (0.3, 340)])
def test_a_memory_that_was_measured_is_doubted_no_longer(rho, blocks):
    """A weak correlation after 168 blocks, and any of a short memory after 336."""
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
