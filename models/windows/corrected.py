"""A window whose values may still be replaced: what a folded label counted, while it is corrected.

    value ──▶ open ──`open_s` after its time──▶ settled

Of each key the open values are kept in the order of time, ties by their text, behind the settled
state of any other window. What is read is the settled state with the open values added in order: a
value that is replaced, or comes late, counts as if it had come first, to the same floats. A value
in order is added at once; only a replacement adds all open values of its key again.

Two limits: of more different values than a `distinct` samples, the sample may be another one; and a
value that is settled (its correction comes from a partition that is `open_s` behind) is not
replaced. Memory: every value of the last `open_s`, for at most `keys` keys; of one key at most
`values`, where that is declared, besides the state itself, twice.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from copy import deepcopy
from typing import Any

Entry = tuple[float, Any]
"""(time, value)."""


class CorrectedWindow:
    """The state of a window over outcomes that has no values to take out; see `models/windows/`.

    `settled` and `current` are fresh states of that window.
    """

    __slots__ = ("current", "keys", "limit", "open", "open_s", "reached", "settled")

    def __init__(
        self, settled: Any, current: Any, open_s: float, keys: int, values: int | None = None
    ) -> None:
        self.settled = settled
        self.current = current
        self.open_s = open_s
        self.keys = keys
        self.limit = values
        self.open: dict[Any, list[Entry]] = {}
        self.reached = -math.inf

    @property
    def cells(self) -> dict[Any, Any]:
        """The values that are read, by key."""
        cells: dict[Any, Any] = self.current.cells
        return cells

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`, in the order of time also where it is behind the newest."""
        self.replace(key, time, None, value)

    def replace(self, key: Any, time: float, before: Any, after: Any) -> None:
        """Count `after` in the place of `before`, which was counted at `time`; None: nothing."""
        self.reached = max(self.reached, time)
        values = self._open_values(key)
        if before is not None:
            index = bisect_left(values, _order((time, before)), key=_order)
            if index == len(values) or _order(values[index]) != _order((time, before)):
                return
            del values[index]
        if after is None:
            self._count_again(key, values)
            return
        new = (time, after)
        newest = before is None and (not values or _order(values[-1]) <= _order(new))
        insort(values, new, key=_order)
        if newest:
            self.current.add(key, time, after)
        else:
            self._count_again(key, values)

    def _open_values(self, key: Any) -> list[Entry]:
        """Return the open values of a key, after settling those that are no longer."""
        values = self.open.pop(key, None)
        if values is None:
            if len(self.open) >= self.keys:
                oldest = next(iter(self.open))
                del self.open[oldest]
                self.settled.cells.pop(oldest, None)
                self.current.cells.pop(oldest, None)
            values = []
        count = bisect_left(values, self.reached - self.open_s, key=lambda entry: entry[0])
        if self.limit is not None:
            count = max(count, len(values) - self.limit + 1)
        for time, value in values[:count]:
            self.settled.add(key, time, value)
        del values[:count]
        self.open[key] = values
        return values

    def _count_again(self, key: Any, values: list[Entry]) -> None:
        cell = self.settled.cells.get(key)
        self.current.cells.pop(key, None)
        if cell is not None:
            self.current.cells[key] = deepcopy(cell)
        for time, value in values:
            self.current.add(key, time, value)

    def sums(self, key: Any, now: float) -> tuple[float, float]:
        """Return sum and weight as they are at `now`."""
        sums: tuple[float, float] = self.current.sums(key, now)
        return sums

    def read(self, key: Any, now: float) -> Any:
        """Return the window's value for `key` at `now`."""
        return self.current.read(key, now)

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        self.reached = min(self.reached, time)
        self.settled.set_back(time)
        self.current.set_back(time)
        for key, values in self.open.items():
            clamped = [(min(at, time), value) for at, value in values]
            self.open[key] = sorted(clamped, key=_order)

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.settled.saved(), self.current.saved(), self.open, self.reached

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        settled, current, self.open, self.reached = saved
        self.settled.restore(settled)
        self.current.restore(current)


def _order(entry: Entry) -> tuple[float, str]:
    return entry[0], repr(entry[1])
