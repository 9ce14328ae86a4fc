"""Which features the champion of a partition leans on, now: for `metrics`, and for `explain`.

Followed on a sample of labelled examples (`models.attribution.permutation_importance`): every 50th,
or rarer where there are many features, so that it costs at most one further prediction in ten
examples. The sample's features are also what a prediction is compared with where its model cannot
be taken apart (`models.attribution.sampled_shapley`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

from models.attribution.permutation_importance import PermutationImportance
from models.attribution.sampled_shapley import ROUNDS, sampled
from models.features.featurizer import Vector
from models.serving.model_router import ModelRouter
from models.serving.replacement import loss_of
from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import UseCase

SHOWN_MAX = 50


class FeatureImportance:
    """Importance of each feature shown to the champion. Memory: 50 vectors of features.

    Another champion's starts over. Off where `UseCase.contributions` is 0.
    """

    def __init__(self, use_case: UseCase, kind: Kind, router: ModelRouter) -> None:
        self._use_case = use_case
        self._kind = kind
        self._router = router
        self._every = max(50, 10 * len(use_case.features))
        self.champion = router.champion
        self.importance = self._fresh()

    def _fresh(self) -> PermutationImportance:
        return PermutationImportance(every=self._every, rate=0.01, reservoir=50)

    def observe(self, x: Vector, label: Any, baseline: Predicted) -> None:
        """Take one labelled example, before the champion learns it."""
        if not self._use_case.contributions:
            return
        followed = self.importance
        if (followed.seen + 1) % followed.every and self.champion == self._router.champion:
            followed.seen += 1  # nearly all of them
            return
        if self.champion != self._router.champion:
            self.champion, self.importance = self._router.champion, self._fresh()
        slot, kind = self._router.pooled[self.champion], self._kind
        corrects = self._use_case.target != "label"

        def predict(features: dict[str, Any]) -> Predicted | None:
            prediction = slot.ask(kind, features)
            return baseline + prediction if prediction is not None and corrects else prediction

        def loss(true: Any, prediction: Predicted | None) -> float:
            return loss_of(kind, true, prediction, baseline)

        self.importance.update(predict, x, label, loss)

    def sampled(self, published: Mapping[str, Any], shown: Vector) -> dict[str, Any] | None:
        """Estimate the contributions to a published prediction that has no exact ones.

        In the label's unit, or as the probability of the class that was said; what the champion saw
        lately is what it is compared with. None where the baseline answered, or nothing was seen.
        """
        name = published["model"].partition("@")[0]
        slot = self._router.pooled.get(name)
        if published["contributions"] is not None or slot is None:
            return None
        if published["reason"].startswith("the segment's own model"):
            slot = self._router.own.of(published["segment"]).get(name, slot)
        slot, number = copy.deepcopy(slot), self._use_case.kind == "regression"

        def predict(x: dict[str, Any]) -> float:
            answer = slot.ask(self._kind, x)
            if answer is None:
                return math.nan
            share: float = answer if number else answer[1].get(published["value"], 0.0)
            return share

        attribution = sampled(predict, shown, self.importance.examples, seed=published["event_id"])
        if attribution is None:
            return None
        # Of a correction: what it is added to.
        base = published["value"] - attribution.prediction if number else 0.0
        return {
            "prediction": base + attribution.prediction,
            "reference": base + attribution.reference,
            "contributions": attribution.contributions,
            "errors": attribution.errors,
            "rounds": ROUNDS,
        }

    def ranked(self) -> dict[str, float] | None:
        """Return feature → mean loss that its permutation adds, the largest first; None so far."""
        values = self.importance.values
        return dict(list(values.items())[:SHOWN_MAX]) if values else None
