"""The circuit breaker of a partition: while it is open, the baseline is served.

It reads every labelled example, with what the champion and the baseline had said; the rules and
what they promise are in `models.evidence.breaker`. The champion goes on learning and predicting in
shadow, which is how the way back is found.
"""

from __future__ import annotations

from typing import Any

from models.evidence.breaker import Breaker
from models.kinds import Kind, Said
from models.scoring import Judged


class Safeguard:
    """A breaker fed with answers of any kind. Constant memory."""

    def __init__(self, kind: Kind, *, on: bool) -> None:
        self._kind = kind
        self._on = on
        self.breaker = Breaker()

    @property
    def fault(self) -> str | None:
        """Why the champion is not served; None while it may be."""
        if not self.breaker.open:
            return None
        return f"the breaker is open: {self.breaker.cause}"

    def learnt(self, judged: Judged, model: str, baseline: Said) -> bool:
        """Take one labelled example; True if the breaker opened or closed by it."""
        if not self._on:
            return False
        lost = self._lost(judged, model)
        if lost is None:
            return False  # it was not asked
        mine, naive = self._kind.error(lost), self._kind.error(judged.scores[1][2])
        label: Any = judged.label
        if not isinstance(baseline, tuple):  # numbers
            agrees = self.breaker.usual.agrees(baseline, label)
            return self.breaker.update_losses(mine, naive, agrees, baseline, label)
        return self.breaker.update_losses(mine, naive, baseline[0] == label)

    @staticmethod
    def _lost(judged: Judged, model: str) -> tuple[float, ...] | None:
        for name, _, lost in judged.scores:
            if name == model:
                return lost
        return None

    def another(self) -> None:
        """Another champion answers: what is usual stays, the case against the former is closed."""
        fresh = Breaker(usual=self.breaker.usual, seen=self.breaker.seen)
        self.breaker = fresh
