"""Copies a use case's inputs into new topics with another number of partitions.

Events, outcomes and history go over in the order of their times, each key in its own order, with
their headers and timestamps; new workers then answer and learn all of it from the
beginning. What differs after:

- predictions differ, since versions of shared models reach partitions at other moments, and models
  of each partition (`learning="partition"`) learn from another share (windows do not differ);
- a record that was set aside (`riverrun skip`) is left out, since workers would halt at it again;
- commands are not copied, since a promotion has no event time: promote again;
- the old topics stay as they are, and go on proving the old predictions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from models.inputs.decoder import AT_ONCE, EVENTS, KIND_HEADER, OUTCOMES, parsed_input
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Incompatible
from schemas.partitioner import partition_of
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader, merged
from streams.topics import topic_admin

COPIED = ("history", "outcomes", "events")
"""On equal times in this order, as a partition task takes them."""
BLOCK = 500
"""Records after which all that was sent is waited for, so that no topic runs ahead."""


@dataclass(slots=True)
class Copied:
    """The counts of copied records."""

    events: int = 0
    outcomes: int = 0
    history: int = 0
    keyless: int = 0
    set_aside: int = 0
    """Left out."""

    @property
    def total(self) -> int:
        """Return the number of all records."""
        return self.events + self.outcomes + self.history


async def repartition(
    use_case: UseCase,
    settings: Settings,
    to: Settings,
    partitions: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copied:
    """Create the topics of `to`, with so many partitions, and copy the inputs there.

    Raise `Incompatible` if they hold records already. If it is killed half way, remove the new
    topics and repeat it.
    """
    old, new = topic_admin.names_of(use_case, settings), topic_admin.names_of(use_case, to)
    if set(old.values()) & set(new.values()):
        raise ConfigError("The new topics are the old ones.", hint="Give another --to PREFIX.")
    actual = await topic_admin.ensure(replace(use_case, partitions=partitions), to)
    if actual != partitions:
        raise Incompatible(
            f"{new['events']} exists already, with {actual} partitions. Give another --to PREFIX."
        )
    await _refuse_used([new[kind] for kind in COPIED], to)
    copied, set_aside = Copied(), await _set_aside(old, settings)
    async with TopicReader([old[kind] for kind in COPIED], settings) as reader:
        total = sum(end - start for start, end in (await reader.bounds()).values())
        kinds = {old[kind]: kind for kind in COPIED}
        producer = AIOKafkaProducer(
            **to.kafka_client(),
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=262_144,
            max_request_size=16 << 20,
        )
        await producer.start()
        try:
            sent: list[Any] = []
            async for record in _in_time(use_case, reader, old):
                kind = kinds[record.topic]
                if (kind, record.partition, record.offset) in set_aside:
                    copied.set_aside += 1
                    continue
                sent.append(await _send(producer, new[kind], record, partitions))
                setattr(copied, kind, getattr(copied, kind) + 1)
                copied.keyless += record.key is None
                if len(sent) >= BLOCK:
                    await asyncio.gather(*sent)
                    sent.clear()
                    on_progress(copied.total, total)
            await asyncio.gather(*sent)
        finally:
            await producer.stop()
    return copied


async def _set_aside(names: Mapping[str, str], settings: Settings) -> set[tuple[str, int, int]]:
    """Return the records that the journal lists as set aside: input, partition and offset."""
    skipped = set()
    async with TopicReader([names["journal"]], settings) as reader:
        for topic_partition in reader.topic_partitions:
            async for _, entry in reader.rows("journal", topic_partition):
                for skip in entry.get("skipped") or ():
                    skipped.add((INPUTS[skip["input"]], topic_partition.partition, skip["offset"]))
    return skipped


def _in_time(
    use_case: UseCase, reader: TopicReader, names: Mapping[str, str]
) -> AsyncIterator[Any]:
    inputs = [each for kind in COPIED for each in reader.of(names[kind])]
    outcomes = names["outcomes"]
    return merged([reader.records(each) for each in inputs], lambda r: _time(use_case, r, outcomes))


def _time(use_case: UseCase, record: Any, outcomes: str) -> float:
    """Return the event or outcome time, seconds UTC.

    A record without one is due at once, as in a task.
    """
    is_outcome = record.topic == outcomes or (KIND_HEADER, b"outcome") in record.headers
    body = parsed_input(use_case, OUTCOMES if is_outcome else EVENTS, record.value)
    if body is None:
        return AT_ONCE
    time: datetime = body.outcome_time if is_outcome else body.event_time
    return time.timestamp()


async def _send(producer: Any, topic: str, record: Any, partitions: int) -> Any:
    # One that has no key is refused wherever it is.
    key = record.key
    return await producer.send(
        topic,
        record.value,
        key=key,
        partition=record.partition % partitions if key is None else partition_of(key, partitions),
        timestamp_ms=record.timestamp,
        headers=list(record.headers),
    )


async def _refuse_used(names: list[str], settings: Settings) -> None:
    async with TopicReader(names, settings) as reader:
        used = sorted({p.topic for p, (_, end) in (await reader.bounds()).items() if end})
    if used:
        raise Incompatible(
            f"{', '.join(used)} hold records already. Give another --to PREFIX, or remove them."
        )
