"""Whether a segment's own model has earned the place of the pooled one.

Paired losses of both on the same events, the own model earns the place when it is
better by more than `Z` standard errors over at least `LEAST` examples, and loses it the same way.
"""

from __future__ import annotations

import math

LEAST = 500
Z = 4.0


class Earning:
    """Running mean and variance of (pooled loss - own loss). Memory: five numbers."""

    __slots__ = ("_m2", "earned", "mean", "n")

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0
        self._m2 = 0.0
        self.earned = False

    def update(self, own_loss: float, pooled_loss: float) -> bool:
        """One example that both answered; True if the place changed hands by it."""
        if not (math.isfinite(own_loss) and math.isfinite(pooled_loss)):
            return False
        difference = pooled_loss - own_loss
        self.n += 1
        delta = difference - self.mean
        self.mean += delta / self.n
        self._m2 += delta * (difference - self.mean)
        if self.n < LEAST:
            return False
        error = math.sqrt(max(self._m2 / (self.n - 1), 1e-12) / self.n)
        before = self.earned
        if self.mean > Z * error:
            self.earned = True
        elif self.mean < -Z * error:
            self.earned = False
        return self.earned is not before
