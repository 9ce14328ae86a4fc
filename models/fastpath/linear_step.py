"""What every faster step does alike: it answers as River does, or has River answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from river.utils.math import clamp

from models.evidence.contributions import Seen
from models.fusion.inputs import Active, Features, Inputs, Parted, Unlike
from models.fusion.shape import Shape


class Step(ABC):
    """Predicts and learns as the model of `shape` does."""

    def __init__(self, shape: Shape) -> None:
        self._model = shape.model
        self._linear = shape.linear
        self._inputs = Inputs(shape)

    def predict_one(self, x: Features) -> Any:
        """As River's."""
        try:
            parted = self._parted(x)
        except Unlike:
            return self._river().predict_one(x)
        return self._mean(parted)

    def predict_proba_one(self, x: Features) -> Any:
        """As River's."""
        try:
            parted = self._parted(x)
        except Unlike:
            return self._river().predict_proba_one(x)
        chance = self._mean(parted)
        return {False: 1.0 - chance, True: chance}

    def seen(self, x: Features) -> Seen | None:
        """What reaches the linear model; None where River is to be asked."""
        try:
            parted = self._parted(x)
        except Unlike:
            return None
        numbers = {name: name for name in parted.numbers}
        sources = numbers | dict(zip(parted.made, parted.names, strict=True))
        return Seen(self._inputs.active(parted), sources, self._linear, self._weighed())

    @abstractmethod
    def _weighed(self) -> Iterable[tuple[str, float]]:
        """Inputs and their weights, in River's order."""

    @abstractmethod
    def learn_one(self, x: Features, y: Any, w: float = 1.0) -> None:
        """As River's."""

    @abstractmethod
    def flush(self) -> None:
        """Bring River's objects up to what was learnt."""

    @abstractmethod
    def _raw(self, active: Active) -> float:
        """The weighted sum of inputs, and the intercept."""

    def _parted(self, x: Features) -> Parted:
        """Raises `Unlike` where River is to be asked."""
        return self._inputs.part(x)

    def _river(self) -> Any:
        self.flush()
        return self._model

    def _mean(self, parted: Parted) -> Any:
        return self._linear.loss.mean_func(self._raw(self._inputs.active(parted)))

    def _gradient(self, active: Active, y: Any, w: float) -> float:
        """The loss's slope at what is said, weighted and clipped; moves the intercept by it."""
        linear = self._linear
        gradient = linear.loss.gradient(y_true=y, y_pred=self._raw(active))
        gradient *= w
        gradient = float(clamp(gradient, -linear.clip_gradient, linear.clip_gradient))
        linear.intercept -= linear.intercept_lr.get(linear.optimizer.n_iterations) * gradient
        return gradient
