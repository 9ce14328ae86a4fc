"""Whether a segment's own model has earned the place of the pooled one, and keeps it.

Both say something of every example of the segment; what counts is the difference of the KPI, summed
over closed blocks of event time and judged by the same confidence sequence as challengers are
(`models.stats.confidence_sequence`). Found better, and promised to be, the own model answers; found
worse after that, the pooled one does again. A verdict that is not promised earns no place, since
nobody is asked; to lose one it suffices, since the pooled model is what was there before. Each
verdict that counts begins another comparison, with another share of the error budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.spec.use_case import UseCase
from models.stats.alpha_spending import AlphaSpending
from models.stats.confidence_sequence import Comparison

KEPT_BLOCKS = 120
"""How long a model that answers is compared before it is looked at again: what it gained long ago
must not hide what it loses now."""


@dataclass(slots=True)
class OpenBlock:
    """Sums of one model over one segment's examples of a block that is not settled.

    `gain` over the pooled model and `cost` of that one are in the KPI's unit; NaN: an example's KPI
    is not known. `missing` predictions expired without a label.
    """

    examples: int = 0
    gain: float = 0.0
    cost: float = 0.0
    missing: int = 0


class SegmentPromotion:
    """Own against pooled, of one model in one segment.

    `began` is the watermark when the own model did: what was said before is not about it. Memory:
    the open blocks (horizon / window + 2) and one comparison, about 2 kB.
    """

    __slots__ = ("began", "comparison", "earned", "open")

    def __init__(self, began: float, comparison: Comparison) -> None:
        self.began = began
        self.earned = False
        self.comparison = comparison
        # By the start of the block.
        self.open: dict[float, OpenBlock] = {}

    def update(self, start: float, gain: float, cost: float) -> None:
        """Take one example's gain of the own model over the pooled, and the cost of that one."""
        block = self._block(start)
        block.examples += 1
        block.gain += gain
        block.cost += cost

    def note_missing(self, start: float) -> None:
        """Count one prediction whose outcome never came."""
        self._block(start).missing += 1

    def settle(
        self, frontier: float, name: str, budget: AlphaSpending, use_case: UseCase
    ) -> Comparison | None:
        """Close the blocks that start before `time`; return the comparison if the serving model
        changed.
        """
        decided = None
        for start in sorted(start for start in self.open if start < frontier):
            block = self.open.pop(start)
            if math.isnan(block.gain):
                continue  # what is left of the block would be a choice of its labels
            self.comparison.update(block.examples, block.gain, block.missing, cost=block.cost)
            old = self.earned and self.comparison.seen >= KEPT_BLOCKS
            if not self._is_decided and not old:
                continue
            verdict = self.comparison.verdict
            if self._is_decided and (verdict == "better") is not self.earned:
                self.earned, decided = verdict == "better", self.comparison
            self.comparison = comparison_of_segment(use_case, budget.spend(name))
        return decided

    @property
    def _is_decided(self) -> bool:
        verdict = self.comparison.verdict
        if verdict == "better" and not self.earned:
            return self.comparison.not_promised is None
        return verdict != "undecided"

    def _block(self, start: float) -> OpenBlock:
        block = self.open.get(start)
        if block is None:
            block = self.open[start] = OpenBlock()
        return block


def comparison_of_segment(use_case: UseCase, alpha: float) -> Comparison:
    """Return a new comparison of an own model with the pooled one."""
    least, most = use_case.kpi.range
    declared = use_case.contest
    return Comparison(
        alpha=alpha,
        bound=most - least,
        missing_outcomes=declared.missing,
        rare_losses=declared.rare_losses,
    )
