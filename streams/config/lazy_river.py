"""River imported without what it imports and riverrun never calls.

`river.stream` looks for scikit-learn, which brings pandas and pyarrow, where they are installed;
three of River's modules name a function of `scipy.stats` each, which brings optimisers and
spatial trees. Together that is 40 % of a worker's start, and half of its memory. So the first is
not looked for, and names of the second are looked up when one is used. Whoever imports them later
gets them (`iter_sklearn_dataset` from its own module).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

SOUGHT = "river.stream.iter_sklearn"
LATER = "scipy.stats"


class _Name:
    """A function or distribution of a module that is imported once this is used."""

    def __init__(self, module: str, name: str) -> None:
        self.__dict__.update(_module=module, _name=name)

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._real()(*given, **named)


class _Later(ModuleType):
    """Stands where a module is named, while others are imported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


@contextmanager
def lean() -> Iterator[None]:
    """Within, River can be imported so; a module that is there already stays."""
    parent, _, child = LATER.rpartition(".")
    stand_in = None
    if LATER not in sys.modules:
        stand_in = sys.modules[LATER] = _Later(LATER)
    if hidden := SOUGHT not in sys.modules:
        # As importlib has it: not found.
        sys.modules[SOUGHT] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[SOUGHT]
        if stand_in is not None and sys.modules.get(LATER) is stand_in:
            del sys.modules[LATER]
            vars(sys.modules.get(parent, stand_in)).pop(child, None)


with lean():
    importlib.import_module("models.task")
