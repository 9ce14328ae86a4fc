"""Kafka's side of a partition's runner, in memory: inputs, journal, transactions, a fetcher.

What it keeps of Kafka: offsets with gaps (aborted and control records), a last stable offset,
transactions that are visible whole or not at all, fencing by the newest writer, a commit whose
answer is lost although it took effect, and a fetcher that loses batches or gives them twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from faust.types import TP

from schemas.errors import Unavailable
from schemas.headers import Headers
from streams.kafka.faust_transport import Batch
from streams.kafka.transactional_writer import Fenced, Limits
from streams.partition.pace import Pace
from streams.partition.runner import PartitionRunner
from streams.partition.wiring import Wiring
from streams.replay.journal_fold import Entry
from tests.support.ledger.ledger import Ledger

QUICK = Pace(
    alignment_wait_s=0.02,
    batch_records_max=7,
    batch_s_max=0.01,
    commit_interval_s=0.0,
    report_interval_s=1e9,
)


class Record(NamedTuple):
    """As aiokafka's, as far as it is used."""

    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0


class Memory:
    """One partition's topics. `fails(step)` is asked at each step whether it goes wrong there."""

    def __init__(self, inputs: int = 2, fails: Callable[[str], bool] = lambda step: False) -> None:
        self.topics = tuple(f"in{i}" for i in range(inputs))
        self.logs: list[list[Record]] = [[] for _ in range(inputs)]
        self.ends = [0] * inputs
        self.journal: list[bytes] = []
        self.outputs: list[Any] = []
        self.epoch = 0
        self.fails = fails
        self.positions: dict[TP, int] = {}
        self.opened: set[TP] = set()
        self.to: Callable[[Batch], None] = lambda batch: None
        self.member = True

    # Producers.

    def put(self, i: int, value: bytes, *, gap: int = 0) -> None:
        """Commit one record, after a gap of invisible ones."""
        offset = self.ends[i] + gap
        self.logs[i].append(Record(self.topics[i], 0, offset, value, key=b"k"))
        self.ends[i] = offset + 1

    def put_gap(self, i: int, gap: int) -> None:
        """Trailing control records."""
        self.ends[i] += gap

    # The fetcher (wiring.Source).

    def step(self, rng: random.Random) -> None:
        """Give one batch of some open input, or lose it, or give one again."""
        tps = sorted(self.opened)
        if not tps:
            return
        tp = rng.choice(tps)
        i, start = self.topics.index(tp.topic), self.positions[tp]
        end = min(self.ends[i], start + rng.randint(1, 6))
        if end == start:
            return
        if self.fails("again"):
            start = max(0, start - rng.randint(1, 4))
        records = [r for r in self.logs[i] if start <= r.offset < end]
        self.positions[tp] = end
        if not self.fails("fetch"):
            self.to(Batch(tp.topic, 0, start, end, self.ends[i], records))

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """As transport.Consumer."""
        await asyncio.sleep(0)
        self.positions.update(positions)
        self.opened.update(positions)

    async def open(self, partitions: Collection[TP]) -> None:
        """As transport.Consumer."""
        self.opened.update(partitions)

    def shut(self, partitions: Collection[TP]) -> None:
        """As transport.Consumer."""
        self.opened.difference_update(partitions)

    def stable(self, tp: TP) -> int | None:
        """As transport.Consumer."""
        return self.ends[self.topics.index(tp.topic)]

    def fetch_position(self, tp: TP) -> int | None:
        """As transport.Consumer."""
        return self.positions.get(tp)

    async def still_member(self, generation: int) -> bool:
        """As transport.Consumer."""
        return self.member

    # A runner on it.

    def wiring(self, **options: Any) -> Wiring:
        """Everything connected to this memory."""
        options = {"store": Fresh(len(self.topics)), "pace": QUICK, **options}
        return Wiring(
            inputs=self.topics,
            open_log=lambda n: MemoryLog(self),
            open_writer=lambda n: MemoryWriter(self),
            **options,
        )

    def partition(self, **changes: Any) -> PartitionRunner:
        """A runner, to be run."""
        partition = PartitionRunner(0, 1, self, self.wiring(), **changes)
        self.to = partition.accept
        return partition


class Fresh:
    """A snapshot store that has nothing."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs

    async def load(self, partition: int, at_hand: Ledger | None = None) -> Ledger:
        """What is at hand, or a fresh task."""
        return at_hand or Ledger(self.inputs)

    async def fresh(self, partition: int, because: str) -> Ledger:
        """A fresh task."""
        return Ledger(self.inputs)

    def release(self, partition: int) -> None:
        """Nothing."""

    def offer(self, partition: int, task: Any) -> None:
        """Nothing."""

    def status(self, partition: int) -> Mapping[str, Any]:
        """Nothing."""
        return {}


class MemoryWriter:
    """As writer.Writer: fenced by the next one that starts."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.limits = Limits()
        self.epoch = 0

    async def start(self) -> None:
        """Fence."""
        await asyncio.sleep(0)
        if self.memory.fails("start"):
            raise Unavailable("start")
        self.memory.epoch += 1
        self.epoch = self.memory.epoch

    async def commit(
        self, outputs: Sequence[Any], entry: bytes | None, headers: Headers = ()
    ) -> None:
        """All or nothing; its answer may be lost."""
        await asyncio.sleep(0)
        if self.memory.fails("before"):
            raise Unavailable("before")
        if self.epoch != self.memory.epoch:
            raise Fenced("fenced")
        self.memory.outputs += outputs
        if entry is not None:
            self.memory.journal.append(entry)
        if self.memory.fails("after"):
            raise Unavailable("after")
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing."""


class MemoryLog:
    """As log.KafkaLog."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def start(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""

    async def beginnings(self) -> list[int]:
        """Zeros."""
        return [0 for _ in self.memory.topics]

    async def ends(self) -> list[int]:
        """Ends."""
        return list(self.memory.ends)

    async def at(self, input: int, offset: int) -> Record | None:
        """A single record."""
        return next((r for r in self.memory.logs[input] if r.offset == offset), None)

    async def unread(self, input: int, first: int) -> list[Record]:
        """What is not applied yet."""
        return [r for r in self.memory.logs[input] if r.offset >= first]

    async def last(self) -> Entry | None:
        """The newest entry."""
        return Entry.decode(self.memory.journal[-1]) if self.memory.journal else None

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Entries from a number on."""
        for value in list(self.memory.journal):
            entry = Entry.decode(value)
            if entry.seq >= seq:
                yield entry

    async def run(self, input: int, first: int, count: int) -> list[Record]:
        """A run of records."""
        if self.memory.fails("read"):
            raise Unavailable("read")
        return [r for r in self.memory.logs[input] if r.offset >= first][:count]
