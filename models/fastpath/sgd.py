"""A step in which only the inputs that are not zero move: SGD and AdaGrad.

River's own weights and sums of squares are changed in place; nothing is kept beside them.
"""

from __future__ import annotations

from typing import Any

from river import optim

from models.fastpath.encoder import Active, Features, Unlike
from models.fastpath.linear_step import LinearStep
from models.fastpath.pattern import PipelinePattern


class SparseSgd(LinearStep):
    """On River's own objects."""

    def __init__(self, shape: PipelinePattern) -> None:
        super().__init__(shape)
        self._adagrad = type(shape.linear.optimizer) is optim.AdaGrad

    def learn_one(self, x: Features, y: Any, w: float = 1.0) -> None:
        """Learn as River's own step does."""
        try:
            parted = self._parted(x)
        except Unlike:
            self._model.learn_one(x, y, w=w)
            return
        active = self._inputs.learn(parted)
        self._step(active, self._gradient(active, y, w))

    def flush(self) -> None:
        """Do nothing: River's objects are as they should be at any time."""

    def _weight(self, name: str, default: float) -> float:
        weight: float = self._linear._weights.get(name, default)
        return weight

    def _raw(self, active: Active) -> float:
        weight, total = self._linear._weights.get, 0.0
        for name, value in active.items():
            total += weight(name, 0.0) * value
        raw: float = total + self._linear.intercept
        return raw

    def _step(self, active: Active, gradient: float) -> None:
        optimizer, weights = self._linear.optimizer, self._linear._weights
        rate = optimizer.learning_rate
        if self._adagrad:
            squares, eps = optimizer.g2, optimizer.eps
            for name, value in active.items():
                part = value * gradient
                squares[name] += part**2
                weights[name] = weights.get(name, 0.0) - rate / (squares[name] + eps) ** 0.5 * part
        else:
            for name, value in active.items():
                weights[name] = weights.get(name, 0.0) - rate * (value * gradient)
        optimizer.n_iterations += 1
