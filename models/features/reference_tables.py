"""Reference tables: facts beside the stream, such as a merchant's country, as of the event's time.

A table is a compacted topic of somebody else's, one row a key. A worker copies its changes onto a
topic of the use case (`table-rows`); from there they reach every partition as versions of models
do, journaled, so that a row which has changed since is part of the proof.

A row counts from its time on: that of its record on the topic, or what its field `time` says. Where
there is no row, a lookup is None (or `empty`), and the feature is left out.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from schemas.errors import ConfigError
from schemas.timestamps import moment, unix_seconds

ROW_BYTES_MAX = 65_536
"""A larger row is a dead letter."""
ALWAYS = -1e11
"""Before every event, seconds since 1970: a number that JSON has, too."""
_TIME = itemgetter(0)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A compacted topic of JSON objects, read by a key.

    `key` and `time` name fields of a row. At most `rows` rows are held, by each partition; of more
    the least recently changed are dropped. `recorded` gives the rows for backtests, in any order
    (`riverrun.rows_of("merchants.csv")`): each counts from its `time` on, without one always.
    """

    name: str
    topic: str
    key: str
    time: str | None = None
    rows: int = 100_000
    recorded: Callable[[], Iterable[Row]] | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """Return the identity of the table: another declaration gives another one."""
        text = "\0".join((self.name, self.topic, self.key, self.time or ""))
        return f"{self.name}@{blake2b(text.encode(), digest_size=4).hexdigest()}"

    def field(self, name: str, *, by: str, empty: Any = None) -> Lookup:
        """Make a feature of one field of the row whose key is `by`, an event's field or feature."""
        return Lookup(self, by, TableField(name), empty)

    def value(self, function: Callable[[Row], Any], *, by: str, empty: Any = None) -> Lookup:
        """Make a feature of a function of the row whose key is `by`."""
        return Lookup(self, by, function, empty)

    def time_of(self, row: Row) -> float | None:
        """Return when a row begins to count, seconds UTC; None where it does not say.

        Raises `ValueError` for a time that is none.
        """
        if self.time is None or row.get(self.time) is None:
            return None
        value = row[self.time]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        time = unix_seconds(value) if number else moment(value)
        if time is None:
            raise ValueError(f"{self.time!r} is {row[self.time]!r}, which is no time")
        return time

    def history(self) -> list[tuple[float, str, Row]]:
        """Return the recorded rows as (time, key, row), by time. Raises `ConfigError`."""
        try:
            rows = self.recorded() if self.recorded is not None else ()
            dated = [(self.time_of(row), row) for row in rows]
            known = [(ALWAYS if t is None else t, str(row[self.key]), row) for t, row in dated]
        except (OSError, KeyError, ValueError) as error:
            raise ConfigError(
                f"The recorded rows of the table {self.name!r} cannot be used "
                f"({type(error).__name__}: {error}).",
                hint=f"Each needs {self.key!r}, and a time where `time` names a field.",
            ) from error
        return sorted(known, key=_TIME)


@dataclass(frozen=True, slots=True)
class TableField:
    """One field of a row."""

    name: str

    def __call__(self, row: Row) -> Any:
        """Return the field's value; None where the row has none."""
        return row.get(self.name)


@dataclass(frozen=True, slots=True)
class Lookup:
    """A feature that is read from a table. Made by `Table.field` or `Table.value`."""

    table: Table
    by: str
    function: Callable[[Row], Any]
    empty: Any = None

    def of(self, row: Row | None) -> Any:
        """Return the feature's value for a row."""
        if row is None:
            return self.empty
        value = self.function(MappingProxyType(row))
        return self.empty if value is None else value


class TableState:
    """The rows of one table: key → (time from which it counts, row or None), by time.

    Memory: at most `limit` rows; besides the row of now those whose time is still to come.
    """

    __slots__ = ("cells", "count", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.cells: dict[str, list[tuple[float, Row | None]]] = {}
        self.count = 0

    def put(self, key: str, time: float, row: Row | None, reached: float) -> None:
        """Let `row` count from `time` on; None: there is none any more.

        `reached`: the partition's time, before which nobody asks.
        """
        cell = self.cells.pop(key, [])
        insort(cell, (time, row), key=_TIME)
        self.count += 1
        while len(cell) > 1 and cell[1][0] <= reached:
            del cell[0]
            self.count -= 1
        if len(cell) == 1 and cell[0][1] is None and cell[0][0] <= reached:
            self.count -= 1
            return
        self.cells[key] = cell
        while self.count > self.limit and len(self.cells) > 1:
            self.count -= len(self.cells.pop(next(iter(self.cells))))

    def get(self, key: str, now: float) -> Row | None:
        """Return the row that counts at `now`."""
        row = None
        for time, version in self.cells.get(key, ()):
            if time > now:
                break
            row = version
        return row

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.cells, self.count

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        self.cells, self.count = saved
