"""Losses so uneven that larger ones than any that were seen are likely.

Where the losses of blocks have a long tail, few blocks hold no loss of the size that decides: their
mean is too high and their variance too low, until one comes. What is seen of the tail shows before
it does: the sample is skewed. The error that skewness makes in the coverage of a mean of n blocks
is of the order of skewness / sqrt(n) (Edgeworth; Hall 1992, The Bootstrap and Edgeworth Expansion,
section 2.6), and that is what is bounded here, by simulation (docs/adr/0158). What normal blocks
have by chance is no doubt: the standard error of their skewness is sqrt(6 / n).

Not promised: a loss of which there was none, and no smaller one either (`Contest.rare_losses`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 0.14
"""Of skewness / sqrt(blocks)."""
CHANCE = 2.0
"""Standard errors of the skewness of normal blocks that may be chance: 2.3 % have more."""


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
        chance = CHANCE * math.sqrt(6.0 / max(1, self.blocks))
        if uneven <= max(chance, MOST * math.sqrt(self.blocks)):
            return None
        needed, what = math.ceil((uneven / MOST) ** 2), "losses" if sign > 0 else "gains"
        return (
            f"{what} are so uneven (skewness {uneven:.1f}) that larger ones are likely; "
            f"{needed:,} blocks would show them"
        )
