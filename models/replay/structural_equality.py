"""Whether two things that a use case declares are the same, although two files made them.

Functions are the same if their code is, and what they refer to: constants, defaults, what they
enclose, and the globals that they name. Objects are the same if their types and their parts are. It
errs on the side of a difference: a model that is told apart without need is only trained again.
"""

from __future__ import annotations

import functools
import inspect
import pickle
import types
from collections.abc import Mapping
from typing import Any

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def alike(one: Any, other: Any) -> bool:
    """Return whether they are the same in all that can be seen.

    >>> alike(lambda e: e.weight + 1, lambda e: e.weight + 1)
    True
    >>> alike(lambda e: e.weight + 1, lambda e: e.weight + 2)
    False
    """
    return _alike(one, other, set())


def _alike(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))
    if _name(type(one)) != _name(type(other)):
        return False
    if isinstance(one, _PLAIN):
        return repr(one) == repr(other)
    if isinstance(one, types.FunctionType):
        return _functions(one, other, seen)
    if isinstance(one, types.ModuleType | types.BuiltinFunctionType):
        return _name(one) == _name(other)
    if isinstance(one, type):
        return _classes(one, other, seen)
    return _parts(one, other, seen)


def _name(value: Any) -> tuple[Any, Any]:
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    return getattr(value, "__module__", None), name


def _functions(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if not _codes(one.__code__, other.__code__):
        return False
    first, second = inspect.getclosurevars(one), inspect.getclosurevars(other)
    return _all(
        (one.__defaults__, one.__kwdefaults__, dict(first.nonlocals), dict(first.globals)),
        (other.__defaults__, other.__kwdefaults__, dict(second.nonlocals), dict(second.globals)),
        seen,
    )


def _codes(one: types.CodeType, other: types.CodeType) -> bool:
    names = ("co_code", "co_names", "co_varnames", "co_freevars", "co_flags", "co_argcount")
    if any(getattr(one, name) != getattr(other, name) for name in names):
        return False
    if len(one.co_consts) != len(other.co_consts):
        return False
    return all(
        _codes(a, b)
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType)
        else repr(a) == repr(b)
        for a, b in zip(one.co_consts, other.co_consts, strict=True)
    )


def _classes(one: type, other: type, seen: set[tuple[int, int]]) -> bool:
    if _name(one) != _name(other):
        return False
    if not _all(list(one.__bases__), list(other.__bases__), seen):
        return False
    return _all(_written(one), _written(other), seen)


def _written(of: type) -> dict[str, Any]:
    # What an author writes in a class: fields, functions, constants.
    kinds = (types.FunctionType, staticmethod, classmethod, property, *_PLAIN, dict, tuple)
    left_out = ("__module__", "__qualname__", "__doc__", "__firstlineno__")
    return {
        name: value
        for name, value in vars(of).items()
        if isinstance(value, kinds)
        and name not in left_out
        and not name.startswith(("_abc", "__pydantic", "__private", "__signature"))
    }


def _parts(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if isinstance(one, Mapping):
        if list(map(repr, one)) != list(map(repr, other)):
            return False
        if not _all(list(one.values()), list(other.values()), seen):
            return False
    elif isinstance(one, list | tuple):
        if len(one) != len(other) or not all(map(lambda a, b: _alike(a, b, seen), one, other)):
            return False
    elif isinstance(one, set | frozenset):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    elif isinstance(one, functools.partial):
        calls = [(given.func, given.args, given.keywords) for given in (one, other)]
        return _all(calls[0], calls[1], seen)
    first, second = _state(one), _state(other)
    if first is None or second is None:
        return isinstance(one, Mapping | list | tuple) or _pickles(one, other)
    return _all(first, second, seen)


def _all(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return False
        return all(_alike(one[name], other[name], seen) for name in one)
    if len(one) != len(other):
        return False
    return all(_alike(a, b, seen) for a, b in zip(one, other, strict=True))


def _state(value: Any) -> dict[str, Any] | None:
    if isinstance(value, staticmethod | classmethod):
        return {"function": value.__func__}
    if isinstance(value, property):
        return {"get": value.fget}
    if isinstance(value, types.MethodType):
        return {"function": value.__func__, "of": value.__self__}
    names = [name for of in type(value).__mro__ for name in getattr(of, "__slots__", ())]
    if not hasattr(value, "__dict__") and not names:
        return None
    attributes = dict(getattr(value, "__dict__", {}))
    return attributes | {name: getattr(value, name, None) for name in names if name != "__dict__"}


def _pickles(one: Any, other: Any) -> bool:
    # Random generators, compiled estimators.
    try:
        return pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # whatever cannot be pickled cannot be compared
        return False
