"""What every faster step does alike: it answers as River does, or has River answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from models.attribution.contributions import Seen
from models.fastpath.encoder import Active, FeatureEncoder, Features, Parted, Unlike
from models.fastpath.pattern import PipelinePattern


class LinearStep(ABC):
    """Predicts and learns as the model of `shape` does."""

    def __init__(self, shape: PipelinePattern) -> None:
        self._model = shape.model
        self._linear = shape.linear
        self._inputs = FeatureEncoder(shape)

    def predict_one(self, x: Features) -> Any:
        """Do as River's method of that name."""
        try:
            parted = self._parted(x)
        except Unlike:
            return self._river().predict_one(x)
        return self._mean(parted)

    def predict_proba_one(self, x: Features) -> Any:
        """Do as River's method of that name."""
        try:
            parted = self._parted(x)
        except Unlike:
            return self._river().predict_proba_one(x)
        chance = self._mean(parted)
        return {False: 1.0 - chance, True: chance}

    def seen(self, x: Features) -> Seen | None:
        """Return the inputs of the linear model; None where River has to predict."""
        try:
            parted = self._parted(x)
        except Unlike:
            return None
        numbers = {name: name for name in parted.numbers}
        sources = numbers | dict(zip(parted.categories, parted.names, strict=True))
        return Seen(self._inputs.active(parted), sources, self._linear, x, self._weight)

    @abstractmethod
    def _weight(self, name: str, default: float) -> float:
        """Return the weight of an input."""

    @abstractmethod
    def learn_one(self, x: Features, y: Any, w: float = 1.0) -> None:
        """Do as River's method of that name."""

    @abstractmethod
    def flush(self) -> None:
        """Bring River's objects up to what was learnt."""

    @abstractmethod
    def _raw(self, active: Active) -> float:
        """Return the weighted sum of inputs plus the intercept."""

    def _parted(self, x: Features) -> Parted:
        """Part `x`; raise `Unlike` where River has to predict."""
        return self._inputs.part(x)

    def _river(self) -> Any:
        self.flush()
        return self._model

    def _mean(self, parted: Parted) -> Any:
        return self._linear.loss.mean_func(self._raw(self._inputs.active(parted)))

    def _gradient(self, active: Active, y: Any, w: float) -> float:
        """Return the loss's slope, weighted and clipped, and move the intercept by it."""
        linear = self._linear
        gradient = linear.loss.gradient(y_true=y, y_pred=self._raw(active))
        gradient *= w
        clip = linear.clip_gradient
        gradient = float(max(min(gradient, clip), -clip))  # as River's `clamp`
        linear.intercept -= linear.intercept_lr.get(linear.optimizer.n_iterations) * gradient
        return gradient
