"""Partitions of topics, read as committed, outside any group: what any consumer would see.

`some` and `to_the_end` give what comes, whatever partition. Else a partition is a tape of its own,
that can be read from any place to any other, beside others.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.errors import Unavailable
from streams.settings import Settings

SILENCE_MS = 250
SILENT_MS_MAX = 30_000
TAIL = (4, 64, 1_024, 16_384)
"""Offsets to look back over for the last visible records of a partition."""

Bounds = dict[TopicPartition, tuple[int, int]]


class Tapes:
    """All partitions of some topics, from their beginning. async with → (bounds | records | last |
    some | to_the_end)* → left.

    Memory: one fetch a partition. `required`: raises `Unavailable` where there is no such topic;
    else it has no partitions. `fetch_wait_ms`: how long the broker holds an empty answer back; who
    follows a quiet topic for days asks less often with more.
    """

    def __init__(
        self,
        topics: Collection[str],
        settings: Settings,
        *,
        required: bool = False,
        fetch_wait_ms: int = 20,
    ) -> None:
        self._required = required
        self.places: list[TopicPartition] = []
        self._topics = tuple(dict.fromkeys(topics))
        self._settings = settings
        self._fetch_wait_ms = fetch_wait_ms
        self._queued: dict[TopicPartition, deque[Any]] = {}

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._settings.kafka_client(),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=4 << 20,
        )
        try:
            await self._consumer.start()
        except (KafkaConnectionError, OSError) as error:
            raise Unavailable(
                f"Kafka at {self._settings.kafka_bootstrap_servers} does not answer ({error}). "
                "Start one with `riverrun up`, or mend KAFKA_BOOTSTRAP_SERVERS."
            ) from error
        metadata = await self._consumer._client.fetch_all_metadata()
        for topic in self._topics:
            numbers = metadata.partitions_for_topic(topic) or ()
            if self._required and not numbers:
                raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
            self.places += [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(self.places)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    def of(self, topic: str) -> list[TopicPartition]:
        """The partitions of one of the topics; empty if there is no such topic."""
        return [place for place in self.places if place.topic == topic]

    async def bounds(self) -> Bounds:
        """First kept offset and last stable offset of each partition."""
        if not self.places:
            return {}
        starts = await self._consumer.beginning_offsets(self.places)
        ends = await self._consumer.end_offsets(self.places)
        return {place: (starts[place], ends[place]) for place in self.places}

    async def records(
        self, place: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """Visible records from offset `start` up to `end`; without one, up to what is the end now.

        Of one partition, one such reading at a time.
        """
        first, last = (await self.bounds())[place]
        end = last if end is None else min(end, last)
        self._consumer.seek(place, max(first, start))
        self._queued[place] = deque()
        while (record := await self._next(place, end)) is not None:
            yield record

    async def follow(
        self, starts: Mapping[TopicPartition, int], wait_s: float = 0.25
    ) -> AsyncIterator[list[Any]]:
        """What comes on all partitions from those offsets on, for ever: a list, empty if nothing
        came within `wait_s`. While it runs, nothing else may be read here.
        """
        for place in self.places:
            self._consumer.seek(place, starts[place])
        while True:
            yield sorted(await self.some(wait_s), key=lambda record: record.timestamp)

    async def some(self, wait_s: float = 0.2, limit: int = 5_000) -> list[Any]:
        """What comes next on any partition, at most `limit`; empty if nothing came in `wait_s`."""
        try:
            found = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=limit)
        except KafkaError as error:
            raise Unavailable(f"Kafka failed while reading: {error}") from error
        return [record for records in found.values() for record in records]

    async def to_the_end(self) -> AsyncIterator[list[Any]]:
        """Everything from where `some` stands to what is the end now, in batches."""
        ends = await self._consumer.end_offsets(self.places) if self.places else {}
        while True:
            records = await self.some()
            if records:
                yield records
                continue
            positions = [await self._consumer.position(place) for place in ends]
            if all(at >= end for at, end in zip(positions, ends.values(), strict=True)):
                return

    async def last(self, place: TopicPartition, count: int = 1) -> list[Any]:
        """The last `count` visible records, or as many as there are."""
        start, end = (await self.bounds())[place]
        for back in (*TAIL, end - start):
            if back < count:
                continue
            at = max(start, end - back)
            found = [record async for record in self.records(place, at, end)]
            if len(found) >= count or at == start:
                return found[-count:]
        return []

    async def _next(self, place: TopicPartition, end: int) -> Any | None:
        queue = self._queued[place]
        silent_ms = 0
        while not queue:
            position = await self._consumer.position(place)
            if position >= end:
                return None
            try:
                fetched = await self._consumer.getmany(place, timeout_ms=SILENCE_MS)
            except KafkaError as error:
                raise Unavailable(f"{_named(place)} cannot be read: {error}") from error
            queue.extend(fetched.get(place, ()))
            if not queue and await self._consumer.position(place) == position:
                silent_ms += SILENCE_MS
                if silent_ms >= SILENT_MS_MAX:
                    raise Unavailable(f"{_named(place)} gives nothing at offset {position}")
        record = queue.popleft()
        return record if record.offset < end else None


def _named(place: TopicPartition) -> str:
    return f"{place.topic}[{place.partition}]"


async def merged(
    tapes: Sequence[AsyncIterator[Any]], key: Callable[[Any], Any]
) -> AsyncIterator[Any]:
    """Several tapes as one: always the head of smallest `key`; ties by the tapes' order."""
    heap: list[tuple[Any, int, Any]] = []
    for number, tape in enumerate(tapes):
        head = await anext(tape, None)
        if head is not None:
            heap.append((key(head), number, head))
    heapq.heapify(heap)
    while heap:
        _, number, head = heap[0]
        yield head
        following = await anext(tapes[number], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (key(following), number, following))
