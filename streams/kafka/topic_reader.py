"""Partitions of topics, read as committed, outside any group: what any consumer would see.

`some` and `to_the_end` give what comes, whatever partition. Else a partition is a tape of its own,
that can be read from any place to any other, beside others.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from riverrun.client.written_predictions import WrittenPredictions
from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.kafka.header_names import tolerate
from streams.kafka.record_decoder import RecordDecoder

log = logging.getLogger("riverrun.reading")

SILENCE_MS = 250
SILENT_MS_MAX = 30_000
TAIL = (4, 64, 1_024, 16_384)
"""Offsets to look back over for the last visible records of a partition."""

TOLD_S = 60.0
"""Who follows topics tells of records that cannot be read at most so often."""

Bounds = dict[TopicPartition, tuple[int, int]]


class TopicReader(RecordDecoder):
    """All partitions of some topics, from their beginning. async with → (bounds | records | rows |
    last | some | to_the_end)* → left.

    A record that `row` cannot read is left out and counted in `unreadable`, which is logged when
    the tapes are left. Memory: one fetch a partition. `required`: raises `Unavailable` where there
    is no such topic; else it has no partitions. Predictions in Avro or Protobuf are given as the
    JSON that they were made of, unless `as_written`. `fetch_wait_ms`: how long the broker holds an
    empty answer back; who follows a quiet topic for days asks less often with more.
    """

    def __init__(
        self,
        topics: Collection[str],
        settings: Settings,
        *,
        required: bool = False,
        fetch_wait_ms: int = 20,
        as_written: bool = False,
    ) -> None:
        super().__init__()
        self._as_written = as_written
        self._told, self._told_at = 0, float("-inf")
        self._required = required
        self.topic_partitions: list[TopicPartition] = []
        self._topics = tuple(dict.fromkeys(topics))
        self._settings = settings
        self._fetch_wait_ms = fetch_wait_ms
        self._queued: dict[TopicPartition, deque[Any]] = {}

    async def __aenter__(self) -> Self:
        tolerate()
        client = self._settings.kafka_client()
        self._predictions = WrittenPredictions(client)
        self._consumer = AIOKafkaConsumer(
            **client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=4 << 20,
        )
        try:
            await self._consumer.start()
        except BaseException as error:
            await self._consumer.stop()
            if not isinstance(error, KafkaConnectionError | OSError):
                raise
            raise Unavailable(
                f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer ({error}). "
                "Start one with `riverrun up`, or mend KAFKA_BOOTSTRAP_SERVERS."
            ) from error
        metadata = await self._consumer._client.fetch_all_metadata()
        for topic in self._topics:
            numbers = metadata.partitions_for_topic(topic) or ()
            if self._required and not numbers:
                raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
            self.topic_partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(self.topic_partitions)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._consumer.stop()
        self._tell()

    def _tell(self) -> None:
        if self.unreadable.count > self._told:
            self._told, self._told_at = self.unreadable.count, monotonic()
            log.warning("%s", self.unreadable)

    def of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of one of the topics; empty if there is no such topic."""
        return [
            topic_partition
            for topic_partition in self.topic_partitions
            if topic_partition.topic == topic
        ]

    async def bounds(self) -> Bounds:
        """Return the first kept offset and last stable offset of each partition."""
        if not self.topic_partitions:
            return {}
        starts = await self._consumer.beginning_offsets(self.topic_partitions)
        ends = await self._consumer.end_offsets(self.topic_partitions)
        return {
            topic_partition: (starts[topic_partition], ends[topic_partition])
            for topic_partition in self.topic_partitions
        }

    async def records(
        self, topic_partition: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """Yield visible records from offset `start` up to `end`, or up to what is the end now.

        Of one partition, one such reading at a time.
        """
        first, last = (await self.bounds())[topic_partition]
        end = last if end is None else min(end, last)
        self._consumer.seek(topic_partition, max(first, start))
        self._queued[topic_partition] = deque()
        while (record := await self._next(topic_partition, end)) is not None:
            yield record

    async def follow(
        self, starts: Mapping[TopicPartition, int], wait_s: float = 0.25
    ) -> AsyncIterator[list[Any]]:
        """Yield what comes on all partitions from those offsets on, for ever: a list, empty if
        nothing came within `wait_s`. While it runs, nothing else may be read here.
        """
        for topic_partition in self.topic_partitions:
            self._consumer.seek(topic_partition, starts[topic_partition])
        while True:
            yield sorted(await self.some(wait_s), key=lambda record: record.timestamp)
            if monotonic() >= self._told_at + TOLD_S:
                self._tell()

    async def some(self, wait_s: float = 0.2, limit: int = 5_000) -> list[Any]:
        """Return what comes next on any partition, at most `limit`; empty if nothing came in
        `wait_s`.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=limit)
        except KafkaError as error:
            raise Unavailable(f"Kafka failed while reading: {error}") from error
        return await self._shown([record for records in fetched.values() for record in records])

    async def _shown(self, records: Sequence[Any]) -> list[Any]:
        return list(records if self._as_written else await self._predictions.as_json(records))

    async def to_the_end(self) -> AsyncIterator[list[Any]]:
        """Yield everything from where `some` stands to what is the end now, in batches."""
        ends = (
            await self._consumer.end_offsets(self.topic_partitions) if self.topic_partitions else {}
        )
        while True:
            records = await self.some()
            if records:
                yield records
                continue
            positions = [await self._consumer.position(topic_partition) for topic_partition in ends]
            if all(at >= end for at, end in zip(positions, ends.values(), strict=True)):
                return

    async def last(self, topic_partition: TopicPartition, count: int = 1) -> list[Any]:
        """Return the last `count` visible records, or as many as there are."""
        start, end = (await self.bounds())[topic_partition]
        for back in (*TAIL, end - start):
            if back < count:
                continue
            at = max(start, end - back)
            fetched = [record async for record in self.records(topic_partition, at, end)]
            if len(fetched) >= count or at == start:
                return fetched[-count:]
        return []

    async def _next(self, topic_partition: TopicPartition, end: int) -> Any | None:
        queue = self._queued[topic_partition]
        silent_ms = 0
        while not queue:
            position = await self._consumer.position(topic_partition)
            if position >= end:
                return None
            try:
                fetched = await self._consumer.getmany(topic_partition, timeout_ms=SILENCE_MS)
            except KafkaError as error:
                raise Unavailable(f"{_named(topic_partition)} cannot be read: {error}") from error
            queue.extend(await self._shown(fetched.get(topic_partition, ())))
            if not queue and await self._consumer.position(topic_partition) == position:
                silent_ms += SILENCE_MS
                if silent_ms >= SILENT_MS_MAX:
                    raise Unavailable(
                        f"{_named(topic_partition)} gives nothing at offset {position}"
                    )
        record = queue.popleft()
        return record if record.offset < end else None


def _named(topic_partition: TopicPartition) -> str:
    return f"{topic_partition.topic}[{topic_partition.partition}]"


async def merged(
    streams: Sequence[AsyncIterator[Any]], key: Callable[[Any], Any]
) -> AsyncIterator[Any]:
    """Yield several streams as one: always the head of smallest `key`; ties by their order."""
    heap: list[tuple[Any, int, Any]] = []
    for number, stream in enumerate(streams):
        head = await anext(stream, None)
        if head is not None:
            heap.append((key(head), number, head))
    heapq.heapify(heap)
    while heap:
        _, number, head = heap[0]
        yield head
        following = await anext(streams[number], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (key(following), number, following))
