"""Predictions picked out of their topic: all in their order, one event's, or a sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

import orjson
from aiokafka import TopicPartition

from streams.kafka.topic_reader import TopicReader

SEEK_MAX = 200
"""A larger sample is taken while reading the topic from end to end."""

STRETCH = 4_000
"""Offsets of a partition that are looked through first."""


class PublishedRecords:
    """Records of one partition in their order: those given, else all on the topic."""

    def __init__(
        self,
        reader: TopicReader,
        topic_partition: TopicPartition,
        given: Sequence[Any] | None = None,
    ) -> None:
        self.topic_partition = topic_partition
        self._reader = reader
        self._given = None if given is None else iter(given)
        self._records = reader.records(topic_partition)
        self._after = 0

    async def next(self) -> Any | None:
        """Return the next one; None if there is none by now, though there may be one later."""
        if self._given is not None:
            return next(self._given, None)
        record = await anext(self._records, None)
        if record is None:
            self._records = self._reader.records(self.topic_partition, self._after)
        else:
            self._after = record.offset + 1
        return record


async def find(
    reader: TopicReader,
    topic_partitions: Collection[TopicPartition],
    kind: str,
    event_id: str,
    among: Callable[[Any], bool] = lambda record: True,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    about: Callable[[bytes], str | None] | None = None,
) -> Any | None:
    """Return a record of a kind that is about an event, in whichever of those partitions it is.

    Topics have no index by id. Looked through are stretches of doubling length, the newest first,
    all partitions abreast: who asks about today waits for no history. In its stretch it is the
    first, so that a repetition soon after is not taken for it. `about` says which event a value is
    about, where that is not the field `event_id` as riverrun writes it.
    """
    mark, bounds = orjson.dumps(event_id), await reader.bounds()
    ends = {topic_partition: bounds[topic_partition][1] for topic_partition in topic_partitions}
    total, done, length = sum(ends[p] - bounds[p][0] for p in topic_partitions), 0, STRETCH
    while done < total:
        for topic_partition in topic_partitions:
            end = ends[topic_partition]
            start = ends[topic_partition] = max(bounds[topic_partition][0], end - length)
            if start == end:
                continue
            async for record in reader.records(topic_partition, start, end):
                value = record.value
                if value is None or not among(record):
                    continue
                if about is not None:
                    if about(value) == event_id:
                        return record
                    continue
                if mark not in value:
                    continue
                row = reader.row(kind, record)
                if row is not None and row.get("event_id") == event_id:
                    return record
            done += end - start
            on_progress(done, total)
        length *= 2
    return None


async def drawn(
    reader: TopicReader, count: int, draw: random.Random
) -> dict[TopicPartition, list[Any]]:
    """Return so many records, each about as likely, by partition and in their order.

    Offsets are drawn, and one that ends a transaction stands for the record after it: twice as many
    are drawn, so that enough different records come of them.
    """
    bounds = await reader.bounds()
    sizes = {topic_partition: end - start for topic_partition, (start, end) in bounds.items()}
    total = sum(sizes.values())
    numbers = sorted(draw.sample(range(total), min(2 * count + 10, total)))
    candidates: list[Any] = []
    before = 0
    for topic_partition, size in sizes.items():
        start = bounds[topic_partition][0]
        offsets = [start + n - before for n in numbers if before <= n < before + size]
        before += size
        candidates += await _at(reader, topic_partition, offsets)
    picked: dict[TopicPartition, list[Any]] = {}
    for n in sorted(draw.sample(range(len(candidates)), min(count, len(candidates)))):
        record = candidates[n]
        picked.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    return picked


async def _at(
    reader: TopicReader, topic_partition: TopicPartition, offsets: list[int]
) -> list[Any]:
    """Return the records at those offsets, or the next visible ones."""
    records_by_offset: dict[int, Any] = {}
    if len(offsets) > SEEK_MAX:
        due = iter(offsets)
        wanted: int | None = next(due)
        async for record in reader.records(topic_partition, offsets[0]):
            if wanted is None:
                break
            if record.offset >= wanted:
                records_by_offset[record.offset] = record
                while wanted is not None and wanted <= record.offset:
                    wanted = next(due, None)
    else:
        for offset in offsets:
            async for record in reader.records(topic_partition, offset):
                records_by_offset[record.offset] = record
                break
    return [records_by_offset[offset] for offset in sorted(records_by_offset)]
