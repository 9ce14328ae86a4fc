"""A step in which every weight moves, on arrays: Adam.

The weights and both moments of the optimizer are the rows of one array, in the order in which River
meets their inputs; `flush` writes them back into River's objects. The power is C's `pow`, as in
River (`numpy.float_power`; a square root differs in the last bit once in a thousand).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.utils import VectorDict

from models.fastpath.encoder import Active, Features, Parted, Unlike
from models.fastpath.linear_step import LinearStep
from models.fastpath.pattern import PipelinePattern

Array = NDArray[np.float64]
LARGE = 1e50
"""Of inputs, gradients and rates. Beyond it a square or, in time, a weight might overflow, and zero
times infinity is not nothing: River does it all.
"""
ROOM = 64
UNLIKE_MAX = 1_000
"""Examples that differ (a number is absent) until River does them all: each costs a copy."""


class DenseAdam(LinearStep):
    """On arrays beside River's own objects."""

    def __init__(self, shape: PipelinePattern) -> None:
        super().__init__(shape)
        # True while River's objects are behind the arrays: the moments, and the weights.
        self._ahead = False
        # True once River has to do it all.
        self._lost = False
        self._unlike = 0
        self._load()

    def learn_one(self, x: Features, y: Any, w: float = 1.0) -> None:
        """Learn as River's own step does."""
        try:
            parted = self._parted(x)
            if parted.numbers.keys() != self._inputs.numbers:
                raise Unlike  # what is absent does not move
        except Unlike:
            self._learn_as_river(x, y, w)
            return
        active = self._inputs.learn(parted)
        gradient = self._gradient(active, y, w)
        rate = self._linear.optimizer.learning_rate
        if max(map(abs, active.values()), default=0.0) < LARGE > max(abs(gradient), abs(rate)):
            self._step(active, gradient, rate)
        else:
            self._step_as_river(x, gradient)

    def _learn_as_river(self, x: Features, y: Any, w: float) -> None:
        self._river().learn_one(x, y, w=w)
        self._unlike += 1
        if self._unlike < UNLIKE_MAX and not self._lost:
            self._load()
        self._lost = self._lost or self._unlike >= UNLIKE_MAX

    def flush(self) -> None:
        """Bring River's objects up to the arrays."""
        if not self._ahead:
            return
        self._ahead = False
        self._linear._weights.update(dict(zip(self._at, self._rows[0].tolist(), strict=False)))
        optimizer = self._linear.optimizer
        if optimizer.m is None:
            optimizer.m, optimizer.v = VectorDict(), VectorDict()
        for vector, row in zip((optimizer.m, optimizer.v), self._rows[1:], strict=True):
            vector.update(dict(zip(self._at, row.tolist(), strict=False)))

    def _weight(self, name: str, default: float) -> float:
        index = self._at.get(name)
        return default if index is None else self._reading[index]

    # The arrays.

    def _load(self) -> None:
        """Load River's state; set `_lost` if its vectors differ in their inputs or these' order."""
        optimizer = self._linear.optimizer
        vectors = [self._linear._weights.to_dict()]
        if optimizer.m is not None:
            vectors += [optimizer.m.to_dict(), optimizer.v.to_dict()]
        names = [*vectors[0]]
        self._lost = any([*part] != names for part in vectors[1:])
        # Weights without moments: learnt under another optimizer.
        self._lost = self._lost or bool(names and len(vectors) == 1)
        values = [[*part.values()] for part in vectors]
        self._lost = self._lost or not all(sum(map(abs, row)) < LARGE**2 for row in values)
        self._at = {name: index for index, name in enumerate(names)}
        self._inputs.known(names)
        self._rows = np.zeros((3, len(names) + ROOM))
        for row, part in zip(self._rows, values, strict=False):
            row[: len(names)] = part
        self._view()

    def _view(self) -> None:
        count = len(self._at)
        self._weights, self._first, self._second = self._rows[:, :count]
        # Of single numbers: faster than an array's own, and they give Python's floats.
        rows: Any = self._rows
        views: list[memoryview[Any]] = [memoryview(row) for row in rows]
        self._reading, self._first_at, self._second_at = views
        self._part, self._rest = np.empty(count), np.empty(count)
        optimizer = self._linear.optimizer
        settings = optimizer.beta_1, optimizer.beta_2, optimizer.eps, 0.5
        # As arrays: a number would be made one at each step.
        self._beta_1, self._beta_2, self._eps, self._half = map(np.asarray, settings)

    def _enter(self, active: Active) -> None:
        """Make room for inputs that come for the first time."""
        for name in active:
            if name not in self._at:
                self._at[name] = len(self._at)
        if len(self._at) > self._rows.shape[1]:
            rows = np.zeros((3, 2 * len(self._at)))
            rows[:, : self._rows.shape[1]] = self._rows
            self._rows = rows
        self._view()

    # One step.

    def _parted(self, x: Features) -> Parted:
        if self._lost:
            raise Unlike
        return super()._parted(x)

    def _raw(self, active: Active) -> float:
        at, weights, total = self._at, self._reading, 0.0
        for name, value in active.items():
            index = at.get(name)
            if index is not None:
                total += weights[index] * value
        raw: float = total + self._linear.intercept
        return raw

    def _step(self, active: Active, gradient: float, rate: float) -> None:
        """Take Adam's step, operation by operation as in `river.optim.Adam._step_with_vector`."""
        optimizer, at = self._linear.optimizer, self._at
        if not active.keys() <= at.keys():
            self._enter(active)
        beta_1, beta_2, after = optimizer.beta_1, optimizer.beta_2, optimizer.n_iterations + 1
        rate *= (1 - beta_2**after) ** 0.5
        rate /= 1 - beta_1**after
        new_1, new_2 = 1 - beta_1, 1 - beta_2

        first, second, part, rest = self._first_at, self._second_at, self._part, self._rest
        np.multiply(self._first, self._beta_1, self._first)
        np.multiply(self._second, self._beta_2, self._second)
        # An input that is zero adds nothing to either.
        for name, value in active.items():
            index, slope = at[name], value * gradient
            first[index] += slope * new_1
            second[index] += slope * slope * new_2
        np.float_power(self._second, self._half, rest)
        np.add(rest, self._eps, rest)
        np.multiply(self._first, rate, part)
        np.divide(part, rest, part)
        np.subtract(self._weights, part, self._weights)
        optimizer.n_iterations = after
        self._ahead = True

    def _step_as_river(self, x: Features, gradient: float) -> None:
        """Let River take this step, and all that follow."""
        self._give_up()
        linear = self._linear
        inputs = next(iter(self._model.steps.values())).transform_one(x)
        saved = linear._enter_learn_mode(inputs)
        try:
            linear.optimizer.step(w=linear._weights, g=VectorDict.from_scaled(inputs, gradient))
        finally:
            linear._exit_learn_mode(saved)

    def _give_up(self) -> None:
        self.flush()
        self._lost = True
