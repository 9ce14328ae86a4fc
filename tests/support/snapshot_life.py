"""One partition's life, and its snapshots on a real Redis."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from models.spec.use_case import Segments, UseCase
from models.task.partition_task import PartitionTask
from streams.snapshots.redis_store import RedisStore, connect
from streams.snapshots.snapshot_store import Snapshots
from streams.unpickling.safe_unpickler import Allowed
from tests.support.one_partition import Partition, use_case

KEY = b"a key"
CASE = use_case(segments=Segments("items", limit=3), max_jump=1e9)


class Life:
    """One partition's input, and a store on a real Redis."""

    def __init__(self, redis_url: str, case: UseCase = CASE) -> None:
        self.url = redis_url
        self.case = case
        self.group = f"test-{uuid.uuid4().hex[:8]}"
        self.client: Any = connect(redis_url)
        self.hash = RedisStore(self.client, self.group, 0)
        self.random = Random(5)
        self.number = 0
        self.feed = Partition(case)

    def store(self, case: UseCase | None = None, **options: Any) -> Snapshots:
        """A worker's store, as of a fresh process."""
        case = case or self.case
        definition = options.pop("definition", "d1")
        settings: dict[str, Any] = {
            "key": KEY,
            "allowed": Allowed(case.models.values(), case.event.__module__),
            "interval_s": 0.0,
        }
        return Snapshots(
            options.pop("client", self.client),
            self.group,
            lambda n: PartitionTask(case, partition=n, partitions=1, definition=definition),
            **settings | options,
        )

    def records(self, count: int) -> list[tuple[Any, ...]]:
        """Events and outcomes, some of them, some twice."""
        rows: list[tuple[Any, ...]] = []
        for _ in range(count):
            n = self.number = self.number + 1
            items = self.random.randint(1, 4)
            rows.append(("event", f"e{n}", n * 20.0, items, self.random.random()))
            if n > 5 and n % 3:
                rows.append(("outcome", f"e{n - 4}", n * 20.0 + 1, self.random.random()))
        return rows


def advance(feed: Partition, records: list[tuple[Any, ...]]) -> list[bytes]:
    """Apply them and close the journal entry; gives every byte that was said."""
    before = len(feed.outputs)
    for kind, event_id, second, *rest in records:
        if kind == "event":
            feed.event(event_id, second, items=rest[0], weight=rest[1])
        else:
            feed.outcome(event_id, second, rest[0])
    feed.task.seal()
    return [out.raw.value for out in feed.outputs[before:]]


def on(task: PartitionTask, like: Partition) -> Partition:
    """A feed that goes on with another task."""
    feed = Partition(like.case)
    feed.task, feed.offsets = task, list(like.offsets)
    return feed


async def fed(life: Life, store: Snapshots, count: int) -> Partition:
    """A feed on what the store has, with so many records more, which are kept."""
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(count))
    await keep(store, feed.task)
    return feed


async def keep(store: Snapshots, task: PartitionTask) -> None:
    """Offer until it is written."""
    store._keepers[0].due_s = 0.0
    store.offer(0, task)
    await store.written()
    assert store.status(0)["error"] is None, store.status(0)


async def longest_stall_s(until: Any, clock: Callable[[], float] = time.perf_counter) -> float:
    """The longest time that the loop did not turn while something is awaited.

    By `time.process_time` it is what this process itself held up, however busy the machine is.
    """
    task = asyncio.ensure_future(until)
    longest, last = 0.0, clock()
    while not task.done():
        await asyncio.sleep(0.001)
        now = clock()
        longest, last = max(longest, now - last), now
    await task
    return longest
