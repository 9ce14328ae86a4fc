"""A step in which only the inputs that are not zero move: SGD and AdaGrad.

River's own weights and sums of squares are changed in place; nothing is kept beside them.
"""

from __future__ import annotations

from typing import Any

from river import optim
from river.utils.math import clamp

from models.fusion.inputs import Active, Features, Inputs, Unlike
from models.fusion.shape import Shape


class Sparse:
    """Predicts and learns as the model of `shape` does."""

    def __init__(self, shape: Shape) -> None:
        self._model = shape.model
        self._linear = shape.linear
        self._inputs = Inputs(shape)
        self._adagrad = type(shape.linear.optimizer) is optim.AdaGrad

    def flush(self) -> None:
        """River's objects are as they should be at any time."""

    def flush_weights(self) -> None:
        """As `flush`."""

    def predict_one(self, x: Features) -> Any:
        """As River's."""
        try:
            parted = self._inputs.part(x)
        except Unlike:
            return self._model.predict_one(x)
        return self._linear.loss.mean_func(self._raw(self._inputs.active(parted)))

    def predict_proba_one(self, x: Features) -> Any:
        """As River's."""
        try:
            parted = self._inputs.part(x)
        except Unlike:
            return self._model.predict_proba_one(x)
        chance = self._linear.loss.mean_func(self._raw(self._inputs.active(parted)))
        return {False: 1.0 - chance, True: chance}

    def learn_one(self, x: Features, y: Any, w: float = 1.0) -> None:
        """As River's."""
        try:
            parted = self._inputs.part(x)
        except Unlike:
            self._model.learn_one(x, y, w=w)
            return
        self._inputs.learn(parted)
        active = self._inputs.active(parted)
        self._step(active, loss_gradient(self._linear, self._raw(active), y, w))

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


def loss_gradient(linear: Any, raw: float, y: Any, w: float) -> float:
    """The loss's slope at what was said, weighted and clipped; moves the intercept by it."""
    gradient = linear.loss.gradient(y_true=y, y_pred=raw)
    gradient *= w
    gradient = float(clamp(gradient, -linear.clip_gradient, linear.clip_gradient))
    linear.intercept -= linear.intercept_lr.get(linear.optimizer.n_iterations) * gradient
    return gradient
