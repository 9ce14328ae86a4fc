"""How long until a comparison is decided, if all goes on as it does.

The comparison is copied and fed with further blocks like those it has seen (their usual size, their
mean gain, their spread, in turn above and below the mean) until it has a verdict. A forecast and no
promise: the mean itself is not known better than the interval says.
"""

from __future__ import annotations

import math
from copy import deepcopy

from models.evidence.confidence_sequence import Comparison

BLOCKS_MAX = 3_650
"""As far as is looked ahead: ten years of days."""


def blocks_needed(comparison: Comparison, blocks_max: int = BLOCKS_MAX) -> int | None:
    """About how many further blocks decide it; 0 if it is decided, None if not within that many.

    At most 10 µs a block looked ahead; `comparison` is left as it is.

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
    ahead = deepcopy(comparison)
    count = max(1, round(comparison.usual))
    mean, spread = comparison.mean, math.sqrt(comparison.spread.variance)
    for number in range(1, blocks_max + 1):
        value = mean + (spread if number % 2 else -spread)
        ahead.update(count, count * max(-ahead.bound, min(ahead.bound, value)))
        if ahead.verdict != "undecided":
            return number
    return None
