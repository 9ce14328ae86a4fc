"""Windows over the records of all partitions: what each counts, in one order, released in batches.

    partitions ──▶ window-entries ──▶ learner: puts them in the order of time ──▶ models ──▶ each
                                                                                        partition

The learner counts nothing itself. A batch has the learner's time, and a partition counts it, like a
version of a model, once it has reached that time: so no window holds what came after the event that
reads it. All partitions count the same entries in the same order, so they read the same floats; a
sliding window slides by the reader's own time. Each partition holds the whole window.

A batch is due after `share` of all records or `examples` of them (at first after each record), or
after `windows` seconds of event time (`models.spec.use_case.Freshness`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from models.features.window_declarations import WindowState
from models.spec.use_case import Freshness

BATCH_BYTES = 65_536
"""Entries of more bytes than that are released at once: a larger batch may not be read."""

Row = Sequence[Any]
"""(time, window, key, value), as JSON has it; and the value whose place it takes, if any."""


class WindowBatches:
    """The learner's side: entries that are not released yet. Memory: those of one batch."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self.rows: list[Row] = []
        self.records = 0
        self.bytes = 0
        self.since: float | None = None
        # Of all records so far: what the share is of.
        self.total = 0

    def add(
        self, entries: Sequence[Row], time: float, clock: float, size: int, names: Collection[str]
    ) -> None:
        """Add one record's entries of the windows `names`; `size`: its bytes."""
        rows = [(time, *entry) for entry in entries if entry[0] in names]
        if not rows:
            return
        self.rows += rows
        self.records += 1
        self.total += 1
        self.bytes += size
        if self.since is None:
            self.since = clock

    def due(self, clock: float) -> bool:
        """Return whether a batch is to be released at the learner's time `clock`."""
        if self.since is None:
            return False
        bounds = self._freshness
        gap = min(max(1.0, bounds.share * self.total), bounds.examples)
        if self.records >= gap or self.bytes >= BATCH_BYTES:
            return True
        return clock - self.since >= bounds.windows

    def take(self) -> list[Row]:
        """Return the batch, and begin the next one."""
        rows, self.rows = self.rows, []
        self.records = self.bytes = 0
        self.since = None
        return rows

    def set_back(self, time: float) -> None:
        """Move the times of all entries back to `time` at most."""
        if self.since is not None:
            self.since = min(self.since, time)

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.rows, self.records, self.bytes, self.since, self.total

    def restore(self, saved: Any) -> None:
        """Restore what `saved` returned."""
        self.rows, self.records, self.bytes, self.since, self.total = saved


def count(states: Mapping[str, WindowState], rows: Sequence[Row], names: Collection[str]) -> None:
    """Count a batch in the windows `names` of one partition."""
    adders = {name: states[name].add for name in names}
    for row in rows:
        add = adders.get(row[1])
        if add is None:
            continue
        key = row[2]
        if type(key) is list:  # JSON's tuple
            key = tuple(key)
        if len(row) == 4:
            add(key, row[0], row[3])
        else:
            state: Any = states[row[1]]
            state.replace(key, row[0], row[4], row[3])
