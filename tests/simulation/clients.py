"""aiokafka's clients on the Kafka in memory, as far as streams/replay/kafka_log.py and
transactional_writer.py use them.

The real `KafkaLog` and `Writer` make them: `simulated()` puts them in aiokafka's place, and the
`client` mapping says whose process they belong to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    RequestTimedOutError,
)
from faust.types import TP

from streams.kafka.faust_transport import Batch
from tests.simulation.broker import Message, Record

if TYPE_CHECKING:
    from tests.simulation.process import Process


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Within, the real code talks to the Kafka in memory."""
    with (
        patch("streams.replay.kafka_log.AIOKafkaConsumer", Reader),
        patch("streams.replay.kafka_log.TopicPartition", TP),
        patch("streams.kafka.transactional_writer.AIOKafkaProducer", Producer),
        # What they look at is inside of aiokafka's.
        patch("streams.kafka.transactional_writer.unanswered", lambda client, coordination: []),
        patch("streams.kafka.transactional_writer.retrieve_failures", lambda producer: None),
    ):
        yield


OUTPUT_MS = 1_900_000_000_000
"""Kafka timestamp of every output: later than any input, and the same in each run."""


class Reader:
    """A consumer without a group (streams/replay/kafka_log.py)."""

    def __init__(self, *, process: Process, isolation_level: str, **_: Any) -> None:
        assert isolation_level == "read_committed"
        self.process = process
        self.kafka = process.world.kafka
        self.positions: dict[TP, int] = {}

    async def start(self) -> None:
        """Connect."""
        await self.process.io("2 journal's end")

    async def stop(self) -> None:
        """Nothing."""

    def assign(self, tps: Collection[TP]) -> None:
        """Read these."""
        self.positions = dict.fromkeys(tps, 0)

    async def beginning_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Zeros: nothing is deleted."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Last stable offsets."""
        await self.process.io("5 compare" if len(tps) > 1 else None)
        return {tp: self.kafka.log(tp).stable for tp in tps}

    def seek(self, tp: TP, offset: int) -> None:
        """Read from there."""
        self.positions[tp] = offset

    async def position(self, tp: TP) -> int:
        """Offset of what comes next."""
        return self.positions[tp]

    async def getmany(self, tp: TP, *, timeout_ms: int, max_records: int) -> dict[TP, list[Record]]:
        """Committed records from the position on; without any, wait."""
        await self.process.io("4 fold")
        log = self.kafka.log(tp)
        start = self.positions[tp]
        end = min(log.stable, start + self.process.world.rng.randint(1, 40))
        if end <= start:
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        self.positions[tp] = end
        records = log.committed(start, end)
        return {tp: records} if records else {}


class _Builder:
    """aiokafka's BatchBuilder."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def append(
        self, *, timestamp: int, key: bytes | None, value: bytes, headers: Sequence[Any]
    ) -> object:
        self.messages.append(Message(key, value, tuple(headers), OUTPUT_MS))
        return self

    def size(self) -> int:
        return sum(len(message.value or b"") for message in self.messages)

    def close(self) -> None:
        pass


class _Client:
    async def close(self) -> None:
        pass


class Producer:
    """A transactional producer (streams/kafka/transactional_writer.py).

    As aiokafka's, it commits a transaction in which a produce has failed.
    """

    def __init__(self, *, process: Process, transactional_id: str, **_: Any) -> None:
        self.process = process
        self.kafka = process.world.kafka
        self.fate = process.world.fate
        self.name = transactional_id
        self.epoch = 0
        self.client = _Client()
        self._sent: list[asyncio.Task[None]] = []
        self._last: dict[TP, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Fence."""
        await self.process.io("1 fence")
        self.epoch = await self.kafka.init(self.name)
        await self.process.io(None)

    async def stop(self) -> None:
        """Leave what is open to the coordinator."""
        for task in self._sent:
            task.cancel()

    async def begin_transaction(self) -> None:
        """Nothing is sent yet."""
        self.process.reach("8 batch taken")
        await self.process.io("9.1 begin", fails=False)
        self._sent, self._last = [], {}

    def create_batch(self) -> _Builder:
        """An empty batch."""
        return _Builder()

    async def send_batch(
        self, batch: _Builder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        """Hand over a batch; the future says whether the broker took it."""
        self.process.reach("9.2 send")
        tp = TP(topic, partition)
        before = self._last.get(tp)
        task = asyncio.ensure_future(self._produce(tp, batch.messages, before))
        self._last[tp] = task
        self._sent.append(task)
        return task

    async def _produce(
        self, tp: TP, messages: Sequence[Message], before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:  # batches of one partition go out in their order
            await asyncio.wait([before])
        await self.process.io(None, fails=False)
        if len(messages) > 1 and self.fate.strikes("batch refused as too large"):
            raise MessageSizeTooLargeError(tp.topic)
        if self.fate.strikes("produce fails"):
            raise RequestTimedOutError(tp.topic)
        await self.kafka.produce(self.name, self.epoch, tp, messages)
        await self.process.io(None, fails=False)

    async def commit_transaction(self) -> None:
        """Wait for the batches, whatever became of them, and end the transaction."""
        if self._sent:
            await asyncio.wait(self._sent)
        self.process.reach("9.3 sent, not ended")
        if all(task.exception() is not None for task in self._sent):
            return
        await self.process.io("9.4 commit")
        self.kafka.end(self.name, self.epoch, commit=True)
        self.process.reach("9.5 committed, not answered")
        if self.fate.strikes("commit's answer is lost"):
            raise RequestTimedOutError(self.name)
        await self.process.io(None, fails=False)


class Fetcher:
    """What fetches for a process: stamped batches of what is open, as aiokafka gives them.

    A batch is on its way for a while, during which a seek or a rebalance may come.
    """

    def __init__(self, process: Process, route: Callable[[Batch], None]) -> None:
        self.process = process
        self.kafka = process.world.kafka
        self.fate = process.world.fate
        self.rng = process.world.rng
        self.route = route
        self.assigned: set[TP] = set()
        self.opened: set[TP] = set()
        self.positions: dict[TP, int] = {}
        self.known: dict[TP, int] = {}
        self.kick = asyncio.Event()
        self.kafka.listeners.append(self.kick)
        process.kicks.append(self.kick)

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """As faust_transport.Consumer."""
        await self.process.io("6 seek")
        for tp, offset in positions.items():
            if tp not in self.assigned:
                raise IllegalStateError(f"{tp} is not assigned")
            self.positions[tp] = offset
        await self.open(positions)

    async def open(self, partitions: Collection[TP]) -> None:
        """As faust_transport.Consumer."""
        self.opened.update(partitions)
        self.kick.set()

    def shut(self, partitions: Collection[TP]) -> None:
        """As faust_transport.Consumer."""
        self.opened.difference_update(partitions)

    def stable(self, tp: TP) -> int | None:
        """As faust_transport.Consumer."""
        return self.known.get(tp)

    def fetch_position(self, tp: TP) -> int | None:
        """As faust_transport.Consumer."""
        return self.positions.get(tp)

    async def fetch(self) -> None:
        """Fetch for ever."""
        while True:
            tp = self._due()
            if tp is None:
                self.kick.clear()
                await self.kick.wait()
                continue
            try:
                await self.process.io(None)
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
                continue
            await self._fetch(tp)

    def _due(self) -> TP | None:
        due = []
        for tp in sorted(self.opened & self.positions.keys()):
            stable = self.kafka.log(tp).stable
            if self.positions[tp] < stable or self.known.get(tp) != stable:
                due.append(tp)
        return self.rng.choice(due) if due else None

    async def _fetch(self, tp: TP) -> None:
        if tp not in self.opened or tp not in self.positions:
            return
        log, start = self.kafka.log(tp), self.positions[tp]
        stable = self.known[tp] = log.stable
        end = min(stable, start + self.rng.randint(1, 12))
        if end <= start:
            return
        batch = Batch(tp.topic, tp.partition, start, end, stable, log.committed(start, end))
        self.positions[tp] = end
        await asyncio.sleep(self.rng.expovariate(1_000))
        if self.fate.strikes("fetched batch is lost"):
            return
        self.route(batch)
        if self.fate.strikes("fetched batch comes again"):
            start = max(0, start - self.rng.randint(0, 4))
            self.route(batch._replace(start=start, records=log.committed(start, end)))


class Member(Fetcher):
    """The group's member (ports.Source)."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, lambda batch: process.worker._route(batch))

    def assign(self, tps: Collection[TP]) -> None:
        """A new assignment: positions are the group's, which are stale."""
        self.assigned = set(tps)
        self.known = {}
        self.positions = {tp: self._stale(tp) for tp in sorted(tps)}

    def _stale(self, tp: TP) -> int:
        return self.rng.randint(0, self.kafka.log(tp).stable)

    async def still_member(self, generation: int) -> bool:
        """As faust_transport.Consumer."""
        await self.process.io(None)
        return self.process.beats(generation)


class Direct(Fetcher):
    """A reader of fixed partitions (direct_consumer.DirectConsumer)."""

    def __init__(
        self, client: Mapping[str, Any], partitions: Collection[TP], route: Callable[[Batch], None]
    ) -> None:
        super().__init__(client["process"], route)
        self.assigned = {TP(*tp) for tp in partitions}
        self._fetching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fetch."""
        self._fetching = asyncio.create_task(self.fetch())

    async def close(self) -> None:
        """Stop."""
        if self._fetching is not None:
            self._fetching.cancel()

    def answered(self, tp: TP) -> None:
        """Nothing is known: only relays heed it, and none is simulated."""

    async def ends(self, partitions: Collection[TP]) -> dict[TP, int]:
        """Last stable offsets."""
        await self.process.io(None)
        return {TP(*tp): self.kafka.log(TP(*tp)).stable for tp in partitions}
