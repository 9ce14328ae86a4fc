"""Whether a segment's own model has earned the place of the pooled one, and keeps it.

Both say something of every example of the segment; what counts is the difference of the KPI, summed
over settled blocks of event time and judged by the same confidence sequence as challengers are
(`models.stats.confidence_sequence`). Found better, the own model answers; found worse after
that, the pooled one does again. Each verdict begins another comparison, with another share of the
error budget.
"""

from __future__ import annotations

import math

from models.stats.alpha_spending import AlphaSpending
from models.stats.confidence_sequence import Comparison

KEPT_BLOCKS = 120
"""How long a model that answers is compared before it is looked at anew: what it gained long ago
must not hide what it loses now."""


class SegmentPromotion:
    """Own against pooled, of one model in one segment.

    `began` is the watermark when the own model did: what was said before is not about it. Memory:
    the open blocks (horizon / window + 2) and one comparison, about 2 kB.
    """

    __slots__ = ("began", "bound", "comparison", "earned", "open")

    def __init__(self, began: float, alpha: float, bound: float) -> None:
        self.began = began
        self.bound = bound
        self.earned = False
        self.comparison = Comparison(alpha=alpha, bound=bound)
        # Start of a block → [examples, gain in the KPI's unit].
        self.open: dict[float, list[float]] = {}

    def update(self, start: float, gain: float) -> None:
        """Take one example's gain of the own model over the pooled; NaN: its KPI is not known."""
        sums = self.open.get(start)
        if sums is None:
            sums = self.open[start] = [0.0, 0.0]
        sums[0] += 1.0
        sums[1] += gain

    def settle(self, frontier: float, name: str, budget: AlphaSpending) -> Comparison | None:
        """Take in the blocks that start before; the comparison if the place changed hands by it."""
        decided = None
        for start in sorted(start for start in self.open if start < frontier):
            count, gain = self.open.pop(start)
            if math.isnan(gain):
                continue  # what is left of the block would be a choice of its labels
            self.comparison.update(int(count), gain)
            verdict = self.comparison.verdict
            old = self.earned and self.comparison.seen >= KEPT_BLOCKS
            if verdict == "undecided" and not old:
                continue
            if verdict != "undecided" and (verdict == "better") is not self.earned:
                self.earned, decided = verdict == "better", self.comparison
            self.comparison = Comparison(alpha=budget.spend(name), bound=self.bound)
        return decided
