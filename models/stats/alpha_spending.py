"""One error budget for everything that a use case ever compares.

A use case compares again and again: further challengers, each segment, a new comparison whenever
another model answers. Share number k of the budget is alpha·6/(pi²·k²). The shares add up to at
most alpha, so by the union bound the chance that *any* comparison ever names a false winner is at
most alpha, whatever depends on whatever.

A share is spent only where it could err. A comparison that ended before its first possible verdict
cannot have named a winner, so it gives its share back, and the next comparison has it.

Source: alpha spending over an unbounded sequence, Foster & Stine (2008), "alpha-investing", JRSS-B
70(2) (there the Bonferroni-like series that it improves on).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

NAMES_MAX = 100


class Share(NamedTuple):
    """Share `number` (from 1) of a budget, and the error probability that it allows."""

    number: int
    alpha: float


@dataclass(slots=True)
class AlphaSpending:
    """The error probability of one use case, spent comparison by comparison.

    `total` is in (0, 1). Memory: a few numbers, the last `NAMES_MAX` names for the audit trail, and
    the shares that were given back.

    >>> budget = AlphaSpending(0.05)
    >>> trees = budget.open("trees")
    >>> round(trees.alpha, 4), round(budget.open("forest").alpha, 4)
    (0.0304, 0.0076)
    >>> budget.give_back(trees)  # nothing could be decided yet
    >>> budget.open("trees again") == trees
    True
    """

    total: float = 0.05
    spent: float = 0.0
    comparisons: int = 0
    returned: list[int] = field(default_factory=list)
    names: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0.0 < self.total < 1.0:
            raise ValueError(f"the error budget must lie between 0 and 1, not {self.total}")

    @property
    def left(self) -> float:
        """The budget that later comparisons may still spend together."""
        return self.total - self.spent

    def open(self, name: str) -> Share:
        """Return the largest share that nobody has used."""
        if self.returned:
            number = min(self.returned)
            self.returned.remove(number)
        else:
            self.comparisons += 1
            number = self.comparisons
        alpha = self._alpha(number)
        self.spent += alpha
        self.names = [*self.names, (name, alpha)][-NAMES_MAX:]
        return Share(number, alpha)

    def spend(self, name: str) -> float:
        """Return the error probability of the next share, which is never given back."""
        return self.open(name).alpha

    def give_back(self, share: Share) -> None:
        """Take a share back from a comparison that ended before it could give a verdict."""
        self.returned.append(share.number)
        self.spent -= share.alpha

    def _alpha(self, number: int) -> float:
        # It counts from 1, and could be 1e150 before the share became 0.
        return self.total * 6.0 / (math.pi**2 * number**2)
