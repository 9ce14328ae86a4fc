"""Gamblers against a hypothesis: wealth that grows only where the hypothesis is wrong.

The theory, and why their wealth is evidence, is in confidence_sequence.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

STAKES = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)


@dataclass(slots=True)
class Spread:
    """Mean and variance of what came so far (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, value: float) -> None:
        """Add one value."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def variance(self) -> float:
        """Sample variance raised by 2/count: an estimate to bet on should not be too small."""
        if self.count < 2:
            return 0.0
        return self.squares / (self.count - 1) * (1.0 + 2.0 / self.count)


@dataclass(slots=True)
class Wager:
    """Bets on groups of `group` blocks, in both directions, against any margin.

    The log wealth is a quadratic in the margin, so six sums hold it for all margins at once: with x
    a group's gain, w its weight and s its scale, those of x/s, w/s, x²/s², xw/s², w²/s², and 1.
    """

    group: int
    x: float = 0.0
    w: float = 0.0
    xx: float = 0.0
    xw: float = 0.0
    ww: float = 0.0
    bets: int = 0
    spread: Spread = field(default_factory=Spread)
    gained: float = 0.0
    weight: float = 0.0
    blocks: int = 0
    variance: float = 0.0

    def update(self, gain: float, weight: float, variance: float) -> None:
        """Add one weighted gain and the variance of those before it."""
        if self.blocks == 0:
            # Positive day-to-day correlation makes groups wilder than the sum of their days.
            own = self.spread.variance if self.spread.count >= 4 else 0.0
            self.variance = max(variance * self.group, own)
        self.gained += gain
        self.weight += weight
        self.blocks += 1
        if self.blocks < self.group:
            return
        scale = math.sqrt(self.variance)
        x, w = self.gained / scale, self.weight / scale
        self.x += x
        self.w += w
        self.xx += x * x
        self.xw += x * w
        self.ww += w * w
        self.bets += 1
        self.spread.update(self.gained)
        self.gained, self.weight, self.blocks = 0.0, 0.0, 0

    def log_wealth(self, margin: float, sign: float) -> float:
        """Return the log wealth of bets that the gain is above (+1) or below (-1) the margin."""
        linear = sign * (self.x - margin * self.w)
        square = (self.xx - 2.0 * margin * self.xw + margin * margin * self.ww) / 6.0
        square += self.bets / 3.0
        return log_mean_exp([stake * (linear - stake * square) for stake in STAKES])


@dataclass(slots=True)
class StrictCapital:
    """Bets that no block within the range can ruin (Waudby-Smith & Ramdas 2024).

    `cap` is the largest bet per unit of gain. Log wealth per stake, for one fixed margin.
    """

    cap: float
    up: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))
    down: list[float] = field(default_factory=lambda: [0.0] * len(STAKES))

    def update(self, bet: float, scale: float, weight: float = 1.0) -> None:
        """Add one weighted gain over the margin and the scale of the blocks before it.

        A block of a weight above 1 can gain that many times the range, so less is staked on it.
        """
        cap = self.cap / max(1.0, weight)
        for i, stake in enumerate(STAKES):
            rate = min(stake / scale, cap)
            self.up[i] += math.log1p(rate * bet)
            self.down[i] += math.log1p(-rate * bet)


def log_mean_exp(logs: list[float]) -> float:
    """Return the log of the mean of exponentials, safe from overflow."""
    top = max(logs)
    return top + math.log(sum(math.exp(v - top) for v in logs) / len(logs))
