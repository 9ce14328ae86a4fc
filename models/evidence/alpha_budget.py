"""One error budget for everything a use case ever compares.

A use case compares again and again: further challengers, every segment, a restart at each change of
who answers. Comparison number k gets alpha·6/(pi²·k²); the shares of any number of comparisons add
up to at most alpha, so by the union bound the chance that *any* of them ever names a false winner
is at most alpha, whatever depends on whatever.

Source: alpha-spending over an unbounded sequence, Foster & Stine (2008), "alpha-investing", JRSS-B
70(2) (there the Bonferroni-like series that it improves on).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class AlphaBudget:
    """The error probability of one use case, spent comparison by comparison, never given back.

    `total` is in (0, 1). Memory: one number and the last `names_max` names.

    >>> budget = AlphaBudget(0.05)
    >>> round(budget.spend("trees"), 4), round(budget.spend("trees again"), 4)
    (0.0304, 0.0076)
    >>> budget.left < 0.05
    True
    """

    total: float = 0.05
    spent: float = 0.0
    comparisons: int = 0
    names_max: int = 100
    names: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0.0 < self.total < 1.0:
            raise ValueError(f"the error budget must lie between 0 and 1, not {self.total}")

    @property
    def left(self) -> float:
        """What later comparisons may still spend together."""
        return self.total - self.spent

    def spend(self, name: str) -> float:
        """Give the next comparison its share; `name` is kept for the audit trail."""
        self.comparisons += 1
        share = self.total * 6.0 / (math.pi**2 * self.comparisons**2)
        self.spent += share
        self.names = [*self.names, (name, share)][-self.names_max :]
        return share
