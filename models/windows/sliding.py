"""Sliding windows: value v counted at time t is part of it until t + last.

Memory: one (time, value) for each record of the last `last`, for at most `keys` keys; of one key at
most `values`, where it is declared: then the oldest leave early. What is summed up of a key beside
them (sums, sorted values, counts) is exact, and is no larger than they are.
"""

from __future__ import annotations

import math
import pickle
from bisect import bisect_left, insort
from collections import deque
from copy import copy
from operator import itemgetter
from typing import Any

from models.windows.exact_sum import add_exactly, product, squared_deviations

_TIME = itemgetter(0)


class SlidingWindow:
    """The cells of a sliding window: key → (time, value) in time order, and a summary of them.

    Subclasses say what the summary is: `_fresh`, `_enter` and `_leave`.
    """

    __slots__ = ("cells", "keys", "last", "limit", "reached", "totals")

    def __init__(self, last: float, keys: int, values: int | None = None) -> None:
        self.last = last
        self.keys = keys
        self.limit = values
        self.cells: dict[Any, deque[tuple[float, Any]]] = {}
        self.totals: dict[Any, Any] = {}
        self.reached = -math.inf

    def _fresh(self) -> Any:
        """Return the summary of nothing, as plain data."""
        raise NotImplementedError

    def _enter(self, total: Any, value: Any) -> None:
        """Count a value in a summary."""
        raise NotImplementedError

    def _leave(self, total: Any, value: Any) -> None:
        """Take a value out of a summary that counts it."""
        raise NotImplementedError

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`, in the order of time also where it is behind the newest."""
        if time > self.reached:
            self.reached = time
        cell = self.cells.pop(key, None)
        if cell is None:
            if len(self.cells) >= self.keys:
                oldest = next(iter(self.cells))
                del self.cells[oldest], self.totals[oldest]
            cell = deque()
            self.totals[key] = self._fresh()
        total = self.totals[key]
        if cell and cell[0][0] <= self.reached - self.last:
            self._drop(cell, total)
        if cell and time < cell[-1][0]:
            insort(cell, (time, value), key=_TIME)
        else:
            cell.append((time, value))
        self.cells[key] = cell
        self._enter(total, value)
        if self.limit is not None and len(cell) > self.limit:
            self._leave(total, cell.popleft()[1])

    def replace(self, key: Any, time: float, before: Any, after: Any) -> None:
        """Count `after` in the place of `before`, which was counted at `time`; None: nothing.

        Where `before` has left its window meanwhile, `after` would have, too.
        """
        if before is not None:
            cell = self.cells.get(key)
            if cell is None:
                return
            self._drop(cell, self.totals[key])
            if (time, before) not in cell:
                return
            cell.remove((time, before))
            self._leave(self.totals[key], before)
        if after is not None:
            self.add(key, time, after)

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        for key, cell in self.cells.items():
            self._drop(cell, self.totals[key])
        self.reached = min(self.reached, time)
        for cell in self.cells.values():
            later = [value for at, value in cell if at > time]
            for _ in later:
                cell.pop()
            cell.extend((time, value) for value in later)

    def copied(self) -> SlidingWindow:
        """Return a window that shares nothing with this one that can change."""
        twin = copy(self)
        twin.cells = {key: cell.copy() for key, cell in self.cells.items()}
        twin.totals = pickle.loads(pickle.dumps(self.totals, pickle.HIGHEST_PROTOCOL))
        return twin

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.cells, self.totals, self.reached

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        self.cells, self.totals, self.reached = saved

    def values(self, key: Any, now: float) -> list[Any]:
        """Return the single values that are younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return []
        self._stale(cell, self.totals[key], now)
        return [value for time, value in cell if time > now - self.last]

    def _drop(self, cell: deque[tuple[float, Any]], total: Any) -> None:
        # What no record can ask for any more. Where it is looked for before a change, what the
        # state is does not hang on who has read it.
        horizon = self.reached - self.last
        while cell and cell[0][0] <= horizon:
            self._leave(total, cell.popleft()[1])

    def _stale(self, cell: deque[tuple[float, Any]], total: Any, now: float) -> list[Any]:
        # What is merely old at `now` stays: the record that asks may yet be rejected.
        if cell and cell[0][0] <= self.reached - self.last:
            self._drop(cell, total)
        oldest, stale = now - self.last, []
        for time, value in cell:
            if time > oldest:
                break
            stale.append(value)
        return stale


class Sliding(SlidingWindow):
    """A sliding window whose values are summed exactly."""

    __slots__ = ()

    def _fresh(self) -> list[float]:
        return []

    def _enter(self, total: list[float], value: float) -> None:
        add_exactly(total, value)

    def _leave(self, total: list[float], value: float) -> None:
        add_exactly(total, -value)

    def sums(self, key: Any, now: float) -> tuple[float, float]:
        """Return sum and count of what is younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return 0.0, 0.0
        total = self.totals[key]
        stale = self._stale(cell, total, now)
        if not stale:
            return math.fsum(total), float(len(cell))
        return math.fsum([*total, *(-value for value in stale)]), float(len(cell) - len(stale))


class SlidingDeviation(SlidingWindow):
    """A sliding window whose standard deviation is kept, from exact sums of x and of x²."""

    __slots__ = ()

    def _fresh(self) -> list[list[float]]:
        return [[], []]

    def _enter(self, total: list[list[float]], value: float) -> None:
        add_exactly(total[0], value)
        for part in product(value, value):
            add_exactly(total[1], part)

    def _leave(self, total: list[list[float]], value: float) -> None:
        add_exactly(total[0], -value)
        for part in product(value, value):
            add_exactly(total[1], -part)

    def read(self, key: Any, now: float) -> float | None:
        """Return the standard deviation of what is younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        total = self.totals[key]
        stale = self._stale(cell, total, now)
        count = len(cell) - len(stale)
        if not count:
            return None
        if stale:
            total = [list(partials) for partials in total]
            for value in stale:
                self._leave(total, value)
        return math.sqrt(squared_deviations(count, *total) / count)


class SlidingQuantile(SlidingWindow):
    """A sliding window whose values are kept sorted, too: its quantile is exact.

    It is the smallest value such that a share of at least `q` is at or below it.
    """

    __slots__ = ("q",)

    def __init__(self, q: float, last: float, keys: int, values: int | None = None) -> None:
        super().__init__(last, keys, values)
        self.q = q

    def _fresh(self) -> list[float]:
        return []

    def _enter(self, total: list[float], value: float) -> None:
        insort(total, value)

    def _leave(self, total: list[float], value: float) -> None:
        del total[bisect_left(total, value)]

    def read(self, key: Any, now: float) -> float | None:
        """Return the quantile of what is younger than `last` at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        ordered: list[float] = self.totals[key]
        stale = self._stale(cell, ordered, now)
        if stale:
            ordered = sorted(value for _, value in list(cell)[len(stale) :])
        if not ordered:
            return None
        rank = math.ceil(self.q * len(ordered) - 1e-9)
        return ordered[min(max(rank, 1), len(ordered)) - 1]


class SlidingTop(SlidingWindow):
    """A sliding window whose values are categories, and how often each is among them."""

    __slots__ = ()

    def _fresh(self) -> dict[Any, int]:
        return {}

    def _enter(self, total: dict[Any, int], value: Any) -> None:
        total[value] = total.get(value, 0) + 1

    def _leave(self, total: dict[Any, int], value: Any) -> None:
        if total[value] == 1:
            del total[value]
        else:
            total[value] -= 1

    def read(self, key: Any, now: float) -> Any:
        """Return the most frequent category; of equals the first by its text."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        counts: dict[Any, int] = self.totals[key]
        stale = self._stale(cell, counts, now)
        if stale:
            counts = dict(counts)
            for value in stale:
                self._leave(counts, value)
        return heaviest(counts)


def heaviest(weights: dict[Any, Any]) -> Any:
    """Return the category of the largest weight, of equals the first by its text; None of none.

    >>> heaviest({"b": 2, "a": 2, "c": 1})
    'a'
    """
    if not weights:
        return None
    most = max(weights.values())
    return min((name for name, weight in weights.items() if weight == most), key=str)
