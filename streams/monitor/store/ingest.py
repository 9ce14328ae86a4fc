"""The ingest of one use case: batches are queued, then written with their positions.

    opened → (accept | put)* → opened …

The next offset of each partition is known here and stored beside the rows. Where the two differ
(Redis was flushed, another monitor wrote), `put` raises `PositionConflict`, the queue is dropped,
and the caller opens again at the stored positions. Memory: `QUEUED_MAX` records, then the caller
pauses fetching until there is room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from schemas.unreadable_records import Unreadable
from streams.kafka.faust_transport import Batch
from streams.monitor.store.record_rows import Row, rows_of
from streams.monitor.store.table_store import KindPartition, MetricsTables, PositionConflict

log = logging.getLogger("riverrun.monitor")

QUEUED_MAX = 20_000
DECODED_AT_ONCE = 200
"""Records that are decoded between two turns of the event loop: about a millisecond."""


class QueuedRecord(NamedTuple):
    """A record that is not stored yet."""

    partition: KindPartition
    record: Any


class Ingest:
    """The rows and positions of one use case."""

    def __init__(self, store: MetricsTables) -> None:
        self.store = store
        self.next_offsets: dict[KindPartition, int] = {}
        self._stored: dict[KindPartition, int | None] = {}
        self._ends: dict[KindPartition, int] = {}
        self._queued: list[QueuedRecord] = []
        self.unreadable = Unreadable()

    async def open(
        self, bounds: Mapping[KindPartition, tuple[int, int]]
    ) -> dict[KindPartition, int]:
        """Start at the stored positions; return the offset to read each partition from.

        `bounds` are the first and end offset of each partition that is to be read.
        """
        self._queued.clear()
        stored = await self.store.positions(bounds)
        if any(position > bounds[key][1] for key, position in stored.items()):
            await self.store.clear()  # the topics were created again
            stored = {}
        self._stored = {key: stored.get(key) for key in bounds}
        self._ends = {key: end for key, (_, end) in bounds.items()}
        self.next_offsets = {
            key: max(start, stored.get(key, start)) for key, (start, _) in bounds.items()
        }
        return dict(self.next_offsets)

    def accept(self, key: KindPartition, batch: Batch) -> bool:
        """Queue a batch; return False if it does not follow the previous one."""
        expected = self.next_offsets.get(key)
        if expected is None or batch.end <= expected:
            return True
        if batch.start > expected:
            return False
        self._queued += [
            QueuedRecord(key, record) for record in batch.records if record.offset >= expected
        ]
        self.next_offsets[key] = batch.end
        return True

    @property
    def full(self) -> bool:
        """Return whether fetching should pause."""
        return len(self._queued) >= QUEUED_MAX

    @property
    def caught_up(self) -> bool:
        """Return whether all records up to the ends at opening are stored."""
        return bool(self._ends) and all(
            (self._stored[key] or 0) >= end or (self.next_offsets[key] >= end and not self._queued)
            for key, end in self._ends.items()
        )

    async def put(self) -> int:
        """Write the queue in one transaction with the positions; return the number of records.

        Raises `PositionConflict`, with nothing written.
        """
        queued, self._queued = self._queued, []
        after = dict(self.next_offsets)
        moved = {key: position for key, position in after.items() if self._stored[key] != position}
        if not moved:
            return 0
        try:
            rows = await _decode(queued, self.unreadable)
            await self.store.put(rows, {key: self._stored[key] for key in moved}, moved)
        except PositionConflict:
            raise
        except BaseException:
            self._queued = queued + self._queued
            raise
        self._stored |= moved
        if self.unreadable.count:
            log.warning("monitor: %s", self.unreadable)
            self.unreadable = Unreadable()
        await self.store.trim({row.table for row in rows})
        return len(queued)

    async def check(self) -> None:
        """Raise `PositionConflict` if other positions are stored than were written here."""
        stored = await self.store.positions(self._stored)
        if any(stored.get(key) != position for key, position in self._stored.items()):
            raise PositionConflict

    def leave(self, partitions: Collection[KindPartition]) -> None:
        """Release partitions that another monitor reads from now on."""
        released = set(partitions)
        self._queued = [queued for queued in self._queued if queued.partition not in released]
        for key in released:
            self.next_offsets.pop(key, None)
            self._stored.pop(key, None)
            self._ends.pop(key, None)


async def _decode(queued: list[QueuedRecord], unreadable: Unreadable) -> list[Row]:
    # Later rows of a key replace earlier ones.
    rows: dict[tuple[str, str], Row] = {}
    for number, (partition, record) in enumerate(queued):
        if number % DECODED_AT_ONCE == DECODED_AT_ONCE - 1:
            await asyncio.sleep(0)
        for row in rows_of(partition.kind, record, unreadable):
            rows[row.table, row.field] = row
    return list(rows.values())
