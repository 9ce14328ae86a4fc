"""A pickle run for the first time, with stand-ins for all that it names: nothing real is touched.

Which names a pickle may hold does not bound what it does with them: it can set attributes on a
class or a function, replace a method of an instance, or call what is only there as a value. So it
is run twice. In this first run every class is a stand-in that makes inert objects of its own, which
check the state that they are given and drop it; every function is a value that refuses to be
called; and of what a pickle may call, the table `CALLED` holds a double that checks the arguments.
It is the same C machine that reads the same bytes, so both runs take the same steps.

Refused are, whatever their names:

- setting attributes on classes, functions and whatever else is no fresh instance
- an instance's state that shadows a method, has a dunder name or a slot that its class has not
- calls of anything but `CALLED`, and of classes that say so themselves (`__reduce__`)
- methods but those of `METHODS`
- arrays and types of numpy that hold objects
"""

from __future__ import annotations

import copyreg
import inspect
import random
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

PLAIN = (dict, list, set, frozenset, tuple, str, bytes, int, float, deque)
REAL: Mapping[str, Any] = {"OrderedDict": OrderedDict, "defaultdict": defaultdict, "deque": deque}
BUILTIN = ("range", "slice", "complex", "bytearray", "frozenset", "set")
"""They do nothing but make themselves, and take no attribute."""

METHODS = frozenset(
    {
        ("random", "Random.gauss"),
        ("river.bandit.thompson", "ThompsonSampling._clone_reward_obj_with_seed"),
        ("river.base.base", "Base.clone"),
        ("river.drift.dummy", "DummyDriftDetector._fixed_trigger"),
        ("river.drift.dummy", "DummyDriftDetector._random_trigger"),
        ("river.drift.page_hinkley", "PageHinkley._test_both"),
        ("river.drift.page_hinkley", "PageHinkley._test_decrease"),
        ("river.drift.page_hinkley", "PageHinkley._test_increase"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier._leveraging_bag"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier._leveraging_bag_half"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier._leveraging_bag_me"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier._leveraging_bag_wt"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier._leveraging_subag"),
        ("river.feature_extraction.kernel_approx", "RBFSampler._random_weights"),
        ("river.linear_model.pa", "BasePA._calc_tau_0"),
        ("river.linear_model.pa", "BasePA._calc_tau_1"),
        ("river.linear_model.pa", "BasePA._calc_tau_2"),
        ("river.multiclass.occ", "OutputCodeClassifier._next_code"),
        ("river.preprocessing.random_projection", "GaussianRandomProjector._rand_gauss"),
        (
            "river.preprocessing.random_projection",
            "SparseRandomProjector._rand_weights_for_feature",
        ),
        ("river.tree.splitter.qo_splitter", "Slot._update_estimator_multivariate"),
        ("river.tree.splitter.qo_splitter", "Slot._update_estimator_univariate"),
    }
)
"""The methods that River's models keep, by where they are written: module and qualified name."""


class Forbidden(Exception):
    """A pickle does what no state needs."""


Name = tuple[str, str]


def written_as(kind: type[Any], name: Any) -> Name | None:
    """Return where a method of that class is written; None if there is no such function."""
    static = inspect.getattr_static(kind, name, None) if type(name) is str else None
    static = getattr(static, "__func__", static)
    return (static.__module__, static.__qualname__) if inspect.isfunction(static) else None


def check_method(kind: type[Any], name: Any, methods: Collection[Name]) -> None:
    """Raise `Forbidden` unless instances of this class may hold that method of theirs."""
    if written_as(kind, name) not in methods:
        raise Forbidden(f"it asks {kind.__qualname__} for {name!r}")


class _Kind(type):
    """The stand-in for a class: `real` is the class."""

    real: type[Any]
    callable: bool

    def __call__(cls, *args: Any, **named: Any) -> Any:
        if not cls.callable:
            raise Forbidden(f"it calls {cls.__name__}")
        return super().__call__(*args, **named)


class _Instance:
    """The stand-in for an instance. It keeps nothing."""

    __slots__ = ()
    known: set[str]
    taken: frozenset[str]
    slots: frozenset[str]
    stateful: bool

    def __setstate__(self, state: Any) -> None:
        if type(state) is dict:
            if not self.known.issuperset(state):
                self._check(state)
        elif (
            type(state) is tuple
            and len(state) == 2
            and all(part is None or type(part) is dict for part in state)
        ):
            self._check(state[0] or {})
            for name in state[1] or {}:
                if name not in self.slots:
                    raise Forbidden(f"{type(self).__name__} has no slot {name!r}")
        elif not self.stateful or type(state) not in (tuple, bytes, int, type(None)):
            raise Forbidden(f"a state of {type(self).__name__} is a {type(state).__name__}")

    def _check(self, state: dict[Any, Any]) -> None:
        for name in state:
            if type(name) is not str or name.startswith("__") or name in self.taken:
                raise Forbidden(f"the state of {type(self).__name__} replaces {name!r}")
        self.known.update(state)


def _refuse_call(called: Any, *args: Any, **named: Any) -> Any:
    raise Forbidden(f"it calls {getattr(called, 'name', type(called).__name__)}")


class _Value:
    """The stand-in for what is only passed on: functions, methods, numpy's scalars."""

    __slots__ = ("name",)
    __call__ = _refuse_call

    def __init__(self, name: str) -> None:
        self.name = name


class _Built:
    """The stand-in for what a listed call makes and a state completes; `check` sees the state."""

    __slots__ = ("_check",)
    __call__ = _refuse_call

    def __init__(self, check: Callable[[Any], bool]) -> None:
        self._check = check

    def __setstate__(self, state: Any) -> None:
        if not self._check(state):
            raise Forbidden("a state is not of its kind")


class StandIns:
    """The stand-ins for listed names, each made when it is first asked for.

    `methods` are those that may be held, `called` what a use case's own models call besides.
    """

    def __init__(self, methods: Collection[Name], called: Collection[Name]) -> None:
        self._methods, self._called = methods, called
        self._made: dict[Name, Any] = {}

    def of(self, module: str, name: str, real: Any) -> Any:
        """Return the stand-in for `real`, which has that name."""
        key = module, name
        if key not in self._made:
            self._made[key] = self._make(module, name, real)
        return self._made[key]

    def _make(self, module: str, name: str, real: Any) -> Any:
        if module == "builtins" and name in BUILTIN:
            return real
        if module == "collections" and name in REAL:
            return REAL[name]
        if module == "datetime":
            return real
        if (module, name) == ("builtins", "getattr"):
            return _Double(name, self._getattr)
        if (double := CALLED.get((module, name))) is not None:
            return _Double(name, double)
        if isinstance(real, type) and module != "builtins":
            return _kind_of(real, (module, name) in self._called)
        return _Double(name, _plainly) if (module, name) in self._called else _Value(name)

    def _getattr(self, owner: Any, name: Any) -> Any:
        if type(owner) is _Value and (owner.name, name) == ("str", "lower"):
            return _Value("str.lower")
        kind = random.Random if type(owner) is _Random else getattr(type(owner), "real", None)
        if kind is None:
            return None
        check_method(kind, name, self._methods)
        return _Value(name)


def _plainly(*args: Any) -> Any:
    return (
        _Value("it") if all(type(arg) in (str, bytes, int, float, bool) for arg in args) else None
    )


def _kind_of(real: type[Any], called: bool) -> Any:
    base = next((plain for plain in PLAIN if issubclass(real, plain)), None)
    reduces = (inspect.getattr_static(real, name) for name in ("__reduce__", "__reduce_ex__"))
    own = called or any(getattr(method, "__objclass__", None) is not object for method in reduces)
    body: dict[str, Any] = {
        "__slots__": (),
        "known": set(),
        "taken": frozenset(
            name for name in dir(real) if callable(inspect.getattr_static(real, name, None))
        ),
        "slots": frozenset(copyreg._slotnames(real)),  # type: ignore[attr-defined]
        "stateful": hasattr(real, "__setstate__"),
    }
    if base is None and (own or vars(object)["__new__"] is not real.__new__):
        body["__new__"] = lambda cls, *args, **named: object.__new__(cls)
        body["__init__"] = lambda self, *args, **named: None
    if base is tuple:
        body["__new__"] = lambda cls, *args: tuple.__new__(cls, args)  # a named tuple's are many
    if any("__call__" in vars(parent) for parent in real.__mro__):
        body["__call__"] = _refuse_call
    bases = (_Instance,) if base is None else (_Instance, base)
    kind = _Kind(real.__name__, bases, body)
    kind.real, kind.callable = real, own
    return kind


class _Double:
    """The stand-in for a listed callable."""

    __slots__ = ("_call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self._call = name, call

    def __call__(self, *args: Any) -> Any:
        result = self._call(*args)
        if result is None:
            raise Forbidden(f"it calls {self.name} with what no state has")
        return result


# What a listed callable's double says to its arguments: what it makes, or None.


def _iter(of: Any) -> Any:
    return iter(of) if type(of) in (list, tuple, dict, set, str, bytes, range) else None


def _partial(function: Any) -> Any:
    return _Built(_partial_state) if callable(function) else None


def _partial_state(state: Any) -> bool:
    if type(state) is not tuple or len(state) != 4:
        return False
    function, args, named, more = state
    plain = type(args) is tuple and type(named) is dict and not more
    return plain and callable(function) and all(type(name) is str for name in named)


def _counter(counts: Any) -> Any:
    return _Value("Counter") if type(counts) is dict else None


_DTYPE = re.compile(r"[bifc]\d{1,2}|[?bBhHiIlLqQefdgFDG]|u\d|([US])(\d{1,4})")


class _Dtype:
    """A type of numbers or of texts of one length; others could hold what is no object's."""

    __slots__ = ("_length", "_size")

    def __init__(self, text: str, length: str | None) -> None:
        self._size = {"U": 4, "S": 1}.get(text[0]) if length else None
        self._length = int(length or 0)

    def __setstate__(self, state: Any) -> None:
        size = self._size
        sizes = (-1, -1, 0) if size is None else (size * self._length, size, 8 if size == 4 else 0)
        right = type(state) is tuple and len(state) == 8 and state[0] == 3
        if not right or state[1] not in "<>|=" or state[2:5] != (None,) * 3 or state[5:] != sizes:
            raise Forbidden("a type of numpy's is not of plain values")


def _dtype(text: Any, *_: Any) -> Any:
    match = _DTYPE.fullmatch(text) if type(text) is str else None
    return None if match is None else _Dtype(text, match[2])


def _array_state(state: Any) -> bool:
    if type(state) is not tuple or len(state) != 5:
        return False
    version, shape, kind, _, data = state
    return version == 1 and type(shape) is tuple and type(kind) is _Dtype and type(data) is bytes


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    is_array = isinstance(kind, _Kind) and kind.__name__ == "ndarray"
    return _Built(_array_state) if is_array and shape == (0,) else None


def _scalar(kind: Any, data: Any) -> Any:
    return _Value("scalar") if type(kind) is _Dtype and type(data) is bytes else None


def _frombuffer(data: Any, kind: Any, *_: Any) -> Any:
    plain = isinstance(data, bytes | bytearray) and type(kind) is _Dtype
    return _Value("array") if plain else None


class _Random(_Built):
    """A generator of random numbers, Python's or numpy's."""

    __slots__ = ()


def _numbers(state: Any) -> bool:
    return type(state) in (tuple, dict)


def _random(*args: Any) -> Any:
    return None if args else _Random(_numbers)


def _generator(of: Any = "MT19937", *_: Any) -> Any:
    known = type(of) is str or isinstance(of, _Random | _Kind)
    return _Random(_numbers) if known else None


def _seed(kind: Any, check: Any, state: Any) -> Any:
    right = isinstance(kind, _Kind) and kind.__name__ == "SeedSequence"
    return _Random(_numbers) if right and type(state) in (tuple, type(None)) else None


CALLED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "iter"): _iter,
    ("collections", "Counter"): _counter,
    ("functools", "partial"): _partial,
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy.random._pickle", "__bit_generator_ctor"): _generator,
    ("numpy.random._pickle", "__generator_ctor"): _generator,
    ("numpy.random._pickle", "__randomstate_ctor"): _generator,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): _seed,
    ("random", "Random"): _random,
}
"""What a pickle may call, besides `getattr` and classes that reduce themselves to a call."""
