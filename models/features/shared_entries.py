"""What one record adds to a window that all partitions share, on its way to all of them.

A window whose key lacks the use case's key counts records of every partition. The partition that
takes a record computes what it adds, (window, key, value), and sends it out; each partition counts
it when the learner has released it (`models/training/window_batches.py`).
"""

from __future__ import annotations

import math
from typing import Any

from models.values.numbers import INT_LEAST, INT_MOST

SharedEntry = tuple[Any, ...]
"""(name of the window, key, value), each as JSON gives it back; one that replaces what was counted
at its time has that value, too, and as `value` None where nothing comes in its place."""


class SharedSink:
    """Stands for a shared window where a record is counted: it appends to `outgoing`."""

    __slots__ = ("_name", "_outgoing")

    def __init__(self, name: str, outgoing: list[SharedEntry]) -> None:
        self._name = name
        self._outgoing = outgoing

    def add(self, key: Any, time: float, value: Any) -> None:
        """Send `value` out; its time is that of the record, which all its entries have."""
        self._outgoing.append((self._name, key, value))

    def replace(self, key: Any, time: float, before: Any, after: Any) -> None:
        """Send out that `after` takes the place of `before`; None: nothing."""
        if before is None:
            self.add(key, time, after)
        else:
            self._outgoing.append((self._name, key, after, before))


def plain_key(key: Any) -> Any:
    """Return a window's key as values that JSON gives back; others as their text.

    >>> plain_key(("JFK", 3)), plain_key(float("nan"))
    (('JFK', 3), 'nan')
    """
    if type(key) is tuple:
        return tuple([_plain(part) for part in key])
    return _plain(key)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int and INT_LEAST <= value <= INT_MOST:
        return value
    if kind is float and math.isfinite(value):
        return value
    return str(value)
