"""Limits of a model without declared ones: the range of the labels seen, and as much again.

    least - WIDENING x spread  ≤  value  ≤  most + WIDENING x spread

`least` and `most` are the third smallest and the third largest label that was learnt, so that two
wild ones widen nothing; among the first `FEW` they are the smallest and the largest, and the room
is `WIDENING_OF_FEW` times the spread, since one label of -21 does not say that nothing is above 0.
The spread is the distance between them, or the size of the larger one if that is more: a label
that never changes still leaves room, and zeros alone set no limit. So a prediction that diverged is
distinguished from one that is only bold, although nobody declared what is possible; an author who
knows it declares `limits`.
"""

from __future__ import annotations

from bisect import insort

KEPT = 3
FEW = 100
WIDENING = 1.0
WIDENING_OF_FEW = 10.0


class LearnedLimits:
    """Of one partition. Memory: six numbers. `limits`: None while no label says any.

    >>> bounds = LearnedLimits()
    >>> bounds.update(-21.0)
    >>> bounds.limits
    (-231.0, 189.0)
    >>> for hour in range(240):
    ...     bounds.update(float(hour % 24))
    >>> bounds.limits
    (-23.0, 46.0)
    """

    __slots__ = ("highest", "limits", "lowest", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self.lowest: list[float] = []
        self.highest: list[float] = []
        self.limits: tuple[float, float] | None = None

    def update(self, label: float) -> None:
        """Widen the limits by one learnt label."""
        self.seen += 1
        if self.seen > FEW and self.lowest[-1] <= label <= self.highest[0]:
            return  # nearly all of them
        insort(self.lowest, label)
        insort(self.highest, label)
        del self.lowest[KEPT:], self.highest[:-KEPT]
        few = self.seen < FEW
        least = self.lowest[0 if few else -1]
        most = self.highest[-1 if few else 0]
        spread = max(most - least, abs(most), abs(least))
        room = (WIDENING_OF_FEW if few else WIDENING) * spread
        self.limits = (least - room, most + room) if room else None
