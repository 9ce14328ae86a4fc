"""A use case's inputs copied into new topics with another number of partitions.

Events, outcomes and history go over in the order of their times, each key in its own order, with
their headers and timestamps; new workers then answer and learn all of it anew. What differs after:

- each partition has its own models, so models, predictions and intervals differ (windows do not);
- commands are not copied, since a promotion has no event time: promote again;
- the old topics stay as they are, and go on proving the old predictions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from models.usecase import UseCase
from schemas.errors import Incompatible, Misdeclared
from schemas.partitioner import partition_of
from streams import topics
from streams.settings import Settings
from streams.tapes import Tapes, merged

COPIED = ("history", "outcomes", "events")
"""On equal times in this order, as a partition task takes them."""
BLOCK = 500
"""Records after which all that was sent is waited for, so that no topic runs ahead."""


@dataclass(slots=True)
class Copied:
    """What was copied."""

    events: int = 0
    outcomes: int = 0
    history: int = 0
    keyless: int = 0

    @property
    def total(self) -> int:
        """All records."""
        return self.events + self.outcomes + self.history


async def repartition(
    use_case: UseCase,
    settings: Settings,
    to: Settings,
    partitions: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copied:
    """Make the topics of `to`, with so many partitions, and copy the inputs there.

    Raises `Incompatible` if there is something on them already. Killed half way, remove the new
    topics and begin again.
    """
    old, new = topics.names_of(use_case, settings), topics.names_of(use_case, to)
    if set(old.values()) & set(new.values()):
        raise Misdeclared("The new topics are the old ones.", mend="Give another --to PREFIX.")
    made = await topics.ensure(replace(use_case, partitions=partitions), to)
    if made != partitions:
        raise Incompatible(f"{new['events']} is there already, with {made} partitions.")
    await _refuse_used([new[kind] for kind in COPIED], to)
    copied = Copied()
    async with Tapes([old[kind] for kind in COPIED], settings) as tapes:
        total = sum(end - start for start, end in (await tapes.bounds()).values())
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
            async for record in _in_time(tapes, old):
                kind = kinds[record.topic]
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


def _in_time(tapes: Tapes, names: Mapping[str, str]) -> AsyncIterator[Any]:
    places = [place for kind in COPIED for place in tapes.of(names[kind])]
    return merged([tapes.records(place) for place in places], _time)


def _time(record: Any) -> float:
    """Its event or outcome time, seconds UTC; what has none goes at once, as a task takes it."""
    try:
        fields = orjson.loads(record.value)
        text = fields.get("outcome_time") or fields["event_time"]
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, KeyError, AttributeError):
        return float("-inf")


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
    async with Tapes(names, settings) as tapes:
        used = sorted({p.topic for p, (_, end) in (await tapes.bounds()).items() if end})
    if used:
        raise Incompatible(
            f"{', '.join(used)} hold records already. Give another --to PREFIX, or remove them."
        )
