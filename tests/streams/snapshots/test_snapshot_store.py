from __future__ import annotations

import asyncio
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.task.partition_task import PartitionTask
from streams.embedded import Endpoints
from streams.snapshots import delta, signed_format
from streams.snapshots.archive import Archive
from streams.snapshots.redis_store import TIMEOUT_S, connect
from streams.snapshots.signed_format import Origin, opened
from tests.support.one_partition import Partition, dump
from tests.support.snapshot_life import KEY, Life, advance, fed, keep, longest_stall_s, on

pytestmark = pytest.mark.integration


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
    feed = await fed(life, store, 60)
    before = opened(life.hash.head() or b"", KEY)
    feed.event("one more", 1_300.0, items=1)
    feed.task.seal()
    await keep(store, feed.task)
    after = opened(life.hash.head() or b"", KEY)
    same = [name for name, part in before.parts.items() if after.parts.get(name) == part]
    unchanged = {name for name in before.parts if name.startswith("slot/linear/")} & set(same)
    assert unchanged
    assert "ids/1/0" in same
    assert dict(after.ids)["ids/2/0"] == 1
    assert after.seq == 2


async def test_ids_are_written_anew_once_deltas_outweigh_them(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deltas do not grow without bound, and no field of Redis is left behind."""
    monkeypatch.setattr(delta, "DELTAS_MAX", 3)
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
    feed = await fed(life, store, 10)
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
    return await fed(life, store, 30)


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
    ("field", "value", "message"),
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
    life: Life, field: str, value: Any, message: str
) -> None:
    """Another format, definition, River, Python, use case or partition, each signed rightly."""
    await _kept(life)
    header = opened(life.hash.head() or b"", KEY)
    life.client.hset(
        life.hash.key, "head", signed_format.sign(replace(header, **{field: value}), KEY)
    )
    store = life.store()
    assert (await store.load(0)).step == 0
    assert message in store.status(0)["recovered_from"]


async def test_a_redis_that_is_down_is_told_and_nothing_else(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No snapshot, no exception, no waiting: the error is in the status."""
    monkeypatch.setattr("streams.snapshots.redis_circuit_breaker.PATIENCE_S", 0.2)
    store = life.store(client=connect("redis://127.0.0.1:1/0"))
    feed = Partition(life.case)
    feed.task = await store.load(0)
    assert "does not answer" in store.status(0)["recovered_from"]
    advance(feed, life.records(10))
    store._keepers[0].due_s = 0.0
    began = time.perf_counter()
    store.offer(0, feed.task)
    assert time.perf_counter() - began < 2.0
    await store.written()
    assert "Error" in store.status(0)["error"]


async def test_a_redis_that_hangs_holds_nobody_up(life: Life) -> None:
    """It takes the connection and never answers; the loop turns meanwhile."""
    silent = socket.create_server(("127.0.0.1", 0))
    store = life.store(client=connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
    feed = Partition(life.case)
    advance(feed, life.records(10))
    store.offer(0, feed.task)
    # More than a busy machine holds it up, less than waiting for the answer would.
    assert await longest_stall_s(store.written()) < TIMEOUT_S / 2
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
        assert first_s < 2 * TIMEOUT_S, "one after another"
        began = time.perf_counter()
        await store.load(4)
        assert time.perf_counter() - began < TIMEOUT_S / 2
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


async def test_each_store_fails_on_its_own(life: Life, tmp_path: Path) -> None:
    """A full archive keeps no snapshot from Redis, leaves no file that was cut off, is told of, and
    is tried again.
    """
    archive = Archive(f"file://{tmp_path}", life.group, KEY, interval_s=0.0)
    store = life.store(archive=archive)
    feed = Partition(life.case)
    feed.task = await store.load(0)
    moved = archive._files.mv

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    archive._files.mv = full
    advance(feed, life.records(10))
    await keep(store, feed.task)
    status = store.status(0)
    assert (status["seq"], status["error"]) == (1, None)
    assert "No space left" in status["archive_error"]
    assert archive.list() == []
    assert not archive._files.find(str(tmp_path))
    archive._files.mv = moved
    advance(feed, life.records(10))
    await keep(store, feed.task)
    assert store.status(0)["archive_error"] is None
    assert [snapshot.seq for snapshot in archive.list()] == [2]


async def test_what_another_worker_has_is_not_written(life: Life) -> None:
    """However long somebody here still holds its task."""
    store = life.store()
    feed = Partition(life.case)
    feed.task = await store.load(0)
    advance(feed, life.records(10))
    await keep(store, feed.task)
    advance(feed, life.records(10))
    store.offer(0, feed.task)
    store.release(0)
    await store.close()
    assert store.status(0)["seq"] == 1


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
    assert [snapshot.seq for snapshot in archive.list()] == [3, 2, 1]
    life.client.delete(life.hash.key)
    loaded = await life.store(archive=Archive(f"file://{tmp_path}", life.group, KEY, 3_600.0)).load(
        0
    )
    assert dump(loaded) == states[2]
    fresh = PartitionTask(life.case, partition=0, partitions=1, definition="d1")
    assert dump(await archive.near(fresh, 2)) == states[1]
    assert await archive.near(fresh, 0) is fresh
    newest = archive.newest(0)
    assert newest is not None
    os.truncate(newest.path, 5_000)
    loaded = await life.store(archive=archive).load(0)
    assert dump(loaded) == states[1]


async def test_another_environments_snapshot_in_redis_is_refused_and_written_over(
    life: Life,
) -> None:
    """The same key, group and positions, another Kafka: told, folded again, and never ahead."""
    await fed(life, life.store(origin=lambda: Origin(life.group, "there")), 60)
    store = life.store(origin=lambda: Origin(life.group, "here"))
    feed = Partition(life.case)
    feed.task = await store.load(0)
    assert feed.task.seq == 0
    assert "Kafka cluster is there, not here" in store.status(0)["recovered_from"]
    advance(feed, life.records(5))
    await keep(store, feed.task)
    again = await life.store(origin=lambda: Origin(life.group, "here")).load(0)
    assert dump(again) == dump(feed.task)
