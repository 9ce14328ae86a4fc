"""Has the mean of a bounded value risen above what is allowed: a detector for single examples.

Theory. While E[x | past] <= allowed, each bet e = 1 + stake·(x - allowed)/width has expectation at
most 1, and the Shiryaev-Roberts sum M <- (1 + M)·e, averaged over stakes, grows by at most 1 an
example in expectation: the mean number of examples to M >= A is at least A. So it is for the CUSUM
M <- max(1, M)·e, which is never larger, and stays at 1 where nothing is learnt. No independence is
needed, only the conditional mean. Source: Shin, Ramdas & Rinaldo 2024, "E-detectors: a
nonparametric framework for sequential change detection", NEJSDS 2(2), sections 2, 3 and 5 (bounded
means).

Delay: about ln(A)/growth examples, growth = E ln(1 + stake·(x - allowed)/width). Stakes stop at
0.2: larger ones are quicker, and ruined by neighbours that resemble each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

STAKES = SMALL, MIDDLE, LARGE = 0.02, 0.06, 0.2


@dataclass(slots=True)
class MeanDetector:
    """Sums of bets that a value in [low, 1] lies above `allowed` in the mean.

    `allowed` lies above `low`, in all uses by at least 0.05: a bet is divided by it. `cusum`: the
    largest product of bets since any start instead of the sum over starts. The sum is at most
    `ceiling`, so that it can come down again where nobody acted on it. 1 µs an example, three
    numbers of memory.

    >>> detector = MeanDetector(allowed=0.5, low=0.0)
    >>> for _ in range(1_000):
    ...     detector.update(0.4)
    >>> detector.evidence < 1_000
    True
    >>> for _ in range(100):
    ...     detector.update(0.9)
    >>> detector.evidence > 1e6
    True
    """

    allowed: float
    low: float = -1.0
    ceiling: float = 1e12
    cusum: bool = False
    sums: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))

    def update(self, value: float) -> None:
        """Bet on one value, cut to [low, 1]; one that is not finite counts as 1."""
        low, allowed, ceiling = self.low, self.allowed, self.ceiling
        if not low <= value <= 1.0:
            value = 1.0 if not math.isfinite(value) else min(1.0, max(low, value))
        bet = (value - allowed) / (allowed - low)
        small, middle, large = self.sums
        if self.cusum:
            small, middle, large = (
                max(0.0, small - 1.0),
                max(0.0, middle - 1.0),
                max(0.0, large - 1.0),
            )
        small = (1.0 + small) * (1.0 + SMALL * bet)
        middle = (1.0 + middle) * (1.0 + MIDDLE * bet)
        large = (1.0 + large) * (1.0 + LARGE * bet)
        if small > ceiling or middle > ceiling or large > ceiling:
            small, middle, large = min(small, ceiling), min(middle, ceiling), min(large, ceiling)
        self.sums = [small, middle, large]

    @property
    def evidence(self) -> float:
        """The averaged sum: it reaches A falsely at most once in A examples."""
        small, middle, large = self.sums  # four times an outcome: no call of `sum`
        return (small + middle + large) / 3.0

    def restart(self) -> None:
        """Forget all evidence."""
        self.sums = [0.0] * len(STAKES)
