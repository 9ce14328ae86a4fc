"""About how many further blocks decide a comparison.

Each bet is taken to gain what the mean and the spread so far let expect; the wealth that is still
missing, divided by that, is the number. The running mean's interval is taken to shrink as it does
where blocks vary as they did. The largest of these counts: a forecast and no promise, since the
mean itself is not known better than the interval says. A tenth of a millisecond.
"""

from __future__ import annotations

import math

from models.stats.betting import STAKES, Wager
from models.stats.confidence_sequence import Comparison

BLOCKS_MAX = 3_650
"""As far as is looked ahead: ten years of days."""
RATE_LEAST = 1e-12
"""Growth of the log wealth a block below which nothing is foreseen."""


def blocks_needed(comparison: Comparison) -> int | None:
    """Return 0 if the comparison is decided, None if that is not foreseen within `BLOCKS_MAX`.

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
    if comparison.seen < 2 or comparison.mean == comparison.margin:
        return None
    forecasts = [_by_bets(comparison, wager) for wager in comparison.wagers]
    forecasts.append(_by_running_mean(comparison))
    known = [blocks for blocks in forecasts if blocks is not None]
    if len(known) < len(forecasts):
        return None
    blocks = max(known) + max(0, comparison.warm_blocks - comparison.seen)
    return blocks if blocks <= BLOCKS_MAX else None


def _by_running_mean(comparison: Comparison) -> int | None:
    running, gain = comparison.running, abs(comparison.mean - comparison.margin)
    if math.isinf(comparison.half_width):
        return 0  # the bets take longer than the first four blocks

    def decides(blocks: int) -> bool:
        floor = comparison.least_deviation
        return running.half_width_after(blocks, comparison.alpha, floor) < gain

    least, most = running.blocks, running.blocks + BLOCKS_MAX
    if not decides(most):
        return None
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if decides(middle) else (middle, most)
    return most - running.blocks


def _by_bets(comparison: Comparison, wager: Wager) -> int | None:
    gain = comparison.mean - comparison.margin
    sign = 1.0 if gain > 0 else -1.0
    wealth = wager.log_wealth(comparison.margin, sign) if wager.bets else 0.0
    missing = math.log(2.0 / comparison.alpha) - wealth
    if missing <= 0.0:
        return 0
    own = wager.spread.variance if wager.spread.count >= 4 else 0.0
    scale = math.sqrt(max(comparison.usual_spread.variance * wager.group, own))
    if not scale:
        return None
    z = abs(gain) * wager.group / scale
    rate = max(s * z - s * s * (z * z + 1.0) / 6.0 - s * s / 3.0 for s in STAKES)
    if not rate > RATE_LEAST:  # also one that is no number, of a z beyond all
        return None
    missing = math.log(2.0 * len(STAKES) / comparison.alpha) - max(wealth, 0.0)
    return max(1, math.ceil(missing / rate)) * wager.group
