"""Reads predictions (or features, or examples) exactly once, if the caller keeps the position.

    with kept:                                  # your database, your transaction
        for batch in read("kafka:9092", "flight_eta", position=kept.position()):
            kept.store(batch.records, batch.position)

Two things make it exactly once. Only committed records are read (`read_committed`): a crashed
worker's are never seen. And the position goes where the results go, in one transaction: what was
stored is never read again, what was not is. There is no consumer group, and nothing to commit.

The position holds the last journal step of each partition, too. Steps only grow, so a record at or
below it is a repetition and is left out: also where offsets have changed under the reader.

A record that is none, since somebody else wrote to the topic, is left out: `unreadable` says how
many there were, and which was the first.

Needs the package `aiokafka` and nothing else of riverrun's: `pip install 'riverrun[consumer]'`.
Where predictions are written as Avro or Protobuf, it reads them all the same, with `fastavro` or
`protobuf`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from riverrun.client.packages import needed
from riverrun.client.written_predictions import WrittenPredictions
from schemas.errors import Unavailable
from schemas.topics import BY_KIND, topic_names
from schemas.unreadable_records import Unreadable

log = logging.getLogger("riverrun.consuming")

Kind = Literal["predictions", "features", "examples"]
Position = Mapping[str, Sequence[int]]
"""Partition (as text, so that it is JSON) → next offset and last step. Keep it as it comes."""
WAIT_MS = 200


class PredictionBatch(NamedTuple):
    """Records in the order of their partitions, and the position after them."""

    records: list[Any]
    position: dict[str, list[int]]


def read(
    servers: str,
    use_case: str,
    *,
    position: Position | None = None,
    to_end: bool = False,
    **options: Any,
) -> Iterator[PredictionBatch]:
    """Yield batches, for a program without an event loop of its own.

    Options as of `CommittedReader`.

    For ever, or with `to_end` up to what is the end now.
    """
    import asyncio  # only here: nothing else that travels needs a loop

    loop = asyncio.new_event_loop()
    reader = CommittedReader(servers, use_case, position=position, **options)
    try:
        loop.run_until_complete(reader.start())
        batches = aiter(reader.batches(to_end=to_end))
        while (batch := loop.run_until_complete(anext(batches, None))) is not None:
            yield batch
    finally:
        loop.run_until_complete(reader.close())
        loop.close()


class CommittedReader:
    """Reads one kind of record of one use case. async with → batches → left.

    `partitions` (default: all) is for several readers side by side; each keeps its own position.
    `client` is passed on to aiokafka: `security_protocol`, `ssl_context`, `sasl_…`. Memory: one
    fetch, at most `records_max` records decoded. Raises `Unavailable`.
    """

    def __init__(
        self,
        servers: str,
        use_case: str,
        *,
        kind: Kind = "predictions",
        position: Position | None = None,
        partitions: Sequence[int] | None = None,
        prefix: str = "",
        topic: str | None = None,
        records_max: int = 1_000,
        **client: Any,
    ) -> None:
        self._kafka = needed("aiokafka", "reading predictions")
        self.topic = topic or topic_names(use_case, prefix=prefix)[kind]
        self.position = {n: [*map(int, pair)] for n, pair in (position or {}).items()}
        self._model = lenient(BY_KIND[kind].record)
        self.unreadable = Unreadable()
        self._chosen = partitions
        self._records_max = records_max
        self._client = {"bootstrap_servers": servers, **client}
        self._written = WrittenPredictions(self._client)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Connect, and seek to the position."""
        self._consumer = self._kafka.AIOKafkaConsumer(
            **self._client,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await self._consumer.start()
            numbers = self._chosen
            if numbers is None:
                numbers = sorted(await self._partitions())
        except (self._kafka.errors.KafkaError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {error}") from error
        self._places = [self._kafka.TopicPartition(self.topic, n) for n in numbers]
        self._consumer.assign(self._places)
        for topic_partition in self._places:
            pair = self.position.get(str(topic_partition.partition))
            if pair is not None:
                self._consumer.seek(topic_partition, pair[0])

    async def _partitions(self) -> set[int]:
        metadata = await self._consumer._client.fetch_all_metadata()
        numbers: set[int] | None = metadata.partitions_for_topic(self.topic)
        if not numbers:
            raise Unavailable(f"There is no topic {self.topic}; a worker creates it.")
        return numbers

    async def close(self) -> None:
        """Close the connections."""
        await self._consumer.stop()

    async def batches(self, *, to_end: bool = False) -> AsyncIterator[PredictionBatch]:
        """Yield batches of at least one record, for ever, or up to the present end."""
        ends = await self._consumer.end_offsets(self._places)
        while True:
            try:
                fetched = await self._consumer.getmany(
                    timeout_ms=WAIT_MS, max_records=self._records_max
                )
            except self._kafka.errors.KafkaError as error:
                raise Unavailable(f"Kafka failed while reading: {error}") from error
            every = [record for each in fetched.values() for record in each]
            records = [self._taken(record) for record in await self._written.as_json(every)]
            new = [record for record in records if record is not None]
            if new:
                yield PredictionBatch(new, {n: list(pair) for n, pair in self.position.items()})
            elif to_end and not fetched and await self._reached(ends):
                return

    def _taken(self, record: Any) -> BaseModel | None:
        """Return the record, or None if it was read before or is unreadable (counted and logged).

        Advance the position in either case.
        """
        pair = self.position.setdefault(str(record.partition), [0, -1])
        try:
            value = self._model.model_validate_json(record.value or b"")
        except ValidationError as error:
            self.unreadable.note(record, error)
            log.warning("%s", self.unreadable)
            pair[0] = record.offset + 1
            return None
        is_repeated = value.step <= pair[1]
        pair[0], pair[1] = record.offset + 1, max(pair[1], value.step)
        return None if is_repeated else value

    async def _reached(self, ends: Mapping[Any, int]) -> bool:
        return all(
            [
                await self._consumer.position(topic_partition) >= end
                for topic_partition, end in ends.items()
            ]
        )


@cache
def lenient(record: type[BaseModel]) -> Any:
    """Return the record's model for readers: it tolerates fields that a newer riverrun writes."""

    class Lenient(record):  # type: ignore[misc, valid-type]
        __doc__ = record.__doc__
        model_config = ConfigDict(extra="ignore")

    Lenient.__name__ = record.__name__
    return Lenient
