"""A partition's runner on a Kafka in memory, from its start until it has done what it should."""

from __future__ import annotations

import asyncio
import random

from streams.kafka.faust_transport import Batch
from streams.partition.runner import PartitionRunner, State
from streams.partition.stalled_inputs import Stalled
from streams.replay.journal_fold import Entry, fold
from tests.support.ledger.ledger import Ledger
from tests.support.memory import Memory, MemoryLog, Record


def at(time: float) -> bytes:
    """A record of that time."""
    return b'{"t": %f}' % time


def batch_of(start: int, end: int, topic: str = "in0", step: int = 1) -> Batch:
    """Records of so many offsets, as one fetch gives them."""
    records = [Record(topic, 0, n, at(n)) for n in range(start, end, step)]
    return Batch(topic, 0, start, end, end, records)


async def drain(memory: Memory, partition: PartitionRunner, rng: random.Random, count: int) -> None:
    """Run it until so many records are in the journal; then it is stopped."""
    running = asyncio.create_task(partition.run())
    try:
        for _ in range(20_000):
            memory.step(rng)
            if rng.random() < 0.02:
                partition.watch()
            await asyncio.sleep(0.001)
            if applied(memory) == count or running.done():
                break
        partition.stop()
        await running
    except Stalled:
        running.cancel()
        raise


def applied(memory: Memory) -> int:
    """Records that the journal has."""
    return Entry.decode(memory.journal[-1]).step if memory.journal else 0


async def check(memory: Memory) -> None:
    """What was published is what a fold of the journal gives, and no record is missing."""
    memory.fails = lambda step: False
    fresh, outputs = Ledger(len(memory.topics)), []
    await fold(fresh, MemoryLog(memory), on_outputs=outputs.extend)
    published = [o.value for o in memory.outputs if o.kind not in ("metrics", "lifecycle")]
    assert published == [o.value for o in outputs]
    assert fresh.step == sum(len(log) for log in memory.logs)


async def until_live(partition: PartitionRunner) -> None:
    """Wait for it."""
    for _ in range(1_000):
        await asyncio.sleep(0)
        if partition.state is State.LIVE:
            return
    raise AssertionError(partition.state)
