r"""The running mean gain, with bounds that hold where the gain itself changes.

With S the sum of the gains of t blocks and V an estimate of its variance, the true sum lies within

    |S - E[S]| <= sqrt(V · (1 + TAU/t) · (log(1 + t/TAU) + 2·log(1/alpha)))

at every t together, but for a probability of alpha as t grows: the Gaussian mixture of Robbins
(1970, Ann. Math. Stat. 41) as an asymptotic confidence sequence, whose target is the mean of
expectations that may differ from block to block (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
2024, Ann. Stat. 52(6)). The square root is taken as Student's t, since V is estimated.

Blocks that hang together. V is the largest of t times the variance of a block, of groups of 7 and
of groups of 28 blocks, each per block (batch means). Where longer groups vary more than shorter
ones, V is extrapolated from the longest measured group to t by the power law between the two
longest: for sums of n blocks whose variance grows as n^(1 + 2d), long memory of order d (Beran
1994, Statistics for Long-Memory Processes, ch. 1), this is exact; for an autoregression it is too
much. `memory_doubt` names what the data cannot show yet.

Uneven losses. Where the losses of blocks have a long tail, few blocks hold no loss of the size that
decides: their mean is too high and their variance too low, until one comes. The tail shows before
it does: the sample is skewed. The error that skewness makes in the coverage of a mean of n blocks
is of the order of skewness / sqrt(n) (Edgeworth; Hall 1992, The Bootstrap and Edgeworth Expansion,
section 2.6), and that is what `LossSkew` bounds, by simulation (docs/adr/0158). What normal blocks
have by chance is no doubt: the standard error of their skewness is sqrt(6 / n). Not promised: a
loss of which there was none, and no smaller one either (`Contest.rare_losses`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

TAU = 7.0
"""Blocks about which the bounds are tightest; 7 keeps them within 10 % of that up to 100."""
WEEK = 7
SIZES = (1, WEEK, 28)
"""Blocks of a group, ascending."""
COUNTS_LEAST = (4, 4, 6)
"""Groups of each size before their variance is used."""
CORRELATION_MOST = 0.1
"""Correlation of successive blocks above which their memory has to be measured first."""
KNOWN_AFTER = 336
"""Blocks after which it is: there are twelve groups of 28 then."""
RATIO_MOST = 2.5
"""Ratio of the variance of 28 blocks to four times that of 7 above which memory is called long."""
SKEW_MOST = 0.14
"""Skewness / sqrt(blocks) above which larger losses than any so far are likely."""
SKEW_CHANCE = 2.0
"""Standard errors of the skewness of normal blocks that may be chance: 2.3 % have more."""
POWER_MAX = 700.0
"""Its exponential is still a float."""


class MemoryDoubt(NamedTuple):
    """Why bounds may be too narrow, and how many times as wide they should be (inf: unknown)."""

    reason: str
    factor: float


@dataclass(slots=True)
class GroupSquares:
    """Sums of squares of the gains and weights of groups of `size` successive blocks."""

    size: int
    gain: float = 0.0
    weight: float = 0.0
    blocks: int = 0
    count: int = 0
    gains: float = 0.0
    products: float = 0.0
    weights: float = 0.0

    def update(self, gain: float, weight: float) -> None:
        """Add the next block."""
        self.gain += gain
        self.weight += weight
        self.blocks += 1
        if self.blocks == self.size:
            self.count += 1
            self.gains += self.gain * self.gain
            self.products += self.gain * self.weight
            self.weights += self.weight * self.weight
            self.gain, self.weight, self.blocks = 0.0, 0.0, 0

    def variance(self, mean: float) -> float:
        """Return the variance, per block, of a group's gain about `mean` times its weight."""
        squares = self.gains - 2.0 * mean * self.products + mean * mean * self.weights
        return max(squares, 0.0) / (self.count - 1) / self.size


@dataclass(slots=True)
class RunningMean:
    """Total gain over total weight, block by block. Constant memory, 5 µs a block.

    >>> running = RunningMean()
    >>> for day in range(70):
    ...     running.update(gain=10.0 + (-1) ** day, weight=10)
    >>> running.mean, round(running.half_width(alpha=0.05, floor=0.01), 2)
    (1.0, 0.04)
    """

    gain: float = 0.0
    weight: float = 0.0
    blocks: int = 0
    groups: list[GroupSquares] = field(default_factory=lambda: [GroupSquares(n) for n in SIZES])
    last: tuple[float, float] | None = None
    lagged: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def update(self, gain: float, weight: float) -> None:
        """Add a block with the sum of its gains; its weight is the number of predictions."""
        self.gain += gain
        self.weight += weight
        self.blocks += 1
        for group in self.groups:
            group.update(gain, weight)
        if self.last is not None:
            before, weight_before = self.last
            self.lagged[0] += gain * before
            self.lagged[1] += gain * weight_before + weight * before
            self.lagged[2] += weight * weight_before
        self.last = gain, weight

    @property
    def mean(self) -> float:
        """Gain per prediction."""
        return self.gain / self.weight if self.weight else 0.0

    @property
    def correlation(self) -> float:
        """Correlation of the gains of successive blocks about the mean; 0 where nothing varies."""
        mean, blocks = self.mean, self.groups[0]
        squares = blocks.gains - 2.0 * mean * blocks.products + mean * mean * blocks.weights
        lagged = self.lagged[0] - mean * self.lagged[1] + mean * mean * self.lagged[2]
        return lagged / squares if squares > 0.0 else 0.0

    def half_width(self, alpha: float, floor: float) -> float:
        """Return how far the true mean may be from `mean`; infinite before four blocks.

        `floor` is the least standard deviation of a block's mean gain.
        """
        return self.half_width_after(self.blocks, alpha, floor)

    def half_width_after(self, blocks: int, alpha: float, floor: float) -> float:
        """Return the half width to be expected after so many blocks, if they vary as they did."""
        variances = self._variances(blocks, floor) if self.weight else []
        if not variances:
            return math.inf
        ratio = blocks / TAU
        z = math.sqrt((1.0 + 1.0 / ratio) * (math.log1p(ratio) - 2.0 * math.log(alpha)))
        widest = max(student(z, freedom) * math.sqrt(variance) for variance, freedom in variances)
        return widest * math.sqrt(blocks) / (self.weight / self.blocks * blocks)

    @property
    def memory_doubt(self) -> MemoryDoubt | None:
        """The reason why these bounds may be too narrow; None where the data shows no reason.

        A correlation r may be that of long memory of order d = r/(1 + r) (Hosking 1981), for which
        the bounds after n blocks should be n^d times as wide.
        """
        longest = self.groups[-1]
        if self.blocks < longest.size:
            reason = (
                f"whether blocks hang together cannot be told from {self.blocks} of them; "
                f"{longest.size} are needed"
            )
            return MemoryDoubt(reason, math.inf)
        correlation = self.correlation
        if self.blocks < KNOWN_AFTER and correlation > CORRELATION_MOST:
            reason = (
                f"successive blocks hang together (correlation {correlation:.2f}), and for how "
                f"long is known after {KNOWN_AFTER} blocks"
            )
            return MemoryDoubt(reason, self.blocks ** (correlation / (1.0 + correlation)))
        if longest.count < COUNTS_LEAST[-1]:
            return None
        mean = self.mean
        ratio = longest.variance(mean) / (self.groups[-2].variance(mean) or math.inf)
        if ratio <= RATIO_MOST:
            return None
        reason = (
            f"gains hang together over months: {longest.size} blocks vary {ratio:.1f} times as "
            "much as they would if weeks were independent"
        )
        return MemoryDoubt(reason, math.inf)

    def _variances(self, blocks: int, floor: float) -> list[tuple[float, int]]:
        """Return variance per block by size of groups, extrapolated, and degrees of freedom."""
        mean, least = self.mean, (floor * self.weight / self.blocks) ** 2
        measured = [
            (group.size, max(group.variance(mean), least), blocks // min(group.size, WEEK) - 1)
            for group, count in zip(self.groups, COUNTS_LEAST, strict=True)
            if group.count >= count
        ]
        if len(measured) > 1:
            (shorter, before, _), (size, variance, freedom) = measured[-2:]
            ratio = variance / before if before else 1.0
            slope = math.log(max(ratio, 1.0)) / math.log(size / shorter)
            measured[-1] = (size, variance * (blocks / size) ** min(slope, 1.0), freedom)
        elif measured and blocks >= WEEK * COUNTS_LEAST[1]:
            # A forecast: weeks will be measured by then.
            measured.append((WEEK, measured[0][1], blocks // WEEK - 1))
        return [(variance, freedom) for _, variance, freedom in measured]


def student(z: float, freedom: int) -> float:
    """Return Student's t that is as unlikely as `z` of a normal (Wallace 1959).

    >>> round(student(1.96, 10), 2)  # 2.23 in tables
    2.23
    """
    scaled = z * (8 * freedom + 3) / (8 * freedom + 1)
    power = scaled * scaled / freedom
    return math.sqrt(freedom * math.expm1(power)) if power < POWER_MAX else math.inf


@dataclass(slots=True)
class LossSkew:
    """Skewness of the gains of blocks (moments: Pébay 2008). Memory: four numbers."""

    blocks: int = 0
    mean: float = 0.0
    squares: float = 0.0
    cubes: float = 0.0

    def update(self, gain: float) -> None:
        """Add the gain of one block."""
        self.blocks += 1
        n, step = self.blocks, gain - self.mean
        share = step / n
        term = step * share * (n - 1)
        self.mean += share
        self.cubes += share * (term * (n - 2) - 3.0 * self.squares)
        self.squares += term

    @property
    def skewness(self) -> float:
        """Skewness of the gains so far: below 0 where losses have the longer tail."""
        deviation = math.sqrt(self.squares / self.blocks) if self.blocks else 0.0
        cubed = deviation**3
        return self.cubes / self.blocks / cubed if cubed > 0.0 else 0.0

    def doubt(self, sign: float) -> str | None:
        """Return in words that the blocks against a gain (`sign` 1) or a loss (-1) are too uneven.

        >>> losses = LossSkew()
        >>> for day in range(50):
        ...     losses.update(-1.0 if day % 20 == 0 else 0.3)
        >>> losses.doubt(1.0)[-60:]
        '3.7) that larger ones are likely; 701 blocks would show them'
        >>> losses.doubt(-1.0) is None
        True
        """
        uneven = -sign * self.skewness
        chance = SKEW_CHANCE * math.sqrt(6.0 / max(1, self.blocks))
        if uneven <= max(chance, SKEW_MOST * math.sqrt(self.blocks)):
            return None
        needed, what = math.ceil((uneven / SKEW_MOST) ** 2), "losses" if sign > 0 else "gains"
        return (
            f"{what} are so uneven (skewness {uneven:.1f}) that larger ones are likely; "
            f"{needed:,} blocks would show them"
        )
