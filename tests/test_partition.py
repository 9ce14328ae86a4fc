from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import Ledger
from memory import Fresh, Memory, MemoryLog, Record
from virtual_time import run_virtually

from streams.inbox import Inbox
from streams.intake import ApplyFailed, Intake, Watchdog
from streams.partition import Partition, Stalled, State
from streams.recovery import Diverged, Entry, check_position, fold
from streams.resuming import Kept
from streams.transport import Batch


def _at(time: float) -> bytes:
    return b'{"t": %f}' % time


def _batch(start: int, end: int, topic: str = "in0", step: int = 1) -> Batch:
    records = [Record(topic, 0, n, _at(n)) for n in range(start, end, step)]
    return Batch(topic, 0, start, end, end, records)


# The inbox.


def test_an_inbox_knows_a_lost_batch() -> None:
    """A batch that starts past what is expected is refused, and nothing of it is queued."""
    inbox = Inbox()
    inbox.reset(5)
    assert inbox.accept(_batch(5, 8))
    assert not inbox.accept(_batch(9, 12))
    assert (inbox.expected, len(inbox.records)) == (8, 3)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=40))
def test_an_inbox_gives_each_record_once_in_order(cuts: list[tuple[int, int]]) -> None:
    """Whatever overlaps, repeats or is lost: what comes out is a run without holes."""
    inbox = Inbox()
    inbox.reset(0)
    for start, length in cuts:
        inbox.accept(_batch(start, start + length))
    out = []
    while (record := inbox.pop()) is not None:
        out.append(record.offset)
    assert out == list(range(inbox.expected))
    assert inbox.bytes == 0


def test_an_inbox_passes_gaps_inside_a_batch() -> None:
    """A jump inside a batch is aborted or control records, and so is an empty batch."""
    inbox = Inbox()
    inbox.reset(0)
    assert inbox.accept(_batch(0, 10, step=3))
    assert inbox.accept(Batch("in0", 0, 10, 14, 14, []))
    assert inbox.expected == 14
    assert [r.offset for r in inbox.records] == [0, 3, 6, 9]


# Alignment.


class Ends:
    """What is known of the inputs' ends."""

    def __init__(self, *stable: int | None) -> None:
        self.known = stable

    def stable(self, tp: object) -> int | None:
        """By the topic's number."""
        return self.known[int(str(tp.topic)[2:])]  # type: ignore[attr-defined]


def _intake(ends: Ends, wait_s: float = 0.5) -> tuple[Intake, Ledger]:
    from models.alignment import choose

    intake = Intake(
        0,
        ["in0", "in1"],
        ends,
        choose=choose,
        aligned=(0, 1),
        alignment_wait_s=wait_s,
        clock=lambda: 0.0,
    )
    task = Ledger(2)
    intake.reset(task, [0, 0])
    return intake, task


def test_an_input_that_may_surprise_holds_the_others_back() -> None:
    """While outcomes are known to lie on the topic and have not come, no event is taken."""
    intake, task = _intake(Ends(3, 2))
    intake.accept(_batch(0, 3))
    assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.1) == pytest.approx(0.4)
    intake.accept(_batch(0, 2, "in1"))
    assert intake.take(100, 1.0) == 5
    assert task.late == 0


def test_an_input_at_its_end_holds_nobody_back() -> None:
    """Known to be at its end: not a moment is lost."""
    intake, task = _intake(Ends(3, 0))
    intake.accept(_batch(0, 3))
    assert intake.take(100, 1.0) == 3
    assert task.step == 3


def test_the_wait_for_an_input_ends() -> None:
    """After alignment_wait the others go on, until that input has something again."""
    intake, _ = _intake(Ends(3, None))
    intake.accept(_batch(0, 3))
    assert intake.blocked_s(0.0) == float("inf")
    assert intake.take(100, 1.0) == 0
    assert intake.blocked_s(0.6) == 0.0


def test_an_empty_batch_tells_the_end() -> None:
    """Trailing control records move an input to its end although it gives no record."""
    intake, task = _intake(Ends(3, 4))
    intake.accept(_batch(0, 3))
    intake.accept(Batch("in1", 0, 0, 4, 4, []))
    assert intake.take(100, 1.0) == 3
    assert task.step == 3


def test_a_watchdog_seeks_then_gives_up() -> None:
    """Fetched elsewhere than expected, idle for 3 s: lost once, stalled the second time."""
    intake, _ = _intake(Ends(9, 9))
    watchdog = Watchdog(intake, stall_s=3)
    assert watchdog.look({0: 5}, now=0.0) is None
    assert not intake.lost
    assert watchdog.look({0: 5}, now=3.1) is None
    assert intake.lost == {0}
    intake.take_lost()
    watchdog.look({0: 5}, now=4.0)
    assert "fetched at 5" in str(watchdog.look({0: 5}, now=7.1))


def test_a_watchdog_is_not_disturbed_by_batches_on_their_way() -> None:
    """Under load the two positions differ at every look: not a stall while something comes."""
    intake, _ = _intake(Ends(99, 99))
    watchdog = Watchdog(intake, stall_s=3)
    for second in range(10):
        assert watchdog.look({0: intake.inboxes[0].expected + 5}, now=float(second)) is None
        intake.inboxes[0].expected += 5
    assert not intake.lost


# The runner, on a Kafka in memory.


async def _drain(memory: Memory, partition: Partition, rng: random.Random, count: int) -> None:
    running = asyncio.create_task(partition.run())
    try:
        for _ in range(20_000):
            memory.step(rng)
            if rng.random() < 0.02:
                partition.watch()
            await asyncio.sleep(0.001)
            if _applied(memory) == count or running.done():
                break
        partition.stop()
        await running
    except Stalled:
        running.cancel()
        raise


def _applied(memory: Memory) -> int:
    from streams.recovery import Entry

    return Entry.decode(memory.journal[-1]).step if memory.journal else 0


async def _check(memory: Memory) -> None:
    memory.fails = lambda step: False
    fresh, outputs = Ledger(len(memory.topics)), []
    await fold(fresh, MemoryLog(memory), on_outputs=outputs.extend)
    published = [o.value for o in memory.outputs if o.kind != "metrics"]
    assert published == [o.value for o in outputs]
    assert fresh.step == sum(len(log) for log in memory.logs)


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
        memory.put(rng.randrange(2), _at(n), gap=rng.choice((0, 0, 0, 1, 3)))
    memory.put_gap(0, 2)
    task = None
    for _ in range(40):
        partition = memory.partition(kept=task)
        try:
            await _drain(memory, partition, rng, count)
            task = partition.kept
        except Stalled:
            task = None  # the worker exits, and another one starts from the log
        if _applied(memory) == count:
            break
    await _check(memory)


async def test_a_second_runner_fences_the_first() -> None:
    """Two owners, as after a zombie woke: the one whose member is gone waits and does no harm."""
    memory = Memory()
    rng = random.Random(1)
    zombie = memory.partition()
    zombie.source = elsewhere = Memory()
    elsewhere.member = False
    sleeping = asyncio.create_task(zombie.run())
    await _until_live(zombie)
    owner = memory.partition()
    owning = asyncio.create_task(owner.run())
    await _until_live(owner)
    for n in range(20):
        memory.put(0, _at(n))
    zombie.accept(_batch(0, 20))
    memory.to = owner.accept
    for _ in range(300):
        memory.step(rng)
        await asyncio.sleep(0.001)
    assert (zombie.state, owner.state) == (State.WAITING, State.LIVE)
    for partition, running in ((zombie, sleeping), (owner, owning)):
        partition.stop()
        await running
    await _check(memory)


async def _until_live(partition: Partition) -> None:
    for _ in range(1_000):
        await asyncio.sleep(0)
        if partition.state is State.LIVE:
            return
    raise AssertionError(partition.state)


async def test_a_bug_in_apply_names_its_record() -> None:
    """The runner ends with the topic and offset, and nothing of the batch is committed."""
    memory = Memory()
    memory.put(0, _at(1))
    memory.put(0, b"bug", gap=4)
    partition = memory.partition()
    with pytest.raises(ApplyFailed, match=r"in0\[0\] offset 5"):
        await _drain(memory, partition, random.Random(0), 2)
    assert partition.state is State.STOPPED


async def test_without_membership_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a heartbeat nor a rebalance in its time: Stalled, and the worker exits."""
    monkeypatch.setattr("streams.partition.MEMBERSHIP_S_MAX", 0.05)
    memory = Memory(fails=lambda step: step == "start")
    memory.member = False
    with pytest.raises(Stalled, match="neither a heartbeat nor a rebalance"):
        await memory.partition().run()


async def test_a_clean_stop_leaves_a_state_to_go_on_from() -> None:
    """What is parked equals a fold of the journal, and the next runner starts with it."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, _at(n))
    rng = random.Random(3)
    first = memory.partition()
    await _drain(memory, first, rng, 30)
    parked = first.kept.task
    assert isinstance(parked, Ledger)
    fresh = Ledger(2)
    await fold(fresh, MemoryLog(memory))
    assert (parked.hash, parked.seq, parked.next) == (fresh.hash, fresh.seq, fresh.next)
    memory.put(0, _at(99))
    second = memory.partition(kept=first.kept)
    await _drain(memory, second, rng, 31)
    assert second.task is parked
    await _check(memory)


# Recovery.


async def test_a_fold_that_differs_is_refused() -> None:
    """Another record where the journal's was, or a part of the journal gone: Diverged."""
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, _at(n))
    await _drain(memory, memory.partition(), random.Random(3), 30)
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
        memory.put(n % 2, _at(n))
    rng = random.Random(3)
    await _drain(memory, memory.partition(), rng, 30)
    stranger = Ledger(2)
    stranger.seq = stranger.step = 10_000
    memory.put(0, _at(99))
    await _drain(memory, memory.partition(kept=Kept(stranger)), rng, 31)
    await _check(memory)


async def test_a_journal_that_grows_meanwhile_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next owner commits after the end was read (simulation, seed 100061): not a divergence,
    which would end the worker for good; what is live then is fenced at its first commit.
    """
    memory = Memory()
    for n in range(30):
        memory.put(n % 2, _at(n))
    await _drain(memory, memory.partition(), random.Random(3), 30)
    real, late = MemoryLog.last, iter((memory.journal[-2],))

    async def last(log: MemoryLog) -> Entry | None:
        value = next(late, None)
        return await real(log) if value is None else Entry.decode(value)

    monkeypatch.setattr(MemoryLog, "last", last)
    partition = memory.partition()
    running = asyncio.create_task(partition.run())
    await _until_live(partition)
    partition.stop()
    await running


async def test_a_stop_breaks_a_recovery_off() -> None:
    """Whatever it waits for, here a snapshot store that never answers: the rebalance goes on."""

    class Silent(Fresh):
        async def load(self, partition: int, at_hand: Ledger | None = None) -> Ledger:
            await asyncio.Event().wait()
            raise AssertionError

    memory = Memory()
    partition = Partition(0, 1, memory, memory.wiring(store=Silent(2)))
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
        """Always anew."""
        assert at_hand is None
        self.loaded.append(Counting())
        return self.loaded[-1]


async def test_a_recovery_broken_off_goes_on_from_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often a rebalance or a failing read breaks it off, amid an entry too: each record is
    folded once, and the state is that of one fold.
    """
    monkeypatch.setattr("streams.recovery.BREATH_S", -1.0)  # it may be broken off at any record
    rng = random.Random(7)
    memory = Memory()
    for n in range(60):
        memory.put(rng.randrange(2), _at(n))
    await _drain(memory, memory.partition(), rng, 60)
    memory.fails = lambda step: step == "read" and rng.random() < 0.1
    store, kept, broken_off = Loads(), None, 0
    while not kept or kept.task.step < 60:
        partition = Partition(0, 1, memory, memory.wiring(store=store), kept=kept)
        running = asyncio.create_task(partition.run())
        for _ in range(rng.randint(1, 40)):
            await asyncio.sleep(0)
        broken_off += partition.state is State.RECOVERING
        partition.stop()
        await running
        kept = partition.kept
    assert broken_off > 3
    assert len(store.loaded) == 1
    assert store.loaded[0].applied == 60
    fresh = Ledger(2)
    memory.fails = lambda step: False
    await fold(fresh, MemoryLog(memory))
    assert (kept.task.hash, kept.task.next) == (fresh.hash, fresh.next)  # type: ignore[attr-defined]


async def test_a_long_fold_is_kept_halfway_and_goes_on_from_what_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After each entry the state may be snapshotted; and where the store was silent at first, it is
    looked at again: what it has by then spares the fold up to there.
    """
    monkeypatch.setattr("streams.resuming.LOOK_S", -1.0)
    monkeypatch.setattr("streams.resuming.FAR_RECORDS", 20)
    rng, memory, ahead = random.Random(9), Memory(), Counting()
    for n in range(120):
        memory.put(rng.randrange(2), _at(n))
    await _drain(memory, memory.partition(), rng, 120)
    entries = len(memory.journal)
    await fold(ahead, MemoryLog(memory), until=entries // 2)
    folded, offered = ahead.applied, []

    class Silent(Loads):
        async def load(self, partition: int, at_hand: Any = None) -> Any:
            return await super().load(partition) if at_hand is None else ahead

        def offer(self, partition: int, task: Any) -> None:
            offered.append((task, task.seq))

    store = Silent()
    partition = Partition(0, 1, memory, memory.wiring(store=store))
    running = asyncio.create_task(partition.run())
    await _until_live(partition)
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
        memory.put(n % 2, _at(n))
    store = Loads()
    partition = Partition(0, 1, memory, memory.wiring(store=store))
    memory.to = partition.accept
    await _drain(memory, partition, rng, 60)
    assert left[0] < 0
    assert [task.applied for task in store.loaded] == [60]
    assert partition.measures.recoveries == 2
    assert partition.measures.records == 60
    await _check(memory)


async def test_a_batch_in_doubt_is_left_where_another_has_gone_on() -> None:
    """Its owner was fenced, and the next one took the same records otherwise: what the journal has
    is folded from a state of the store, and the batch is not committed.
    """
    memory, rng = Memory(), random.Random(5)
    for n in range(20):
        memory.put(n % 2, _at(n))
    first = memory.partition()
    await _drain(memory, first, rng, 20)
    for n in range(20, 30):
        memory.put(n % 2, _at(n))
    assert first.kept is not None
    doubted = first.kept.task
    outputs = [
        out for n in range(3) for out in doubted.apply(doubted.read(0, memory.logs[0][10 + n]))
    ]
    kept = Kept(doubted, outputs, doubted.seal())
    second = memory.partition()
    await _drain(memory, second, rng, 30)
    third = Partition(0, 1, memory, memory.wiring(store=(store := Loads())), kept=kept)
    running = asyncio.create_task(third.run())
    await _until_live(third)
    third.stop()
    await running
    assert third.task is store.loaded[0]
    await _check(memory)


async def test_a_state_ahead_of_the_journal_is_refused() -> None:
    """A snapshot of another history must not be gone on from."""
    task = Ledger(2)
    task.seq = 3
    with pytest.raises(Diverged):
        check_position(task, None)
    with suppress(Diverged):
        check_position(Ledger(2), None)
