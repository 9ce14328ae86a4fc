"""The state of a linear pipeline as numbers: all that it needs to predict, and nothing to learn.

Of the pipelines that `models.fastpath.pattern` knows. The optimizer's moments, which only learning
needs, stay with the learner: two thirds of the state under Adam. Dictionaries keep River's order,
on which the order of sums and so their last bits depend.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import orjson
from river.utils import VectorDict

from models.fastpath.pattern import PipelinePattern, shape_of


def packed(model: Any) -> bytes | None:
    """Return the numbers as JSON; None for another model, or where a number is not finite."""
    shape = shape_of(model)
    if shape is None:
        return None
    scaler, encoder, linear = shape.scaler, shape.encoder, shape.linear
    state: dict[str, Any] = {
        "weights": linear._weights.to_dict(),
        "intercept": linear.intercept,
        "counts": dict(scaler.counts),
        "means": dict(scaler.means),
        "vars": dict(scaler.vars),
    }
    if encoder is not None:
        state["values"] = {name: sorted(seen) for name, seen in encoder.values.items()}
        state["zeros"] = list(encoder._zero_dict)
    try:
        text = orjson.dumps(state)
    except TypeError:  # a number of another type, which JSON would not give back
        return None
    return None if b"null" in text else text


def filled(model: Any, state: bytes) -> Any:
    """Return `model`, a fresh pipeline as the use case declares it, with these numbers."""
    shape = shape_of(model)
    if shape is None:
        raise ValueError("the state is of a linear pipeline, and the model is none")
    numbers = orjson.loads(state)
    scaler = shape.scaler
    scaler.counts = Counter(numbers["counts"])
    scaler.means = defaultdict(float, numbers["means"])
    scaler.vars = defaultdict(float, numbers["vars"])
    if shape.encoder is not None:
        for name, seen in numbers["values"].items():
            shape.encoder.values[name] = set(seen)
        shape.encoder._zero_dict = dict.fromkeys(numbers["zeros"], 0)
    _fill_linear(shape, numbers)
    return model


def _fill_linear(shape: PipelinePattern, numbers: dict[str, Any]) -> None:
    weights = numbers["weights"]
    shape.linear._weights = VectorDict(weights)
    shape.linear.intercept = numbers["intercept"]
    if weights and shape.dense:
        # As of inputs that never moved: the arrays of the fast path are laid out by them.
        nothing = dict.fromkeys(weights, 0.0)
        shape.linear.optimizer.m = VectorDict(nothing)
        shape.linear.optimizer.v = VectorDict(nothing)
