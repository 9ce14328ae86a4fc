"""The decider beside its workers: evidence of all partitions in, standings and commands out.

It runs in the worker that owns partition 0, and is nobody's state: all that it knows is a fold of
the `evidence` topic from its beginning, and `verdicts` says which blocks it has released and of
which partitions each was made. So after any end it begins by reading both, and goes on exactly.

1. Take the transactional id: a decider elsewhere is fenced from here on.
2. Read `verdicts`, then `evidence` to its end; release again what was released, saying nothing.
3. Release what is new; write its standings, and the commands that a rule sends, in one transaction.

A group of its own would add nothing, since one reader needs all partitions: they are read as tapes,
read_committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from operator import ge
from time import monotonic
from typing import Any, NoReturn

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.promotion.block_merger import BlockMerger, seconds
from models.promotion.decider import Decided, Decider, Proposal
from models.promotion.decider_command import order
from models.promotion.standings import standings
from models.spec.use_case import UseCase
from schemas.errors import RiverrunError
from schemas.headers import stamp
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader
from streams.replay.kafka_log import KafkaLog

log = logging.getLogger("riverrun.decider")

AGAIN_S = 5.0
CALM_S = 30.0
"""After this time without new evidence, a partition that is far behind is taken for idle."""
LOOK_S = 2.0
"""How often those who are waited for are looked at."""


class DeciderService:
    """The decider of one use case. `run` until it is cancelled; what fails is tried again."""

    def __init__(
        self, use_case: UseCase, settings: Settings, names: Mapping[str, str], group: str
    ) -> None:
        self._use_case = use_case
        self._settings = settings
        self._names = names
        self._id = f"{group}-decider"

    async def run(self) -> NoReturn:
        """Decide, for ever."""
        while True:
            try:
                await self._decide()
            except (KafkaError, RiverrunError, OSError) as error:
                log.warning("decider: %s; once more in %g s", error, AGAIN_S)
            except Exception:
                # What it is made of cannot be used; the partitions go on answering and learning.
                log.exception("decider: stopped by a fault; once more in a minute")
                await asyncio.sleep(60.0)
            await asyncio.sleep(AGAIN_S)

    async def _decide(self) -> None:
        producer = AIOKafkaProducer(
            **self._settings.kafka_client(), transactional_id=self._id, acks="all"
        )
        await producer.start()
        try:
            topics = [self._names[kind] for kind in ("evidence", "verdicts")]
            async with TopicReader(topics, self._settings, fetch_wait_ms=500) as reader:
                await _Session(self, producer, reader).run()
        finally:
            await producer.stop()


class _Session:
    """From one reading of the topics to the next failure."""

    def __init__(
        self, deciding: DeciderService, producer: AIOKafkaProducer, reader: TopicReader
    ) -> None:
        self.use_case = deciding._use_case
        self.settings = deciding._settings
        self.names = deciding._names
        self.producer = producer
        self.reader = reader
        self.topic_partitions = reader.of(self.names["evidence"])
        self.decider = Decider(self.use_case)
        self.assembly = BlockMerger(len(self.topic_partitions), self.use_case.horizon)
        self.heard = self.looked = monotonic()

    async def run(self) -> NoReturn:
        """Fold what there is, then follow."""
        known = self.assembly.recorded = await self._recorded()
        ends = {
            topic_partition: end
            for topic_partition, (_, end) in (await self.reader.bounds()).items()
        }
        for topic_partition in self.topic_partitions:
            async for record in self.reader.records(topic_partition, 0, ends[topic_partition]):
                self._take(record)
        await self._release(set(known))
        async for records in self.reader.follow(ends, wait_s=1.0):
            evidence = [r for r in records if r.topic == self.names["evidence"]]
            for record in evidence:
                self._take(record)
            self.heard = monotonic() if evidence else self.heard
            await self._release(set(), await self._idle())
        raise AssertionError("tapes are followed for ever")

    def _take(self, record: Any) -> None:
        row = self.reader.row("evidence", record, self.use_case.kpi.check_sums)
        if row is not None:
            self.assembly.take(row)

    async def _recorded(self) -> dict[float, tuple[int, ...]]:
        """Return the blocks that were released before, and of which partitions."""
        blocks: dict[float, tuple[int, ...]] = {}
        for topic_partition in self.reader.of(self.names["verdicts"]):
            async for _, row in self.reader.rows("verdicts", topic_partition):
                blocks[seconds(row["block_start"])] = tuple(row["partitions"])
        return blocks

    async def _release(self, known: set[float], idle: Sequence[int] = ()) -> None:
        for block in self.assembly.release(idle):
            decided = self.decider.take(block)
            if block.start not in known:
                await self._write(decided)
            await asyncio.sleep(0)  # the partitions of this worker go on between two blocks

    # Who is passed over.

    async def _idle(self) -> list[int]:
        """Return partitions far behind that have nothing in line, as far as Kafka can tell."""
        laggards, now = self.assembly.laggards, monotonic()
        unheard = [number for number in self.assembly.unheard if number not in laggards]
        if not laggards and not unheard:
            return []
        if now - self.looked < LOOK_S:
            return []
        self.looked = now
        empty = await self._empty(unheard) if unheard else []
        if now - self.heard >= CALM_S:
            return [*laggards, *empty]
        return [*empty, *[number for number in laggards if await self._exhausted(number)]]

    async def _empty(self, numbers: Sequence[int]) -> list[int]:
        """Return those to which no event and no outcome was ever sent."""
        topics = [self.names["events"], self.names["outcomes"]]
        async with TopicReader(topics, self.settings) as reader:
            ends = await reader.bounds()
        sent = {tp.partition for tp, (_, end) in ends.items() if end}
        return [number for number in numbers if number not in sent]

    async def _exhausted(self, partition: int) -> bool:
        log_ = KafkaLog(
            self.settings.kafka_client(),
            journal=self.names["journal"],
            inputs=[self.names[kind] for kind in INPUTS],
            partition=partition,
        )
        await log_.start()
        try:
            last, starts, ends = await log_.last(), await log_.beginnings(), await log_.ends()
        finally:
            await log_.close()
        reached = starts if last is None else list(map(max, starts, last.next))
        return all(map(ge, reached[:2], ends[:2]))

    # What is said.

    async def _write(self, decided: Decided) -> None:
        """Write one block's standings and its command, all or nothing."""
        async with self.producer.transaction():
            sent = [
                await self.producer.send(
                    self.names["verdicts"],
                    orjson.dumps(standing),
                    key=f"{standing['question']}|{standing['model']}".encode(),
                    partition=0,
                    headers=[*stamp("verdicts", self.use_case.name, 0), ("ce_id", _id(standing))],
                )
                for standing in standings(self.decider, decided)
            ]
            if decided.wish is not None:
                sent += await self._command(decided, decided.wish)
            await asyncio.gather(*sent)  # a transaction would be committed without what failed

    async def _command(self, decided: Decided, wish: Proposal) -> list[asyncio.Future[Any]]:
        command = order(self.use_case, decided, wish)
        log.info("decider: %s %s: %s", wish.verb, wish.model, wish.why)
        value, key = command.model_dump_json().encode(), command.command_id.encode()
        topic = self.names["commands"]
        return [
            await self.producer.send(topic, value, key=key, partition=topic_partition.partition)
            for topic_partition in self.topic_partitions
        ]


def _id(standing: Mapping[str, Any]) -> bytes:
    block = standing["block_start"].isoformat()
    return f"{block}|{standing['question']}|{standing['model']}".encode()
