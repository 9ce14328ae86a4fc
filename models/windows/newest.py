"""The newest values of a key, and when its newest record was.

Memory: `lag` values a key. A record that comes behind the newest is put in its order of time.
"""

from __future__ import annotations

from bisect import insort
from operator import itemgetter
from typing import Any

_TIME = itemgetter(0)


class NewestValues:
    """The `lag` newest values of each key: key → (time, value), oldest first.

    `last`: the age at which a value no longer counts, seconds; None: it counts for ever.
    """

    __slots__ = ("cells", "keys", "lag", "last")

    def __init__(self, lag: int, last: float | None, keys: int) -> None:
        self.lag = lag
        self.last = last
        self.keys = keys
        self.cells: dict[Any, list[tuple[float, Any]]] = {}

    def add(self, key: Any, time: float, value: Any) -> None:
        """Keep `value`; of equal times the one that is added later counts as newer."""
        cell = self.cells.pop(key, None)
        if cell is None:
            if len(self.cells) >= self.keys:
                del self.cells[next(iter(self.cells))]
            cell = []
        insort(cell, (time, value), key=_TIME)
        if len(cell) > self.lag:
            del cell[0]
        self.cells[key] = cell

    def _entry(self, key: Any, now: float) -> tuple[float, Any] | None:
        cell = self.cells.get(key)
        if cell is None or len(cell) < self.lag:
            return None
        entry = cell[-self.lag]
        return None if self.last is not None and entry[0] <= now - self.last else entry

    def read(self, key: Any, now: float) -> Any:
        """Return the value `lag` records back; 1 is the newest."""
        entry = self._entry(key, now)
        return None if entry is None else entry[1]

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        for key, cell in self.cells.items():
            if cell[-1][0] > time:
                self.cells[key] = [(min(at, time), value) for at, value in cell]

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.cells

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        self.cells = saved


class TimeSince(NewestValues):
    """The age of each key's newest record."""

    __slots__ = ()

    def read(self, key: Any, now: float) -> float | None:
        """Return the seconds since the newest record; 0 if that is later than `now`."""
        entry = self._entry(key, now)
        return None if entry is None else max(0.0, now - entry[0])
