"""About how many further blocks decide a comparison, in microseconds: one is said after each block.

Each bet is taken to gain what the mean and the spread so far let expect; the wealth that is still
missing, divided by that, is the number. A forecast and no promise: the mean itself is not known
better than the interval says.
"""

from __future__ import annotations

import math

from models.evidence.confidence_sequence import STAKES, Comparison, Wager

BLOCKS_MAX = 3_650
"""As far as is looked ahead: ten years of days."""


def blocks_needed(comparison: Comparison) -> int | None:
    """0 if it is decided; None if it is not foreseen within `BLOCKS_MAX`.

    >>> c = Comparison(alpha=0.05, bound=50.0)
    >>> blocks_needed(c) is None
    True
    >>> for day in range(20):
    ...     c.update(count=900, gain=900 * (0.3 + 0.9 * (-1) ** day))
    >>> 20 < blocks_needed(c) < 300
    True
    """
    if comparison.verdict != "undecided":
        return 0
    if comparison.seen < 2:
        return None
    found = [_of(comparison, wager) for wager in comparison.wagers]
    if any(blocks is None for blocks in found):
        return None
    blocks = max(blocks for blocks in found if blocks is not None)
    blocks += max(0, comparison.warm_blocks - comparison.seen)
    return blocks if blocks <= BLOCKS_MAX else None


def _of(comparison: Comparison, wager: Wager) -> int | None:
    gain = comparison.mean - comparison.margin
    sign = 1.0 if gain > 0 else -1.0
    if wager.better if gain > 0 else wager.worse:
        return 0
    own = wager.spread.variance if wager.spread.count >= 4 else 0.0
    scale = math.sqrt(max(comparison.spread.variance * wager.group, own))
    if not scale or not gain:
        return None
    z = abs(gain) * wager.group / scale
    rate = max(s * z - s * s * (z * z + 1.0) / 6.0 - s * s / 3.0 for s in STAKES)
    if rate <= 0.0:
        return None
    wealth = wager.log_wealth(comparison.margin, sign) if wager.bets else 0.0
    missing = math.log(2.0 * len(STAKES) / comparison.alpha) - max(wealth, 0.0)
    return max(1, math.ceil(missing / rate)) * wager.group
