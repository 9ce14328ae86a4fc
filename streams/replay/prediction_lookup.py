"""Predictions picked out of their topic: all in their order, one event's, or a sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson
from aiokafka import TopicPartition

from streams.tapes import Tapes

SEEK_MAX = 200
"""A larger sample is taken while reading the topic from end to end."""

STRETCH = 4_000
"""Offsets of a partition that are looked through first."""


class Published:
    """Predictions of one partition in their order: those given, else all on the topic."""

    def __init__(
        self, tapes: Tapes, place: TopicPartition, given: Sequence[Any] | None = None
    ) -> None:
        self.place = place
        self._tapes = tapes
        self._given = None if given is None else iter(given)
        self._records = tapes.records(place)
        self._after = 0

    async def next(self) -> Any | None:
        """The next one; None if there is none by now, though there may be one later."""
        if self._given is not None:
            return next(self._given, None)
        record = await anext(self._records, None)
        if record is None:
            self._records = self._tapes.records(self.place, self._after)
        else:
            self._after = record.offset + 1
        return record


async def find(
    tapes: Tapes,
    places: Collection[TopicPartition],
    event_id: str,
    among: Callable[[Any], bool] = lambda record: True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Any | None:
    """A record that is about an event, in whichever of those partitions it is.

    Topics have no index by id. Looked through are stretches of doubling length, the newest first,
    all partitions abreast: who asks about today waits for no history. In its stretch it is the
    first, so that a repetition soon after is not taken for it.
    """
    mark, bounds = orjson.dumps(event_id), await tapes.bounds()
    ends = {place: bounds[place][1] for place in places}
    total, done, length = sum(ends[p] - bounds[p][0] for p in places), 0, STRETCH
    while done < total:
        for place in places:
            end = ends[place]
            start = ends[place] = max(bounds[place][0], end - length)
            if start == end:
                continue
            async for record in tapes.records(place, start, end):
                value = record.value
                if value is None or mark not in value or not among(record):
                    continue
                if orjson.loads(value).get("event_id") == event_id:
                    return record
            done += end - start
            on_progress(done, total)
        length *= 2
    return None


async def drawn(tapes: Tapes, count: int, draw: random.Random) -> dict[TopicPartition, list[Any]]:
    """So many records, each as likely, by partition and in their order."""
    bounds = await tapes.bounds()
    sizes = {place: end - start for place, (start, end) in bounds.items()}
    total = sum(sizes.values())
    numbers = sorted(draw.sample(range(total), min(count, total)))
    picked: dict[TopicPartition, list[Any]] = {}
    before = 0
    for place, size in sizes.items():
        start = bounds[place][0]
        offsets = [start + n - before for n in numbers if before <= n < before + size]
        before += size
        records = await _at(tapes, place, offsets)
        if records:
            picked[place] = records
    return picked


async def _at(tapes: Tapes, place: TopicPartition, offsets: list[int]) -> list[Any]:
    """The records at those offsets, or the next visible ones."""
    found: dict[int, Any] = {}
    if len(offsets) > SEEK_MAX:
        due = iter(offsets)
        wanted: int | None = next(due)
        async for record in tapes.records(place, offsets[0]):
            if wanted is None:
                break
            if record.offset >= wanted:
                found[record.offset] = record
                while wanted is not None and wanted <= record.offset:
                    wanted = next(due, None)
    else:
        for offset in offsets:
            async for record in tapes.records(place, offset):
                found[record.offset] = record
                break
    return [found[offset] for offset in sorted(found)]
