"""One use case's shelves as they are filled: batches wait here, and are put with their positions.

    opened → (accept | put)* → opened …

Which offset is next of each place is known here and stored beside the rows. Where the two differ
(Redis was flushed, somebody else wrote), `put` raises `Outrun`, what waits is dropped, and the
caller opens anew at what is stored. Memory: `WAITING_MAX` records, then the caller shuts the
fetching until there is room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from streams.monitor.rows import Row, rows_of
from streams.monitor.shelves import Outrun, Place, RedisShelves
from streams.transport import Batch

WAITING_MAX = 20_000
AT_ONCE = 200
"""Records that are decoded between two turns of the event loop: about a millisecond."""


class Filling:
    """The rows and positions of one use case."""

    def __init__(self, shelves: RedisShelves) -> None:
        self.shelves = shelves
        self.places: dict[Place, int] = {}
        self._stored: dict[Place, int | None] = {}
        self._ends: dict[Place, int] = {}
        self._waiting: list[tuple[str, int, Any]] = []

    async def open(self, bounds: Mapping[Place, tuple[int, int]]) -> dict[Place, int]:
        """Begin at what is stored; gives where to read each place from.

        `bounds` are first offset and end of each place that is to be read.
        """
        self._waiting.clear()
        stored = await self.shelves.positions(bounds)
        if any(at > bounds[place][1] for place, at in stored.items()):
            await self.shelves.clear()  # the topics were made anew
            stored = {}
        self._stored = {place: stored.get(place) for place in bounds}
        self._ends = {place: end for place, (_, end) in bounds.items()}
        self.places = {
            place: max(start, stored.get(place, start)) for place, (start, _) in bounds.items()
        }
        return dict(self.places)

    def accept(self, place: Place, batch: Batch) -> bool:
        """Let a batch wait; False if it does not follow what came before it."""
        at = self.places.get(place)
        if at is None or batch.end <= at:
            return True
        if batch.start > at:
            return False
        self._waiting += [(*place, record) for record in batch.records if record.offset >= at]
        self.places[place] = batch.end
        return True

    @property
    def full(self) -> bool:
        """Whether fetching should wait."""
        return len(self._waiting) >= WAITING_MAX

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the opening is on the shelves."""
        return bool(self._ends) and all(
            (self._stored[place] or 0) >= end or (self.places[place] >= end and not self._waiting)
            for place, end in self._ends.items()
        )

    async def put(self) -> int:
        """Put what waits, in one transaction with the positions; gives how many records.

        Raises `Outrun`, with nothing put.
        """
        waiting, self._waiting = self._waiting, []
        after = dict(self.places)
        moved = {place: at for place, at in after.items() if self._stored[place] != at}
        if not moved:
            return 0
        try:
            rows = await _decoded(waiting)
            await self.shelves.put(rows, {place: self._stored[place] for place in moved}, moved)
        except Outrun:
            raise
        except BaseException:
            self._waiting = waiting + self._waiting
            raise
        self._stored |= moved
        await self.shelves.tidy({row.shelf for row in rows})
        return len(waiting)

    async def check(self) -> None:
        """Raise `Outrun` if other positions are stored than were put here."""
        stored = await self.shelves.positions(self._stored)
        if any(stored.get(place) != at for place, at in self._stored.items()):
            raise Outrun

    def leave(self, places: Collection[Place]) -> None:
        """These are read by somebody else from now on."""
        gone = set(places)
        self._waiting = [entry for entry in self._waiting if entry[:2] not in gone]
        for place in gone:
            self.places.pop(place, None)
            self._stored.pop(place, None)
            self._ends.pop(place, None)


async def _decoded(waiting: list[tuple[str, int, Any]]) -> list[Row]:
    # Later rows of a key replace earlier ones.
    found: dict[tuple[str, str], Row] = {}
    for number, (kind, partition, record) in enumerate(waiting):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        for row in rows_of(kind, partition, record.offset, record.timestamp, record.value):
            found[row.shelf, row.field] = row
    return list(found.values())
