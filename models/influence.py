"""Which features the champion of a partition leans on, now: for `metrics`, and for `explain`.

Followed on a sample of labelled examples (`models.evidence.permutation_importance`): every 20th, or
rarer where there are many features, so that it costs about four predictions an example in a
hundred. The sample's features are also what a prediction is compared with where its model cannot be
taken apart (`models.evidence.sampled_contributions`).
"""

from __future__ import annotations

from typing import Any

from models.evidence.permutation_importance import PermutationImportance
from models.features import Vector
from models.heirs import loss_of
from models.kinds import Kind, Said
from models.roster import Roster
from models.usecase import UseCase

SHOWN_MAX = 50


class Influence:
    """Importance of each feature shown to the champion. Memory: 50 vectors of features.

    Another champion's begins anew. Off where `UseCase.explain` is 0.
    """

    def __init__(self, use_case: UseCase, kind: Kind, roster: Roster) -> None:
        self._use_case = use_case
        self._kind = kind
        self._roster = roster
        self._every = max(20, 4 * len(use_case.features))
        self.champion = roster.champion
        self.importance = self._fresh()

    def _fresh(self) -> PermutationImportance:
        return PermutationImportance(every=self._every, reservoir=50)

    def learnt(self, x: Vector, label: Any, baseline: Said) -> None:
        """Take one labelled example, before the champion learns it."""
        if not self._use_case.explain:
            return
        if self.champion != self._roster.champion:
            self.champion, self.importance = self._roster.champion, self._fresh()
        slot, kind = self._roster.pooled[self.champion], self._kind
        corrects = self._use_case.learns != "label"

        def predict(features: dict[str, Any]) -> Said | None:
            said = slot.ask(kind, features)
            return baseline + said if said is not None and corrects else said

        def loss(true: Any, said: Said | None) -> float:
            return loss_of(kind, true, said, baseline)

        self.importance.update(predict, x, label, loss)

    def said(self) -> dict[str, float] | None:
        """Feature → mean loss that its permutation adds, the largest first; None so far."""
        values = self.importance.values
        return dict(list(values.items())[:SHOWN_MAX]) if values else None
