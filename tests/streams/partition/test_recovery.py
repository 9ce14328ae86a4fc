"""How a runner comes from the state at hand to the one at the journal's end."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from streams.partition.recovery import KeptState
from streams.partition.runner import PartitionRunner, State
from streams.replay.journal_fold import Diverged, Entry, check_position, fold
from tests.support.ledger.ledger import Ledger
from tests.support.memory import Fresh, Memory, MemoryLog
from tests.support.runner_life import at, check, drain, until_live


async def test_a_fold_that_differs_is_refused() -> None:
    """Another record where the journal's was, or a part of the journal gone: Diverged."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, at(n))
    await drain(memory, memory.partition(), random.Random(3), 30)
    half = Memory()
    half.logs, half.ends, half.journal = memory.logs, memory.ends, memory.journal[2:]
    with pytest.raises(Diverged, match="a part of it is gone"):
        await fold(Ledger(2), MemoryLog(half))
    half.journal = memory.journal
    half.logs = [memory.logs[0][:3] + memory.logs[0][4:], memory.logs[1]]
    with pytest.raises(Diverged, match="when folded again"):
        await fold(Ledger(2), MemoryLog(half))


async def test_a_snapshot_that_does_not_fit_is_left_for_the_log() -> None:
    """A state of another history is never half used: said so, then rebuilt from the log."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, at(n))
    rng = random.Random(3)
    await drain(memory, memory.partition(), rng, 30)
    stranger = Ledger(2)
    stranger.seq = stranger.step = 10_000
    memory.put(0, at(99))
    await drain(memory, memory.partition(kept_state=KeptState(stranger)), rng, 31)
    await check(memory)


async def test_a_journal_that_grows_meanwhile_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next owner commits after the end was read (simulation, seed 100061): not a divergence,
    which would end the worker for good; what is live then is fenced at its first commit.
    """
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, at(n))
    await drain(memory, memory.partition(), random.Random(3), 30)
    real, late = MemoryLog.last, iter((memory.journal[-2],))

    async def last(log: MemoryLog) -> Entry | None:
        value = next(late, None)
        return await real(log) if value is None else Entry.decode(value)

    monkeypatch.setattr(MemoryLog, "last", last)
    partition = memory.partition()
    running = asyncio.create_task(partition.run())
    await until_live(partition)
    partition.stop()
    await running


async def test_a_stop_breaks_a_recovery_off() -> None:
    """Whatever it waits for, here a snapshot store that never answers: the rebalance goes on."""

    class Silent(Fresh):
        async def load(self, partition: int, at_hand: Ledger | None = None) -> Ledger:
            await asyncio.Event().wait()
            raise AssertionError

    memory = Memory()
    partition = PartitionRunner(0, 1, memory, memory.wiring(store=Silent(2)))
    running = asyncio.create_task(partition.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert partition.state is State.RECOVERING
    partition.stop()
    async with asyncio.timeout(1):
        await running
    assert (partition.state, partition.task) == (State.STOPPED, None)


class Counting(Ledger):
    """Counts what it is made to apply."""

    def __init__(self, inputs: int = 2) -> None:
        super().__init__(inputs)
        self.applied = 0

    def apply(self, taken: Any) -> Any:
        """As a ledger."""
        self.applied += 1
        return super().apply(taken)


class Loads(Fresh):
    """A store whose states are counted."""

    def __init__(self) -> None:
        super().__init__(2)
        self.loaded: list[Counting] = []

    async def load(self, partition: int, at_hand: Any = None) -> Any:
        """Always again."""
        assert at_hand is None
        self.loaded.append(Counting())
        return self.loaded[-1]


async def test_a_recovery_broken_off_goes_on_from_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often a rebalance or a failing read breaks it off, amid an entry too: each record is
    folded once, and the state is that of one fold.
    """
    monkeypatch.setattr(
        "streams.replay.journal_fold.BREATH_S", -1.0
    )  # it may be broken off at any record
    rng = random.Random(7)
    memory = Memory()
    for n in range(60):
        memory.put(rng.randrange(2), at(n))
    await drain(memory, memory.partition(), rng, 60)
    memory.fails = lambda step: step == "read" and rng.random() < 0.1
    store, kept_state, broken_off = Loads(), None, 0
    while not kept_state or kept_state.task.step < 60:
        partition = PartitionRunner(0, 1, memory, memory.wiring(store=store), kept_state=kept_state)
        running = asyncio.create_task(partition.run())
        for _ in range(rng.randint(1, 40)):
            await asyncio.sleep(0)
        broken_off += partition.state is State.RECOVERING
        partition.stop()
        await running
        kept_state = partition.kept_state
    assert broken_off > 3
    assert len(store.loaded) == 1
    assert store.loaded[0].applied == 60
    fresh = Ledger(2)
    memory.fails = lambda step: False
    await fold(fresh, MemoryLog(memory))
    assert (kept_state.task.hash, kept_state.task.next) == (fresh.hash, fresh.next)  # type: ignore[attr-defined]


async def test_a_long_fold_is_kept_halfway_and_goes_on_from_what_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each entry the state may be snapshotted; and where the store was silent at first, it is
    looked at again: what it has by then spares the fold up to there.
    """
    monkeypatch.setattr("streams.partition.recovery.LOOK_S", -1.0)
    monkeypatch.setattr("streams.partition.recovery.FAR_RECORDS", 20)
    rng, memory, ahead = random.Random(9), Memory(), Counting()
    for n in range(120):
        memory.put(rng.randrange(2), at(n))
    await drain(memory, memory.partition(), rng, 120)
    entries = len(memory.journal)
    await fold(ahead, MemoryLog(memory), until=entries // 2)
    folded, offered = ahead.applied, []

    class Silent(Loads):
        async def load(self, partition: int, at_hand: Any = None) -> Any:
            return await super().load(partition) if at_hand is None else ahead

        def offer(self, partition: int, task: Any) -> None:
            offered.append((task, task.seq))

    store = Silent()
    partition = PartitionRunner(0, 1, memory, memory.wiring(store=store))
    running = asyncio.create_task(partition.run())
    await until_live(partition)
    partition.stop()
    await running
    (first,) = store.loaded
    assert 0 < first.applied < 20
    assert ahead.applied - folded == 120 - folded
    assert offered == [(first, 1), *((ahead, n) for n in range(entries // 2 + 1, entries + 1))]
    fresh = Ledger(2)
    await fold(fresh, MemoryLog(memory))
    assert (ahead.hash, ahead.next) == (fresh.hash, fresh.next)


@pytest.mark.parametrize("step", ["before", "after"])
async def test_a_commit_that_failed_costs_no_fold(step: str) -> None:
    """Whether it took effect or not: the state at hand is used again, nothing is applied twice."""
    memory, rng, left = Memory(), random.Random(5), [3]

    def fails(at: str) -> bool:
        left[0] -= at == step
        return at == step and left[0] == 0

    memory.fails = fails
    for n in range(60):
        memory.put(n % 2, at(n))
    store = Loads()
    partition = PartitionRunner(0, 1, memory, memory.wiring(store=store))
    memory.to = partition.accept
    await drain(memory, partition, rng, 60)
    assert left[0] < 0
    assert [task.applied for task in store.loaded] == [60]
    assert partition.measures.recoveries == 2
    assert partition.measures.records == 60
    await check(memory)


async def test_a_batch_in_doubt_is_left_where_another_has_gone_on() -> None:
    """Its owner was fenced, and the next one took the same records otherwise: what the journal has
    is folded from a state of the store, and the batch is not committed.
    """
    memory, rng = Memory(), random.Random(5)
    for n in range(20):
        memory.put(n % 2, at(n))
    first = memory.partition()
    await drain(memory, first, rng, 20)
    for n in range(20, 30):
        memory.put(n % 2, at(n))
    assert first.kept_state is not None
    doubted = first.kept_state.task
    outputs = [
        out for n in range(3) for out in doubted.apply(doubted.read(0, memory.logs[0][10 + n]))
    ]
    kept_state = KeptState(doubted, outputs, doubted.seal())
    second = memory.partition()
    await drain(memory, second, rng, 30)
    third = PartitionRunner(
        0, 1, memory, memory.wiring(store=(store := Loads())), kept_state=kept_state
    )
    running = asyncio.create_task(third.run())
    await until_live(third)
    third.stop()
    await running
    assert third.task is store.loaded[0]
    await check(memory)


async def test_a_state_ahead_of_the_journal_is_refused() -> None:
    """A snapshot of another history must not be gone on from."""
    task = Ledger(2)
    task.seq = 3
    with pytest.raises(Diverged):
        check_position(task, None)
    with suppress(Diverged):
        check_position(Ledger(2), None)


async def test_a_state_of_another_journal_is_left_for_the_log() -> None:
    """At the same entry, step and offsets, made of other records: its last entry tells."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, at(n))
    rng = random.Random(3)
    await drain(memory, memory.partition(), rng, 30)

    class Foreign(Fresh):
        """Gives a state that looks as if it fitted."""

        because = ""

        async def load(self, partition: int, at_hand: Ledger | None = None) -> Ledger:
            ledger = Ledger(2)
            await fold(ledger, MemoryLog(memory))
            ledger.hash, ledger.sealed = b"another's", "ab" * 16
            return ledger

        async def fresh(self, partition: int, because: str) -> Ledger:
            Foreign.because = because
            return Ledger(2)

    memory.put(0, at(99))
    partition = PartitionRunner(0, 1, memory, memory.wiring(store=Foreign(2)))
    memory.to = partition.accept
    await drain(memory, partition, rng, 31)
    await check(memory)
    assert "of another journal" in Foreign.because
