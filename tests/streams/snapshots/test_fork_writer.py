"""Snapshots are written beside the loop, by a child that may die: deep ones, and heavy ones."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from river import forest, tree

from streams.config.gc_tuning import bound_pauses
from streams.embedded import Endpoints
from streams.snapshots import snapshot_schedule
from tests.support.one_partition import Partition, dump, use_case
from tests.support.snapshot_life import Life, advance, fed, keep, longest_stall_s, on

pytestmark = pytest.mark.integration


@pytest.fixture
def life(stack: Endpoints) -> Life:
    """With a fresh group on the real Redis."""
    return Life(stack.redis_url)


@pytest.mark.usefixtures("as_deep_as_a_worker")
async def test_a_tree_as_deep_as_a_chain_is_kept(life: Life) -> None:
    """River's search-tree splitters nest one node a value of a feature that only grows: deeper
    than Python's usual limit. It is kept, and says the same again.
    """
    make = partial(tree.HoeffdingTreeRegressor, grace_period=10**6)
    store = life.store(use_case(models={"tree": make}, champion="tree"))
    task = await store.load(0)
    slot = next(iter(task.router.slots()))
    for n in range(3_000):
        slot.learn({"nth": float(n)}, float(n), None)
    with pytest.raises(RecursionError):
        _pickled_under(1_000, slot.model)
    task.seal()
    await keep(store, task)
    again = next(iter((await store.load(0)).router.slots()))
    assert again.trained_on == 3_000
    assert again.model.predict_one({"nth": 5.0}) == slot.model.predict_one({"nth": 5.0})


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
    await fed(life, store, 30)
    status = store.status(0)
    assert status["cost_s"] > 0
    assert status["interval_s"] >= round(status["cost_s"] / snapshot_schedule.SHARE, 1) - 0.1


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
    feed.task.lifecycle_log.announced = Sleepy(feed.task.lifecycle_log.announced)
    store.offer(0, feed.task)
    os.kill(_newest_child(), signal.SIGKILL)
    await store.written()
    assert "ended with -9" in store.status(0)["error"]
    await keep(store, feed.task)
    assert dump(await life.store().load(0)) == dump(feed.task)


def _newest_child() -> int:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])


async def test_what_is_little_is_written_at_once(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a whole snapshot a small change needs no child, and is the same state; what cannot be
    written is told, and the next is whole, by a child. Without room for one, that is told, too.
    """
    store = life.store()
    feed = await fed(life, store, 30)
    asked: list[Any] = []

    def no_room(work: Any) -> Any:
        asked.append(work)
        raise OSError("none")

    monkeypatch.setattr("streams.snapshots.snapshot_store.fork", no_room)
    advance(feed, life.records(10))
    await keep(store, feed.task)
    assert not asked
    assert dump(await life.store().load(0)) == dump(feed.task)
    told, feed.task.lifecycle_log.announced = feed.task.lifecycle_log.announced, {lambda: None}  # type: ignore[arg-type]
    advance(feed, life.records(10))
    store._keepers[0].due_s = 0.0
    store.offer(0, feed.task)
    await store.written()
    assert "TypeError" in store.status(0)["error"]
    feed.task.lifecycle_log.announced = told
    store._keepers[0].due_s = 0.0
    store.offer(0, feed.task)
    assert len(asked) == 1
    assert "no process for it" in store.status(0)["error"]
    monkeypatch.undo()
    await keep(store, feed.task)
    assert dump(await life.store().load(0)) == dump(feed.task)


class Sleepy(set):  # type: ignore[type-arg]
    """Slow to be read, in a child."""

    def __iter__(self) -> Iterator[Any]:
        if os.getpid() != _PARENT:
            time.sleep(5)
        return super().__iter__()


_PARENT = os.getpid()


@pytest.mark.soak
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
    slot = feed.task.router.pooled["tree"]
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


async def test_a_whole_snapshot_is_put_in_place_at_once(life: Life) -> None:
    """Written beside in pieces of a request each, so that half a gigabyte needs no request that
    takes half a gigabyte's time; until it is in place the one before is read, and nothing is left.
    """
    store = life.store()
    task = await store.load(0)
    feed = on(task, life.feed)
    advance(feed, life.records(30))
    await keep(store, task)
    before = life.hash.head()
    written: list[bytes | None] = []

    class Watching:
        """The client, which looks at what readers see with each piece."""

        def hset(self, key: str, *args: Any) -> None:
            life.client.hset(key, *args)
            written.append(life.hash.head())

        def __getattr__(self, name: str) -> Any:
            return getattr(life.client, name)

    other = life.store(client=Watching())
    task = await other.fresh(0, "a whole one is to be written")
    feed = on(task, feed)
    advance(feed, life.records(30))
    await keep(other, task)
    assert len(written) > 2
    assert set(written) == {before}
    assert life.hash.head() not in (None, before)
    assert life.client.ttl(life.hash.key) == -1
    assert [*life.client.scan_iter(f"{life.hash.key}:*")] == []
    again = await life.store().load(0)
    assert dump(again) == dump(task)
