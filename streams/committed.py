"""Committed records of topics, from their beginning: what any consumer would see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.errors import Unavailable
from streams.settings import Settings


class Committed:
    """A reader without a group, read_committed, from the first record of each partition.

    async with → batches (again and again) → left. Memory: one fetch.
    """

    def __init__(self, topics: Collection[str], settings: Settings) -> None:
        self._topics = tuple(topics)
        self._settings = settings
        self._consumer: Any = None
        self._places: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._settings.kafka_client(),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=4 << 20,
        )
        try:
            await self._consumer.start()
        except (KafkaConnectionError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {error}") from error
        for topic in self._topics:
            numbers = await self._partitions(topic)
            self._places += [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(self._places)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def _partitions(self, topic: str) -> set[int]:
        metadata = await self._consumer._client.fetch_all_metadata()
        numbers = metadata.partitions_for_topic(topic)
        if not numbers:
            raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
        return set(numbers)

    async def some(self, wait_s: float = 0.2, limit: int = 5_000) -> list[Any]:
        """The next committed records, at most `limit`; empty if none came within `wait_s`."""
        try:
            found = await self._consumer.getmany(timeout_ms=int(wait_s * 1000), max_records=limit)
        except KafkaError as error:
            raise Unavailable(f"Kafka failed while reading: {error}") from error
        return [record for records in found.values() for record in records]

    async def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition now (an offset; aborted and control records count)."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._places)
        return ends

    async def to_the_end(self) -> AsyncIterator[list[Any]]:
        """Everything that was committed when this was called, in batches."""
        ends = await self.ends()
        while True:
            records = await self.some()
            if records:
                yield records
            elif await self._reached(ends):
                return

    async def _reached(self, ends: dict[TopicPartition, int]) -> bool:
        for place, end in ends.items():
            if await self._consumer.position(place) < end:
                await asyncio.sleep(0)
                return False
        return True
