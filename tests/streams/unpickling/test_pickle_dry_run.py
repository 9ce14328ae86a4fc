"""Pickles of listed names only, that do what no state needs: refused before anything is made."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import river
from river import compose, linear_model, optim, preprocessing, stats
from river.base.base import Base
from river.feature_extraction import vectorize
from river.tree import splitter

from streams.unpickling.pickle_dry_run import METHODS, written_as
from streams.unpickling.river_allowlist import _left_out
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle

ALLOWED = Allowed()


def named(module: str, name: str) -> bytes:
    """Push a name."""
    return f"c{module}\n{name}\n".encode()


def value(of: Any) -> bytes:
    """Push plain data."""
    return pickle.dumps(of, 2)[2:-1]


def built(target: bytes, state: bytes) -> bytes:
    """Give the target a state."""
    return b"\x80\x02" + target + state + b"b."


def called(target: bytes, *args: bytes) -> bytes:
    """Call it."""
    return b"\x80\x02" + target + b"(" + b"".join(args) + b"tR."


def instance(module: str, name: str) -> bytes:
    """Make an instance without a state."""
    return named(module, name) + b")\x81"


def state_of(name: str, of: bytes) -> bytes:
    """A dictionary with one entry."""
    return b"}" + value(name) + of + b"s"


LINEAR = "river.linear_model.lin_reg", "LinearRegression"
DEEPCOPY = named("copy", "deepcopy")
ONES = named("numpy", "ones")
PARTIAL = named("functools", "partial") + b"(" + ONES + b"tR"
SLOTS = b"N" + state_of("learn_one", ONES) + b"\x86"
OBJECTS = b"(K\x03U\x01|NNN" + value(-1) * 2 + b"K\x00t"

ATTACKS = {
    "a method of a class is set": built(named(*LINEAR), SLOTS),
    "the same, of a class by the memo": b"\x80\x02"
    + named(*LINEAR)
    + b"q\x000h\x00"
    + SLOTS
    + b"b.",
    "a class is given a dictionary": built(named(*LINEAR), state_of("learn_one", ONES)),
    "a base class's": built(
        named("river.base.base", "Base"), b"N" + state_of("_get_params", ONES) + b"\x86"
    ),
    "a function's attribute": built(
        named("river.feature_extraction.vectorize", "tokenize_using_regex_pattern"),
        state_of("__signature__", ONES),
    ),
    "a function's code": built(
        named("river.feature_extraction.vectorize", "tokenize_using_regex_pattern"),
        b"N" + state_of("__defaults__", value((1,))) + b"\x86",
    ),
    "a builtin's": built(named("builtins", "dict"), SLOTS),
    "a method of an instance": built(instance(*LINEAR), state_of("learn_one", PARTIAL)),
    "an inherited one": built(instance(*LINEAR), state_of("_get_params", PARTIAL)),
    "what a signature is read of": built(instance(*LINEAR), state_of("__init__", PARTIAL)),
    "a hook of copy": built(instance(*LINEAR), state_of("__deepcopy__", PARTIAL)),
    "another class": built(instance(*LINEAR), b"N" + state_of("__class__", ONES) + b"\x86"),
    "a slot that is none": built(instance(*LINEAR), b"N" + state_of("weight", ONES) + b"\x86"),
    "a method of a slotted class": built(
        instance("models.metrics.windowed_metrics", "Cell"), b"N" + state_of("add", ONES) + b"\x86"
    ),
    "a name that is no text": built(instance(*LINEAR), b"}" + value(1) + value(2) + b"s"),
    "a class is made": called(
        named("river.base.estimator", "EstimatorMeta"),
        value("X"),
        named("river.base.base", "Base") + b"\x85",
        state_of("__init__", ONES),
    ),
    "an instance by a call": called(named(*LINEAR)),
    "an instance by inst": b"\x80\x02(K\x01i" + "\n".join((*LINEAR, "")).encode() + b".",
    "an instance by obj": b"\x80\x02(" + named(*LINEAR) + b"K\x01o.",
    "a function that is a value": called(DEEPCOPY, value([1])),
    "a text of it": called(named("builtins", "str"), instance(*LINEAR)),
    "a call again and again": called(named("builtins", "iter"), ONES, value(None)),
    "a partial of nothing to call": called(named("functools", "partial"), value(1)),
    "a signature of a partial": built(
        PARTIAL,
        b"(" + ONES + b")}" + state_of("__signature__", ONES) + b"t",
    ),
    "a partial is called": called(PARTIAL, value(3)),
    "a counter of an instance": called(named("collections", "Counter"), instance(*LINEAR)),
    "another method": called(named("builtins", "getattr"), instance(*LINEAR), value("_get_params")),
    "the constructor": called(named("builtins", "getattr"), instance(*LINEAR), value("__init__")),
    "a method of a class": called(named("builtins", "getattr"), named(*LINEAR), value("clone")),
    "the globals of a method": called(
        named("builtins", "getattr"),
        named("builtins", "getattr")
        + b"("
        + instance("river.stats.mean", "Mean")
        + value("clone")
        + b"tR",
        value("__globals__"),
    ),
    "the builtins of a function": called(
        named("builtins", "getattr"),
        named("river.feature_extraction.vectorize", "tokenize_using_regex_pattern"),
        value("__builtins__"),
    ),
    "items of an instance": b"\x80\x02"
    + built(instance(*LINEAR), state_of("extend", ONES))[2:-1]
    + b"(K\x01e.",
    "numpy's objects": pickle.dumps(np.array([{}, None], dtype=object), 2),
    "a number that is an object": called(
        named("numpy._core.multiarray", "scalar"),
        named("numpy", "dtype") + b"(" + value("O8") + value(False) + value(True) + b"tR",
        named(*LINEAR),
    ),
    "a type of objects without its flags": built(
        named("numpy", "dtype") + b"(" + value("O8") + value(False) + value(True) + b"tR", OBJECTS
    ),
    "a type with fields": pickle.dumps(np.dtype([("a", "f8")]), 2),
}


def _classes() -> dict[str, Any]:
    """What an attack would change."""
    kinds: tuple[Any, ...] = (linear_model.LinearRegression, Base, vectorize.BagOfWords)
    cached = {"__slotnames__": None}  # by whoever pickles
    classes = {kind.__name__: vars(kind) | cached for kind in kinds}
    function = vectorize.tokenize_using_regex_pattern
    return classes | {"function": (dict(vars(function)), function.__defaults__, function.__code__)}


@pytest.mark.parametrize("what", ATTACKS)
def test_it_is_refused_and_nothing_has_changed(what: str) -> None:
    """Whatever the order of its parts, as classes and functions are as they were."""
    before = _classes()
    with pytest.raises(RefusedPickle):
        unpickle([ATTACKS[what]], ALLOWED)
    assert _classes() == before


def models() -> list[Any]:
    """What honest states hold."""
    words = vectorize.BagOfWords(ngram_range=(1, 2), stop_words={"a"})
    words.learn_one("a b c")
    return [
        words,
        compose.Pipeline(preprocessing.StandardScaler(), linear_model.LinearRegression()),
        linear_model.PAClassifier(mode=2),
        {"mean": stats.Mean().clone, "copy": copy.deepcopy, "adam": optim.Adam()},
        [np.float64(1.5), np.arange(6.0).reshape(2, 3), np.array(["ab", "c"]), np.array([True])],
        [np.random.RandomState(3), np.random.default_rng(3), range(3), complex(1, 2)],
    ]


@pytest.mark.parametrize("number", range(6))
def test_what_states_hold_is_loaded(number: int) -> None:
    """The same as Python's own machine makes of it."""
    data = pickle.dumps(models()[number], 5)
    assert pickle.dumps(unpickle([data], ALLOWED), 5) == pickle.dumps(pickle.loads(data), 5)


def splitters() -> list[Any]:
    """What trees gather about numbers and words, on one target and on several."""
    single = [splitter.QOSplitter(), splitter.EBSTSplitter(), splitter.TEBSTSplitter()]
    several = copy.deepcopy(single)
    for each in single:
        each.update(0.5, 1.0, 1.0)
    for each in several:
        each.update(0.5, {"a": 1.0, "b": 2.0}, 1.0)
    return [*single, *several]


@pytest.mark.parametrize("number", range(6))
def test_what_trees_gather_is_loaded(number: int) -> None:
    """Its nodes keep one of two methods, by the target that they have seen."""
    data = pickle.dumps(splitters()[number], 5)
    assert pickle.dumps(unpickle([data], ALLOWED), 5) == pickle.dumps(pickle.loads(data), 5)


def kept_methods(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Each method that the code of a module assigns to an attribute, where it is written."""
    for statement in ast.walk(ast.parse(inspect.getsource(module))):
        real = (
            getattr(module, statement.name, None) if isinstance(statement, ast.ClassDef) else None
        )
        if not isinstance(real, type):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets
            ):
                yield from _methods_in(node.value, real)


def _methods_in(value: ast.expr, kind: type[Any]) -> Iterator[tuple[str, str]]:
    called = {id(node.func) for node in ast.walk(value) if isinstance(node, ast.Call)}
    for node in ast.walk(value):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id == "self" and id(node) not in called:
            static = isinstance(inspect.getattr_static(kind, node.attr, None), staticmethod)
            if (name := written_as(kind, node.attr)) and not static:  # one is named as a function
                yield name


def test_every_method_that_river_keeps_is_listed() -> None:
    """Also those that only a model which has learnt keeps."""
    methods: set[tuple[str, str]] = set()
    for module in pkgutil.walk_packages(river.__path__, "river.", onerror=lambda name: None):
        if ".test_" in module.name or _left_out(module.name):
            continue
        loaded = importlib.import_module(module.name)
        if (loaded.__file__ or "").endswith(".py"):
            methods |= set(kept_methods(loaded))
    assert len(methods) > 15
    assert methods <= METHODS, sorted(methods - METHODS)


class Own(linear_model.LinearRegression):  # type: ignore[misc]  # River ships no types
    """An author's estimator, with a method of its own that it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.how: Callable[[float], float] = self._doubled

    def _doubled(self, number: float) -> float:
        return 2 * number


def test_an_authors_estimator_may_keep_the_methods_that_its_fresh_ones_keep() -> None:
    """And no other's."""
    allowed = Allowed([Own], __name__)
    estimator = unpickle([pickle.dumps(Own(), 5)], allowed)
    assert estimator.how(2.0) == 4.0
    other = Own()
    other.how = other.learn_one  # type: ignore[assignment]
    with pytest.raises(RefusedPickle, match="learn_one"):
        unpickle([pickle.dumps(other, 5)], allowed)
