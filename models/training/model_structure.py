"""The parts of a River model: the size of its state, and whether a prediction changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from river.utils import VectorDict

DRAWING = frozenset(
    {
        "GaussianRandomProjector", "LDA", "RBFSampler", "RandomTreesEmbedding",
        "SparseRandomProjector",
    }
)  # fmt: skip
"""River's transformers that draw random numbers for what they see first when they are asked."""


def size_of(model: Any) -> int:
    """Return how many numbers and words a model's state holds, however they are nested.

    >>> size_of({"a": 1.0, "b": [2.0, 3.0]})
    5
    """
    size = 0
    for value in _objects(model):
        if isinstance(value, str | bytes | int | float | bool | None):
            size += 1
        else:
            inner = _inside(value)
            size += inner if isinstance(inner, int) else 0
    return size


def draws_when_asked(model: Any) -> list[str]:
    """Return the parts of a model that draw random numbers, or learn, when they are asked.

    A copy that answers would then differ from the model, and from another copy of it.

    >>> from river import feature_extraction, linear_model
    >>> draws_when_asked(feature_extraction.RBFSampler() | linear_model.LogisticRegression())
    ['RBFSampler']
    """
    names = {type(value).__name__: None for value in _objects(model) if _draws(type(value))}
    return list(names)


def _draws(kind: type) -> bool:
    return kind.__name__ in DRAWING or kind.__module__.startswith("river.facto.")


def _objects(model: Any) -> Iterator[Any]:
    """Return all parts of a model; a part with two references once, unless it is immutable."""
    pending: list[Any] = [model]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        if not isinstance(value, str | bytes | int | float | bool | tuple | None):
            if id(value) in seen:
                continue
            seen.add(id(value))
        yield value
        inner = [] if isinstance(value, str | bytes | int | float | bool | None) else _inside(value)
        if not isinstance(inner, int):
            pending += inner


def _inside(value: Any) -> int | list[Any]:
    """Return what an object holds: its parts, or how many numbers of an array."""
    if isinstance(getattr(value, "nbytes", None), int):
        return int(value.nbytes) // 8
    if isinstance(value, VectorDict):
        return 2 * len(value)
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values(), *_attributes(value)]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return [*value, *_attributes(value)]
    return [] if isinstance(value, type) else _attributes(value)


def _attributes(value: Any) -> list[Any]:
    slots: list[str] = []
    for kind in type(value).__mro__:
        names = kind.__dict__.get("__slots__", ())
        slots += (names,) if isinstance(names, str) else names
    held = [getattr(value, name) for name in slots if hasattr(value, name)]
    return held + list(getattr(value, "__dict__", {}).values())
