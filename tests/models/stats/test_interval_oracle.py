"""The confidence sequence against a second implementation, in numpy, written from its formulas.

It keeps every block and searches margins on a grid; `Comparison` keeps six sums and bisects.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import t as student_t

from models.stats.confidence_sequence import Comparison

STAKES = np.array([1.0, 0.5, 0.25, 0.125, 0.0625])
WARM = 7
COST = 15.0


def scales(values: np.ndarray) -> np.ndarray:
    """Return the scale that is bet with on each block after the warm-up, from those before."""
    per_block = []
    for seen in range(WARM, len(values)):
        later = values[WARM:seen]
        usual = later if len(later) >= WARM else values[: min(seen, 2 * WARM)]
        variance = np.var(usual, ddof=1) * (1.0 + 2.0 / len(usual))
        per_block.append(max(variance, (COST / 1_000.0) ** 2, (usual.mean() / 8.0) ** 2))
    return np.array(per_block)


def end(values: np.ndarray, weights: np.ndarray, size: int, alpha: float, sign: float) -> float:
    """Return the margin where wealth reaches 2/alpha, of bets on groups of `size` blocks."""
    variance, count = scales(values), (len(values) - WARM) // size
    gains = values[WARM : WARM + count * size].reshape(count, size).sum(1)
    sizes = weights[WARM : WARM + count * size].reshape(count, size).sum(1)
    own = [np.var(gains[:k], ddof=1) * (1.0 + 2.0 / k) if k >= 4 else 0.0 for k in range(count)]
    scale = np.sqrt(np.maximum(variance[::size][:count] * size, own))

    def excess(margin: float) -> float:
        y = sign * np.outer(STAKES, (gains - margin * sizes) / scale)
        spent = np.outer(STAKES**2, np.ones(count)) / 3.0
        wealth = (y - y * y / 6.0 - spent).sum(1)
        return float(logsumexp(wealth) - math.log(len(STAKES)) - math.log(2.0 / alpha))

    middle = gains.sum() / sizes.sum()
    step = 0.001
    while excess(middle - sign * step) < 0.0:
        step *= 1.05
    return float(brentq(excess, middle, middle - sign * step))


def running_half(values: np.ndarray, counts: np.ndarray, alpha: float) -> float:
    """Return the half width of the running mean, with scipy's t and numpy's variances."""
    gains, weights = values[WARM:], counts[WARM:].astype(float)
    mean, blocks = gains.sum() / weights.sum(), len(gains)
    rows: list[tuple[int, float, int]] = []
    for size, least in ((1, 4), (7, 4), (28, 6)):
        count = blocks // size
        if count >= least:
            away = (gains - mean * weights)[: count * size].reshape(count, size).sum(1)
            variance = max((away**2).sum() / (count - 1) / size, (COST / 1e3 * weights.mean()) ** 2)
            rows.append((size, variance, blocks // min(size, 7) - 1))
    if len(rows) > 1:
        (shorter, before, _), (size, variance, freedom) = rows[-2:]
        slope = min(math.log(max(variance / before, 1.0)) / math.log(size / shorter), 1.0)
        rows[-1] = size, variance * (blocks / size) ** slope, freedom
    ratio = blocks / 7.0
    z = math.sqrt((1.0 + 1.0 / ratio) * (math.log1p(ratio) - 2.0 * math.log(alpha)))
    tail = 0.5 * math.erfc(z / math.sqrt(2.0))
    widest = max(student_t.isf(tail, freedom) * math.sqrt(v) for _, v, freedom in rows)
    return float(widest * math.sqrt(blocks) / weights.sum())


@pytest.mark.parametrize("blocks", [60, 120, 250])
@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_that_of_a_second_implementation(blocks: int, seed: int) -> None:
    """Sizes and spreads that vary, AR(.5) days, a cold start: the same hull within 3 %.

    The 3 % are those of Student's t, which the tested one approximates; bets agree to a millionth.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(20, 400, size=blocks)
    days = np.zeros(blocks)
    for day in range(1, blocks):
        days[day] = 0.5 * days[day - 1] + rng.normal()
    mean = 0.4 + days * (0.5 if seed % 2 else 0.1) + rng.normal(size=blocks) / np.sqrt(counts)
    mean[0] = -10.0 if seed == 3 else mean[0]
    comparison = Comparison(alpha=0.05, bound=1e6)
    usual, values, weights = 0.0, [], []
    for number, (count, gain) in enumerate(zip(counts.tolist(), mean.tolist(), strict=True)):
        comparison.update(count, count * gain, cost=COST * count)
        weights.append(count / usual if number else 1.0)
        values.append(weights[-1] * gain)
        usual += (count - usual) / (number + 1)
    value, weight = np.array(values), np.array(weights)
    ends = [end(value, weight, size, 0.05, sign) for sign in (1.0, -1.0) for size in (1, 7)]
    assert [
        comparison._end(wager, sign) for sign in (1.0, -1.0) for wager in comparison.wagers
    ] == pytest.approx(ends, rel=1e-6, abs=1e-6)
    half = running_half(counts * mean, counts, 0.05)
    assert comparison.half_width == pytest.approx(half, rel=0.03)
    middle = (counts * mean)[WARM:].sum() / counts[WARM:].sum()
    lower, upper = comparison.interval
    assert lower == pytest.approx(min(middle - half, *ends[:2]), abs=0.03 * half)
    assert upper == pytest.approx(max(middle + half, *ends[2:]), abs=0.03 * half)


@pytest.mark.parametrize("seed", range(3))
def test_the_strict_capital_is_the_product_of_its_bets(seed: int) -> None:
    """Waudby-Smith and Ramdas, in numpy from the formula: prod(1 + rate·gain), mixed over stakes.

    A rate is a stake over the scale so far, but never more than the range allows.
    """
    rng = np.random.default_rng(seed)
    gains = 0.5 + rng.normal(size=300)
    comparison = Comparison(alpha=0.05, bound=20.0, floor=1e-3)
    for gain in gains.tolist():
        comparison.update(100, 100 * gain)
    scale = np.sqrt(
        [
            max(np.var(known, ddof=1) * (1.0 + 2.0 / len(known)), (known.mean() / 8.0) ** 2)
            for seen in range(WARM, len(gains))
            for known in [gains[WARM:seen] if seen >= 2 * WARM else gains[: min(seen, 2 * WARM)]]
        ]
    )
    rates = np.minimum(np.outer(STAKES, 1.0 / scale), 0.99 / 20.0)
    wealth = np.prod(1.0 + rates * gains[WARM:], axis=1).mean()
    assert comparison.strict is not None
    assert np.exp(comparison.strict.up).mean() == pytest.approx(wealth, rel=1e-9)
    assert comparison.strict_verdict == ("better" if wealth >= 2.0 / 0.05 else "undecided")
