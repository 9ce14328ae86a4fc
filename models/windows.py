"""Aggregates over event time: what happened lately at this place, on this route, to this customer.

A window runs over the events or over the outcomes of one partition, in the order in which the task
applies them, and reads the time of those records only. Two shapes:

- `last`: sliding. Value v counted at time t is part of it until t + last.
- `half_life`: decayed. It counts as v · 2^(-(now - t) / half_life): exponential forgetting in
  continuous time (Cormode et al. 2009, Forward Decay, keeps the same sums the other way round).

A mean is shrunk: (S + weight · prior) / (W + weight), the posterior mean of a normal with `weight`
pseudo-observations at `prior`; where both are nothing it is `empty`. Memory: one cell a key, at
most `keys` of them, the least recently updated dropped first; a sliding cell holds its values.

Sliding sums are exact (Shewchuk 1997, Adaptive Precision Floating-Point Arithmetic: partial sums
that do not overlap), so nothing drifts as values come and go, and reading changes no float.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

Aggregate = Literal["count", "sum", "mean", "min", "max"]


@dataclass(frozen=True, slots=True)
class Window:
    """One declared aggregate. Made by `over_events(...)` or `over_outcomes(...)`.

    `value` takes (event, features) over events, and (event, outcome, features) over outcomes.
    """

    over: Literal["events", "outcomes"]
    by: tuple[str, ...]
    last: float | None
    half_life: float | None
    keys: int
    aggregate: Aggregate | None = None
    value: Callable[..., float | None] | None = None
    empty: float | None = None
    prior: str | float | None = None
    weight: float = 0.0

    def count(self) -> Window:
        """How many; decayed windows count each by what is left of it."""
        return replace(self, aggregate="count", empty=0.0)

    def sum(self, value: Callable[..., float | None]) -> Window:
        """The sum of `value`; nothing counted is 0."""
        return replace(self, aggregate="sum", value=value, empty=0.0)

    def mean(
        self,
        value: Callable[..., float | None],
        *,
        empty: float | None = None,
        prior: str | float | None = None,
        weight: float = 0.0,
    ) -> Window:
        """The mean of `value`, shrunk towards `prior` (an earlier feature's name, or a number).

        Without a prior, `empty` is what it shrinks to and the value where nothing was counted.
        """
        return replace(
            self, aggregate="mean", value=value, empty=empty, prior=prior, weight=float(weight)
        )

    def min(self, value: Callable[..., float | None], *, empty: float) -> Window:
        """The smallest `value` (sliding windows only)."""
        return replace(self, aggregate="min", value=value, empty=empty)

    def max(self, value: Callable[..., float | None], *, empty: float) -> Window:
        """The largest `value` (sliding windows only)."""
        return replace(self, aggregate="max", value=value, empty=empty)


def over_events(
    *,
    by: str | tuple[str, ...],
    last: float | None = None,
    half_life: float | None = None,
    keys: int = 100_000,
) -> Window:
    """A window over the events before this one; durations in seconds, event time."""
    return Window("events", (by,) if isinstance(by, str) else tuple(by), last, half_life, keys)


def over_outcomes(
    *,
    by: str | tuple[str, ...],
    last: float | None = None,
    half_life: float | None = None,
    keys: int = 100_000,
) -> Window:
    """A window over the outcomes known by now; durations in seconds, event time."""
    return Window("outcomes", (by,) if isinstance(by, str) else tuple(by), last, half_life, keys)


class Decayed:
    """The cells of a decayed window: key → [sum, weight, time of both]."""

    __slots__ = ("cells", "half_life", "keys")

    def __init__(self, half_life: float, keys: int) -> None:
        self.half_life = half_life
        self.keys = keys
        self.cells: dict[Any, tuple[float, float, float]] = {}

    def add(self, key: Any, time: float, value: float) -> None:
        """Count `value` at `time`, which may be a little behind the cell's own."""
        cell = self.cells.pop(key, None)
        if cell is None:
            if len(self.cells) >= self.keys:
                del self.cells[next(iter(self.cells))]
            self.cells[key] = (value, 1.0, time)
            return
        total, weight, at = cell
        if time >= at:
            left = 2.0 ** ((at - time) / self.half_life)
            self.cells[key] = (total * left + value, weight * left + 1.0, time)
        else:
            share = 2.0 ** ((time - at) / self.half_life)
            self.cells[key] = (total + value * share, weight + share, at)

    def sums(self, key: Any, now: float) -> tuple[float, float]:
        """Sum and weight as they are at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return 0.0, 0.0
        total, weight, at = cell
        if now <= at:
            return total, weight
        left = 2.0 ** ((at - now) / self.half_life)
        return total * left, weight * left

    def values(self, key: Any, now: float) -> list[float]:
        """Never asked: `check` refuses a smallest or largest value that decays."""
        raise AssertionError("a decayed window keeps no single values")


class Sliding:
    """The cells of a sliding window: key → (time, value) in time order, and their exact sum."""

    __slots__ = ("cells", "keys", "last", "reached", "totals")

    def __init__(self, last: float, keys: int) -> None:
        self.last = last
        self.keys = keys
        self.cells: dict[Any, deque[tuple[float, float]]] = {}
        self.totals: dict[Any, list[float]] = {}
        self.reached = -math.inf

    def add(self, key: Any, time: float, value: float) -> None:
        """Count `value` at `time`; one behind the newest is put in its place."""
        if time > self.reached:
            self.reached = time
        cell = self.cells.pop(key, None)
        if cell is None:
            if len(self.cells) >= self.keys:
                oldest = next(iter(self.cells))
                del self.cells[oldest], self.totals[oldest]
            cell = deque()
            self.totals[key] = []
        if cell and time < cell[-1][0]:
            insort(cell, (time, value))
        else:
            cell.append((time, value))
        self.cells[key] = cell
        add_exactly(self.totals[key], value)

    def sums(self, key: Any, now: float) -> tuple[float, float]:
        """Sum and count of what is younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return 0.0, 0.0
        total = self.totals[key]
        stale = self._stale(cell, total, now)
        if not stale:
            return math.fsum(total), float(len(cell))
        return math.fsum([*total, *(-value for value in stale)]), float(len(cell) - len(stale))

    def values(self, key: Any, now: float) -> list[float]:
        """The single values that are younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return []
        self._stale(cell, self.totals[key], now)
        return [value for time, value in cell if time > now - self.last]

    def _stale(
        self, cell: deque[tuple[float, float]], total: list[float], now: float
    ) -> list[float]:
        # What no record can ask for any more is dropped; what is merely old at `now` stays, since
        # the record that asks may yet be rejected.
        gone = self.reached - self.last
        while cell and cell[0][0] <= gone:
            add_exactly(total, -cell.popleft()[1])
        stale = []
        for time, value in cell:
            if time > now - self.last:
                break
            stale.append(value)
        return stale


def add_exactly(partials: list[float], value: float) -> None:
    """Add to a sum that is kept as numbers which do not overlap; `math.fsum` of them is exact.

    >>> partials = []
    >>> for value in (1e16, 1.0, -1e16):
    ...     add_exactly(partials, value)
    >>> math.fsum(partials)
    1.0
    """
    kept = 0
    for partial in partials:
        if abs(value) < abs(partial):
            value, partial = partial, value
        high = value + partial
        low = partial - (high - value)
        if low:
            partials[kept] = low
            kept += 1
        value = high
    partials[kept:] = [value]


def state_of(window: Window) -> Decayed | Sliding:
    """The empty state of a declared window."""
    if window.half_life is not None:
        return Decayed(window.half_life, window.keys)
    assert window.last is not None
    return Sliding(window.last, window.keys)


def read(window: Window, state: Decayed | Sliding, key: Any, now: float, prior: float) -> float:
    """The window's value for `key` at `now`; `prior` is already looked up."""
    aggregate = window.aggregate
    if aggregate == "mean":
        total, weight = state.sums(key, now)
        weighted = weight + window.weight
        return (total + window.weight * prior) / weighted if weighted > 0.0 else prior
    if aggregate == "count":
        return state.sums(key, now)[1]
    if aggregate == "sum":
        return state.sums(key, now)[0]
    values = state.values(key, now)
    if not values:
        return prior
    return min(values) if aggregate == "min" else max(values)
