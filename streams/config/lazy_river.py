"""Imports River without those of its imports that riverrun never calls.

`river.stream` looks for scikit-learn, which brings pandas and pyarrow, where they are installed;
eight of River's modules name a function of `scipy.stats`, `special` or `ndimage` each, which bring
optimisers, spatial trees and a copy of NumPy's interface. That is 40 % of a worker's start,
and half of its memory. So the first is not looked for, and names of the second are looked up when
one is used. Whoever imports them later gets them (`iter_sklearn_dataset` from its own module).

Importing this module imports nothing of River's: it installs a finder (PEP 302), which acts when
somebody does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

SOUGHT = "river.stream.iter_sklearn"
LATER = "scipy.stats", "scipy.special", "scipy.ndimage"


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
        real = sys.modules.get(self.__name__, self)
        return _Name(self.__name__, name) if real is self else getattr(real, name)


@contextmanager
def _without_scikit_learn() -> Iterator[None]:
    """Let `river.stream` find that there is none, unless it is imported already."""
    if SOUGHT in sys.modules:
        yield
        return
    sys.modules[SOUGHT] = None  # type: ignore[assignment]  # as importlib has it: not found
    try:
        yield
    finally:
        del sys.modules[SOUGHT]


@contextmanager
def _with_names_of_scipy() -> Iterator[None]:
    """Let a module find a stand-in of each of `LATER` that is not imported already."""
    stand_ins = {name: _Later(name) for name in LATER if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
                parent, _, child = name.rpartition(".")
                vars(sys.modules.get(parent, stand_in)).pop(child, None)


AMID = {
    "river.stream": _without_scikit_learn,
    "river.drift.kswin": _with_names_of_scipy,
    "river.linear_model.ad_predictor": _with_names_of_scipy,
    "river.metrics.geometric_mean": _with_names_of_scipy,
    "river.optim.losses": _with_names_of_scipy,
    "river.preprocessing.lda": _with_names_of_scipy,
    "river.proba.beta": _with_names_of_scipy,
    "river.proba.gaussian": _with_names_of_scipy,
    "river.tree.stochastic_gradient_tree": _with_names_of_scipy,
}
"""Within what the body of a module of River's runs."""


class _Loader(SourceFileLoader):
    """The loader of one of these modules."""

    def exec_module(self, module: ModuleType) -> None:
        with AMID[module.__name__]():
            super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds these modules where they are, and hands them to that loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in AMID:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder())
