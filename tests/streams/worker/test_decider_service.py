"""What the decider writes, killed at any write: each block once, each command once.

The topics are lists here, and a transaction is all or nothing; real servers are in
tests/integration/loop/test_decider.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition

from models.spec.use_case import UseCase
from schemas.commands import Command
from streams.config.settings import Settings
from streams.kafka.record_decoder import RecordDecoder
from streams.worker.decider_service import DeciderService, _Session
from tests.support.closed_blocks import GAIN, case, evidence
from tests.support.memory import Record

PARTITIONS = 2
NAMES = {kind: kind for kind in ("evidence", "verdicts", "commands", "events", "outcomes")}


class Killed(Exception):
    """The process is gone."""


class Topics(RecordDecoder):
    """Committed records by place, a producer that is killed at its `left`-th transaction, tapes."""

    def __init__(self) -> None:
        super().__init__()
        self.topic_partitions = [TopicPartition("evidence", n) for n in range(PARTITIONS)]
        self.topic_partitions.append(TopicPartition("verdicts", 0))
        self.committed: dict[TopicPartition, list[Any]] = {tp: [] for tp in self.topic_partitions}
        for number in range(PARTITIONS):
            self.committed[TopicPartition("commands", number)] = []
        self.left, self.after = -1, False
        self._pending: list[tuple[TopicPartition, Any]] = []

    def append(self, tp: TopicPartition, value: bytes) -> None:
        """One committed record."""
        log = self.committed[tp]
        log.append(Record(tp.topic, tp.partition, len(log), value))

    # As a producer.

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing; the kill is before or after the commit."""
        self._pending = []
        yield
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        for tp, value in self._pending:
            self.append(tp, value)
        if self.left == 0:
            raise Killed

    async def send(self, topic: str, value: bytes, **options: Any) -> asyncio.Future[None]:
        """Kept until the commit."""
        self._pending.append((TopicPartition(topic, options["partition"]), value))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    # As tapes.

    def of(self, topic: str) -> list[TopicPartition]:
        """Its places."""
        return [tp for tp in self.topic_partitions if tp.topic == topic]

    async def bounds(self) -> dict[TopicPartition, tuple[int, int]]:
        """First and last offset."""
        return {tp: (0, len(self.committed[tp])) for tp in self.topic_partitions}

    async def records(
        self, tp: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """What is committed."""
        for record in self.committed[tp][start:end]:
            yield record

    async def follow(
        self, starts: Mapping[TopicPartition, int], wait_s: float = 0.0
    ) -> AsyncIterator[list[Any]]:
        """What comes, one record at a time; at the end of all nobody waits."""
        reached = dict(starts)
        while True:
            ready = [p for p in self.topic_partitions if reached[p] < len(self.committed[p])]
            for tp in ready:
                yield [self.committed[tp][reached[tp]]]
                reached[tp] += 1
            if not ready:
                raise Killed
            await asyncio.sleep(0)


async def decide(topics: Topics, use_case: UseCase) -> None:
    """One life of a decider, to the end of what there is or to its kill."""
    deciding = DeciderService(use_case, Settings(), NAMES, "test")
    with pytest.raises(Killed):
        await _Session(deciding, topics, topics).run()  # type: ignore[arg-type]


def filled(upto: int) -> Topics:
    """The evidence of so many days."""
    topics = Topics()
    for day in range(upto):
        for number in range(PARTITIONS):
            record = orjson.dumps(evidence(number, day, cost=GAIN))
            topics.append(TopicPartition("evidence", number), record)
    return topics


def written(topics: Topics) -> tuple[list[bytes], list[list[bytes]]]:
    """Standings, and the commands of each partition."""
    commands = [topics.committed[TopicPartition("commands", n)] for n in range(PARTITIONS)]
    verdicts = topics.committed[TopicPartition("verdicts", 0)]
    return [r.value for r in verdicts], [[r.value for r in batch] for batch in commands]


@pytest.mark.slow
async def test_killed_at_any_write_it_says_each_block_and_each_command_once() -> None:
    """Before the commit or after it: what is on the topics is to the byte what one long life
    writes; and one more life adds nothing.
    """
    use_case = case("automatic")
    whole = filled(60)
    await decide(whole, use_case)
    verdicts, commands = written(whole)
    assert len({orjson.loads(value)["block_start"] for value in verdicts}) == 60
    assert [Command.model_validate_json(c).verb for c in commands[0]] == ["promote"]
    assert commands[0] == commands[1]
    for left in (1, 46, 60):
        for after in (False, True):
            topics = filled(60)
            topics.left, topics.after = left, after
            await decide(topics, use_case)
            topics.left = -1
            await decide(topics, use_case)
            assert written(topics) == (verdicts, commands)
            await decide(topics, use_case)
            assert written(topics) == (verdicts, commands)
