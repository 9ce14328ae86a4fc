from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from one_partition import Partition, dump, use_case
from river import forest, tree

from models.task import PartitionTask
from models.usecase import Segments, UseCase
from streams.embedded import Endpoints
from streams.garbage import bound_pauses
from streams.processes import recurse_deeply
from streams.snapshots import keeper, parts, sealed
from streams.snapshots.archive import Archive
from streams.snapshots.redis_hash import TIMEOUT_S, RedisHash, connect
from streams.snapshots.sealed import opened
from streams.snapshots.store import Snapshots
from streams.unpickling import Allowed

pytestmark = pytest.mark.integration

KEY = b"a key"
CASE = use_case(segments=Segments("items", limit=3), max_jump=1e9)


class Life:
    """One partition's input, and a store on a real Redis."""

    def __init__(self, redis_url: str, case: UseCase = CASE) -> None:
        self.url = redis_url
        self.case = case
        self.group = f"test-{uuid.uuid4().hex[:8]}"
        self.client: Any = connect(redis_url)
        self.hash = RedisHash(self.client, self.group, 0)
        self.random = Random(5)
        self.number = 0
        self.feed = Partition(case)

    def store(self, case: UseCase | None = None, **given: Any) -> Snapshots:
        """A worker's store, as of a fresh process."""
        case = case or self.case
        definition = given.pop("definition", "d1")
        settings: dict[str, Any] = {
            "key": KEY,
            "allowed": Allowed(case.models.values(), case.event.__module__),
            "interval_s": 0.0,
        }
        return Snapshots(
            given.pop("client", self.client),
            self.group,
            lambda n: PartitionTask(case, partition=n, partitions=1, definition=definition),
            **settings | given,
        )

    def records(self, count: int) -> list[tuple[Any, ...]]:
        """Events and outcomes, some of them, some twice."""
        found: list[tuple[Any, ...]] = []
        for _ in range(count):
            n = self.number = self.number + 1
            items = self.random.randint(1, 4)
            found.append(("event", f"e{n}", n * 20.0, items, self.random.random()))
            if n > 5 and n % 3:
                found.append(("outcome", f"e{n - 4}", n * 20.0 + 1, self.random.random()))
        return found


def advance(feed: Partition, records: list[tuple[Any, ...]]) -> list[bytes]:
    """Apply them and close the journal entry; gives every byte that was said."""
    before = len(feed.said)
    for kind, event_id, second, *rest in records:
        if kind == "event":
            feed.event(event_id, second, items=rest[0], weight=rest[1])
        else:
            feed.outcome(event_id, second, rest[0])
    feed.task.seal()
    return [out.raw.value for out in feed.said[before:]]


def on(task: PartitionTask, like: Partition) -> Partition:
    """A feed that goes on with another task."""
    feed = Partition(like.case)
    feed.task, feed.offsets = task, list(like.offsets)
    return feed


async def keep(store: Snapshots, task: PartitionTask) -> None:
    """Offer until it is written."""
    store._keepers[0].due_s = 0.0
    store.offer(0, task)
    await store.written()
    assert store.status(0)["error"] is None, store.status(0)


@pytest.fixture
def life(stack: Endpoints) -> Life:
    """With a fresh group on the real Redis."""
    return Life(stack.redis_url)


async def test_resumed_anywhere_it_says_the_same_bytes(life: Life) -> None:
    """Delta after delta; from each, another process goes on exactly as the uninterrupted one."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    for _ in range(12):
        advance(feed, life.records(20))
        await keep(store, feed.task)
        resumed = await life.store().load(0)
        assert (resumed.seq, resumed.next) == (feed.task.seq, feed.task.next)
        assert dump(resumed) == dump(feed.task)
        other = on(resumed, feed)
        following = life.records(15)
        assert advance(other, following) == advance(feed, following)
    header = opened(life.hash.head() or b"", KEY)
    assert len(header.ids) > 1, "no delta was ever written"


async def test_only_what_changed_is_written(life: Life) -> None:
    """A segment that nobody asked for keeps its part; ids go as a delta; all is of one entry."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(60))
    await keep(store, feed.task)
    before = opened(life.hash.head() or b"", KEY)
    feed.event("one more", 1_300.0, items=1)
    feed.task.seal()
    await keep(store, feed.task)
    after = opened(life.hash.head() or b"", KEY)
    same = [name for name, part in before.parts.items() if after.parts.get(name) == part]
    kept = {name for name in before.parts if name.startswith("slot/linear/")} & set(same)
    assert kept
    assert "ids/1/0" in same
    assert dict(after.ids)["ids/2/0"] == 1
    assert after.seq == 2


async def test_ids_are_written_anew_once_deltas_outweigh_them(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas do not grow without bound, and no field of Redis is left behind."""
    monkeypatch.setattr(parts, "DELTAS_MAX", 3)
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    for _ in range(9):
        advance(feed, life.records(10))
        await keep(store, feed.task)
        header = opened(life.hash.head() or b"", KEY)
        assert len(header.ids) <= 3
        assert {f"0:{name}".encode() for name in header.parts} | {b"head"} == set(
            life.client.hkeys(life.hash.key)
        )
    assert dump(await life.store().load(0)) == dump(feed.task)


async def test_a_flushed_redis_is_filled_again(life: Life) -> None:
    """FLUSHALL between two snapshots: told, the next one is whole, nothing is half there."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(10))
    await keep(store, feed.task)
    life.client.delete(life.hash.key)
    assert (await life.store().load(0)).step == 0
    advance(feed, life.records(10))
    store._keepers[0].due_s = 0.0
    store.offer(0, feed.task)
    await store.written()
    assert "lost" in store.status(0)["error"]
    await keep(store, feed.task)
    assert dump(await life.store().load(0)) == dump(feed.task)


async def test_a_zombie_does_not_overwrite_who_is_ahead(life: Life) -> None:
    """Compare-and-set: whoever is behind writes nothing, however often it tries."""
    zombie = life.store()
    feed = Partition(life.case)
    feed.task = await zombie.load(0)
    advance(feed, life.records(10))
    await keep(zombie, feed.task)
    owner = life.store()
    other = on(await owner.load(0), feed)
    rest = life.records(20)
    advance(other, rest[:10])
    advance(other, rest[10:])
    await keep(owner, other.task)
    head = life.hash.head()
    advance(feed, rest[:10])
    for _ in range(3):
        zombie._keepers[0].due_s = 0.0
        zombie.offer(0, feed.task)
        await zombie.written()
        assert "ahead" in zombie.status(0)["error"]
        assert life.hash.head() == head
    assert dump(await life.store().load(0)) == dump(other.task)


def _flipped(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


async def _kept(life: Life) -> Partition:
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(30))
    await keep(store, feed.task)
    return feed


@pytest.mark.parametrize("what", ["header", "part", "missing", "swapped", "cut"])
async def test_a_damaged_or_forged_snapshot_is_not_used(life: Life, what: str) -> None:
    """Any byte changed, any part gone or from elsewhere: told, and the log decides."""
    await _kept(life)
    key, client = life.hash.key, life.client
    if what == "header":
        client.hset(key, "head", _flipped(client.hget(key, "head")))
    elif what == "part":
        client.hset(key, "0:slot/linear", _flipped(client.hget(key, "0:slot/linear"), 40))
    elif what == "missing":
        client.hdel(key, "0:windows")
    elif what == "swapped":
        client.hset(key, "0:slot/linear", client.hget(key, "0:slot/tree"))
    else:
        client.hset(key, "0:ids/1/0", client.hget(key, "0:ids/1/0")[:-1])
    store = life.store()
    task = await store.load(0)
    assert (task.seq, task.step) == (0, 0)
    assert not task.ledger.entries
    assert "not used" in store.status(0)["recovered_from"]
    # What was not usable is replaced, and does not stand in the way for ever.
    again = on(task, Partition(life.case))
    advance(again, life.records(10))
    await keep(store, again.task)
    assert dump(await life.store().load(0)) == dump(again.task)


async def test_another_key_is_a_forgery(life: Life) -> None:
    """Signed by somebody else: nothing of it is unpickled."""
    await _kept(life)
    store = life.store(key=b"another key")
    assert (await store.load(0)).step == 0
    assert "signature" in store.status(0)["recovered_from"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("form", "0.0", "form"),
        ("definition", "d0", "definition is d0, not d1"),
        ("river", "0.1.0", "River is 0.1.0"),
        ("python", "2.7.18", "Python is 2.7"),
        ("use_case", "other", "use case is other"),
        ("partition", 3, "partition is 3"),
        ("partitions", 8, "number of partitions is 8"),
    ],
)
async def test_what_does_not_fit_is_said_and_left(
    life: Life, field: str, value: Any, said: str
) -> None:
    """Another format, definition, River, Python, use case or partition, each signed rightly."""
    await _kept(life)
    header = opened(life.hash.head() or b"", KEY)
    life.client.hset(life.hash.key, "head", sealed.sign(replace(header, **{field: value}), KEY))
    store = life.store()
    assert (await store.load(0)).step == 0
    assert said in store.status(0)["recovered_from"]


async def test_a_redis_that_is_down_is_told_and_nothing_else(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No snapshot, no exception, no waiting: the error is in the status."""
    monkeypatch.setattr("streams.snapshots.store.PATIENCE_S", 0.2)
    store = life.store(client=redis.Redis(port=1, socket_connect_timeout=0.2))
    feed = Partition(life.case)
    feed.task = await store.load(0)
    assert "does not answer" in store.status(0)["recovered_from"]
    advance(feed, life.records(10))
    store._keepers[0].due_s = 0.0
    began = time.perf_counter()
    store.offer(0, feed.task)
    assert time.perf_counter() - began < 0.2
    await store.written()
    assert "Error" in store.status(0)["error"]


async def test_a_redis_that_hangs_holds_nobody_up(life: Life) -> None:
    """It takes the connection and never answers; the loop turns meanwhile."""
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    store = life.store(client=redis.Redis(port=port, socket_timeout=0.5))
    feed = Partition(life.case)
    advance(feed, life.records(10))
    store.offer(0, feed.task)
    assert await longest_stall_s(store.written()) < 0.2
    assert "Timeout" in store.status(0)["error"]
    silent.close()


async def test_a_silent_redis_is_waited_for_once(life: Life) -> None:
    """Recovery goes on from the log after one time-out, all partitions at once, and those that
    follow a moment later do not wait at all.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = life.store(client=connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        began = time.perf_counter()
        tasks = await asyncio.gather(*(store.load(n) for n in range(4)))
        first_s = time.perf_counter() - began
        assert [task.step for task in tasks] == [0] * 4
        assert first_s < TIMEOUT_S + 1
        began = time.perf_counter()
        await store.load(4)
        assert time.perf_counter() - began < 0.5
        assert "Redis does not answer" in store.status(4)["recovered_from"]


async def test_a_whole_snapshot_replaces_an_older_one_at_once(life: Life) -> None:
    """A former owner wrote after this one had loaded: what follows is stored all the same."""
    former, store = life.store(), life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    late = on(await former.load(0), feed)
    some = life.records(5)
    advance(late, some)
    await keep(former, late.task)
    advance(feed, some)
    advance(feed, life.records(5))
    await keep(store, feed.task)
    assert dump(await life.store().load(0)) == dump(feed.task)


async def test_a_tree_as_deep_as_a_chain_is_kept(life: Life) -> None:
    """River's search-tree splitters nest one node a value of a feature that only grows: deeper
    than Python's usual limit. It is kept, and says the same again.
    """
    recursion = sys.getrecursionlimit()
    recurse_deeply()
    try:
        make = partial(tree.HoeffdingTreeRegressor, grace_period=10**6)
        store = life.store(use_case(models={"tree": make}, champion="tree"))
        task = await store.load(0)
        slot = next(iter(task.roster.slots()))
        for n in range(3_000):
            slot.learn({"nth": float(n)}, float(n), None)
        with pytest.raises(RecursionError):
            _pickled_under(1_000, slot.model)
        task.seal()
        await keep(store, task)
        again = next(iter((await store.load(0)).roster.slots()))
        assert again.trained_on == 3_000
        assert again.model.predict_one({"nth": 5.0}) == slot.model.predict_one({"nth": 5.0})
    finally:
        sys.setrecursionlimit(recursion)


def _pickled_under(limit: int, model: Any) -> bytes:
    deep = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        return pickle.dumps(model)
    finally:
        sys.setrecursionlimit(deep)


async def test_snapshots_cost_less_than_their_share(life: Life) -> None:
    """The interval is at least fifty times what the last ones took."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(30))
    await keep(store, feed.task)
    status = store.status(0)
    assert status["cost_s"] > 0
    assert status["interval_s"] >= round(status["cost_s"] / keeper.SHARE, 1) - 0.1


async def test_a_clean_stop_keeps_the_last_state(life: Life) -> None:
    """What was committed since the last snapshot is kept at the stop; a batch amid it is not."""
    store = life.store(interval_s=1_000.0)
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(10))
    store.offer(0, feed.task)
    assert life.hash.head() is None, "it was not due"
    await store.close()
    assert dump(await life.store().load(0)) == dump(feed.task)
    head = life.hash.head()
    advance(feed, life.records(10))
    store.offer(0, feed.task)
    feed.event("amid", 400.0)
    await store.close()
    assert life.hash.head() == head


async def test_a_child_that_dies_is_told_and_the_next_is_whole(life: Life) -> None:
    """kill -9 of the child: nothing is written, nothing hangs."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(10))
    store._keepers[0].due_s = 0.0
    feed.task.teller.told = Sleepy(feed.task.teller.told)
    store.offer(0, feed.task)
    os.kill(_newest_child(), signal.SIGKILL)
    await store.written()
    assert "ended with -9" in store.status(0)["error"]
    await keep(store, feed.task)
    assert dump(await life.store().load(0)) == dump(feed.task)


def _newest_child() -> int:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])


class Sleepy(set):  # type: ignore[type-arg]
    """Slow to be read, in a child."""

    def __iter__(self) -> Iterator[Any]:
        if os.getpid() != _PARENT:
            time.sleep(5)
        return super().__iter__()


_PARENT = os.getpid()


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


async def test_a_heavy_forest_makes_no_prediction_wait(life: Life) -> None:
    """40 MB of adaptive random forest, which take seconds to pickle: while it is written, and while
    it is loaded beside, the loop never stands still for 500 ms.
    """
    bound_pauses()
    draw = Random(1)
    model = forest.ARFRegressor(n_models=10, seed=1)
    for _ in range(2_500):
        x = {f"f{k}": draw.random() for k in range(8)}
        model.learn_one(x, x["f0"] * 10 + draw.random())
    data = pickle.dumps(model, 5)
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    slot = feed.task.roster.pooled["tree"]
    slot.model = [pickle.loads(data) for _ in range(40_000_000 // len(data))]
    gc.collect()  # the first full collection is what sets the forest aside
    for _ in range(2):
        slot.changed = True
        feed.task.journal.seq += 1
        store._keepers[0].due_s = 0.0
        began = time.process_time()
        store.offer(0, feed.task)
        assert time.process_time() - began < 0.5
        assert await longest_stall_s(store.written(), time.process_time) < 0.5
    status = store.status(0)
    assert status["error"] is None
    assert status["bytes"] > 30_000_000
    assert await longest_stall_s(life.store().load(0), time.process_time) < 0.5


async def test_the_archive_starts_where_redis_was_lost(life: Life, tmp_path: Path) -> None:
    """Written beside Redis, used when Redis is empty, exact; near gives the one not after."""
    archive = Archive(f"file://{tmp_path}", life.group, KEY, interval_s=0.0)
    store = life.store(archive=archive)
    feed = Partition(life.case)
    feed.task = await store.load(0)
    states = []
    for _ in range(3):
        advance(feed, life.records(10))
        await keep(store, feed.task)
        states.append(dump(feed.task))
    assert [kept.seq for kept in archive.list()] == [3, 2, 1]
    life.client.delete(life.hash.key)
    found = await life.store(archive=Archive(f"file://{tmp_path}", life.group, KEY)).load(0)
    assert dump(found) == states[2]
    fresh = PartitionTask(life.case, partition=0, partitions=1, definition="d1")
    assert dump(await archive.near(fresh, 2)) == states[1]
    assert await archive.near(fresh, 0) is fresh
    newest = archive.newest(0)
    assert newest is not None
    os.truncate(newest.path, 5_000)
    found = await life.store(archive=archive).load(0)
    assert dump(found) == states[1]
