"""A partition's runner, on a Kafka in memory."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.partition.pace import Pace
from streams.partition.runner import State
from streams.partition.stalled_inputs import Stalled
from streams.replay.journal_fold import fold
from tests.support.ledger.ledger import Ledger
from tests.support.memory import Memory, MemoryLog
from tests.support.runner_life import applied, at, batch_of, check, drain, until_live
from tests.support.virtual_time import run_virtually


def test_batches_are_longer_where_partitions_take_turns() -> None:
    """Few partitions: 50 ms, and 250 with a thousand records waiting in all. 64 of them: as long as
    their commits are apart, and 2 s with a backlog, since each has its turn only now and then.
    """
    pace = Pace()
    assert [pace.batch_s(waiting, 1) for waiting in (0, 999, 1_000)] == [0.05, 0.05, 0.25]
    assert [pace.batch_s(waiting, 4) for waiting in (0, 249, 250)] == [0.05, 0.05, 0.25]
    assert [round(pace.batch_s(waiting, 64), 2) for waiting in (0, 99, 100)] == [0.64, 0.64, 1.92]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_fails_each_record_is_used_once(seed: int) -> None:
    """Lost and repeated batches, failing reads, commits that fail before or after they took
    effect: outputs and state are those of one fold over the journal, and nothing is missing.
    """
    run_virtually(_survive(seed))


async def _survive(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory(fails=lambda step: rng.random() < {"fetch": 0.1, "again": 0.2}.get(step, 0.03))
    count = 60
    for n in range(count):
        memory.put(rng.randrange(2), at(n), gap=rng.choice((0, 0, 0, 1, 3)))
    memory.put_gap(0, 2)
    task = None
    for _ in range(40):
        partition = memory.partition(kept_state=task)
        try:
            await drain(memory, partition, rng, count)
            task = partition.kept_state
        except Stalled:
            task = None  # the worker exits, and another one starts from the log
        if applied(memory) == count:
            break
    await check(memory)


async def test_a_second_runner_fences_the_first() -> None:
    """Two owners, as after a zombie woke: the one whose member is gone waits and does no harm."""
    memory = Memory()
    rng = random.Random(1)
    zombie = memory.partition()
    zombie.source = elsewhere = Memory()
    elsewhere.member = False
    sleeping = asyncio.create_task(zombie.run())
    await until_live(zombie)
    owner = memory.partition()
    owning = asyncio.create_task(owner.run())
    await until_live(owner)
    for n in range(20):
        memory.put(0, at(n))
    zombie.accept(batch_of(0, 20))
    memory.to = owner.accept
    for _ in range(300):
        memory.step(rng)
        await asyncio.sleep(0.001)
    assert (zombie.state, owner.state) == (State.WAITING, State.LIVE)
    for partition, running in ((zombie, sleeping), (owner, owning)):
        partition.stop()
        await running
    await check(memory)


async def test_without_membership_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a heartbeat nor a rebalance in its time: Stalled, and the worker exits."""
    monkeypatch.setattr("streams.partition.runner.MEMBERSHIP_S_MAX", 0.05)
    memory = Memory(fails=lambda step: step == "start")
    memory.member = False
    with pytest.raises(Stalled, match="neither a heartbeat nor a rebalance"):
        await memory.partition().run()


async def test_a_clean_stop_leaves_a_state_to_go_on_from() -> None:
    """What is parked equals a fold of the journal, and the next runner starts with it."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, at(n))
    rng = random.Random(3)
    first = memory.partition()
    await drain(memory, first, rng, 30)
    parked = first.kept_state.task
    assert isinstance(parked, Ledger)
    fresh = Ledger(2)
    await fold(fresh, MemoryLog(memory))
    assert (parked.hash, parked.seq, parked.next) == (fresh.hash, fresh.seq, fresh.next)
    memory.put(0, at(99))
    second = memory.partition(kept_state=first.kept_state)
    await drain(memory, second, rng, 31)
    assert second.task is parked
    await check(memory)
