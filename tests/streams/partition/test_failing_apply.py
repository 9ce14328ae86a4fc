"""A record on which `apply` fails: what comes before it is kept, and it is set aside on a word."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest

from streams.partition.runner import PartitionRunner, State
from streams.replay.journal_fold import Entry
from tests.support.memory import Memory
from tests.support.one_partition import command
from tests.support.runner_life import applied, at, check
from tests.support.virtual_time import run_virtually

BUG = b"bug"
"""What `Ledger.apply` fails on."""


def with_a_bug(events: int = 20, **put: Any) -> Memory:
    """Events with one amid that cannot be applied, at offset 7."""
    memory = Memory(inputs=4)
    for n in range(events):
        memory.put(0, BUG if n == 7 else at(n), **put)
    return memory


def skip(index: str, offset: int) -> bytes:
    """An operator's command."""
    asked = command("skip-1", "skip", record={"input": index, "offset": offset}, why="broken")
    return orjson.dumps(asked)


async def lived(
    memory: Memory, partition: PartitionRunner, until: Any, rng: random.Random | None = None
) -> None:
    """Run it until that holds, then stop it."""
    running = asyncio.create_task(partition.run())
    draws = rng or random.Random(1)
    for _ in range(20_000):
        memory.step(draws)
        await asyncio.sleep(0.001)
        if until() or running.done():
            break
    assert until()
    partition.stop()
    await running


def entries(memory: Memory) -> list[Entry]:
    """The journal."""
    return [Entry.decode(value) for value in memory.journal]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for commands at once."""
    monkeypatch.setattr("streams.partition.failing_record.LOOK_S", 0.01)


async def test_all_before_a_bad_record_is_committed_and_the_way_on_is_told() -> None:
    """The partition halts and its worker lives: seven events are answered, the record, the failure
    and the command are named, and `lifecycle` has the traceback.
    """
    memory = with_a_bug()
    partition = memory.partition()
    await lived(memory, partition, lambda: partition.state is State.HALTED)
    assert applied(memory) == 7
    assert partition.error is not None
    assert "riverrun skip USECASE 0 7 --why" in partition.error
    assert "events offset 7: RuntimeError: told to fail" in partition.error
    (told,) = (o for o in memory.outputs if o.kind == "lifecycle")
    assert told.value == b"halted at 0/7"


async def test_a_command_sets_it_aside_and_all_goes_on() -> None:
    """While it stands still; the record has its place in the journal, with who, why and how."""
    memory = with_a_bug()
    partition = memory.partition()
    running = asyncio.create_task(partition.run())
    rng = random.Random(2)
    while partition.state is not State.HALTED:
        memory.step(rng)
        await asyncio.sleep(0.001)
    memory.put(2, skip("events", 7))
    while applied(memory) < 21:
        memory.step(rng)
        await asyncio.sleep(0.001)
    assert partition.state is State.LIVE
    partition.stop()
    await running
    (aside,) = [one for entry in entries(memory) for one in entry.skipped or ()]
    assert (aside["input"], aside["offset"], aside["who"]) == (0, 7, "ann")
    assert aside["command_id"] == "skip-1"
    assert "told to fail" in aside["error"]
    assert "in apply" in aside["traceback"]
    await check(memory)


async def test_a_record_that_was_asked_for_before_the_start_is_not_even_tried() -> None:
    """As one must be that ends the process: no failure comes first, wherever the command is read
    from, and though records of other inputs come before it.
    """
    memory = with_a_bug()
    memory.put(2, b"{nonsense")
    memory.put(2, skip("events", 7))
    partition = memory.partition()
    await lived(memory, partition, lambda: applied(memory) == 22)
    assert partition._halting.suspect.failures == 0
    await check(memory)


@pytest.mark.parametrize("index", [1, 2, 3])
async def test_any_input_may_have_a_bad_record(index: int) -> None:
    """Outcomes, history, and the commands themselves, where the wish comes after what blocks it."""
    memory = Memory(inputs=4)
    for n in range(5):
        memory.put(0, at(n))
    memory.put(index, BUG)
    partition = memory.partition()
    running = asyncio.create_task(partition.run())
    rng = random.Random(3)
    while partition.state is not State.HALTED:
        memory.step(rng)
        await asyncio.sleep(0.001)
    memory.put(2, skip(("events", "outcomes", "commands", "history")[index], 0))
    while applied(memory) < 7:
        memory.step(rng)
        await asyncio.sleep(0.001)
    partition.stop()
    await running
    await check(memory)


@pytest.mark.parametrize("failures", [1, 2, 4])
async def test_a_declared_rule_sets_it_aside_after_so_many_failures(failures: int) -> None:
    """Nobody is needed, and the journal says that the rule did it."""
    memory = with_a_bug()
    partition = PartitionRunner(0, 1, memory, memory.wiring(skip_after=failures))
    memory.to = partition.accept
    await lived(memory, partition, lambda: applied(memory) == 20)
    (aside,) = [one for entry in entries(memory) for one in entry.skipped or ()]
    assert (aside["who"], aside["command_id"]) == ("rule", None)
    assert aside["why"] == f"`apply` failed {failures} times (skip_after={failures})"
    await check(memory)


async def test_a_report_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It only reads: all is answered, and the status says that no metrics are told."""
    memory = Memory(inputs=4)
    for n in range(9):
        memory.put(0, at(n))

    def fails(self: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(type(await memory.wiring().store.load(0)), "report", fails)
    partition = memory.partition()
    await lived(memory, partition, lambda: applied(memory) == 9)
    assert partition.status()["error"] == "metrics are not told: ZeroDivisionError"
    await check(memory)


async def test_a_failure_that_passes_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that was short is there the second time: the record is applied, nothing is lost."""
    memory, failed = Memory(inputs=4), []
    for n in range(9):
        memory.put(0, at(n))
    task = type(await memory.wiring().store.load(0))
    apply = task.apply

    def once(self: Any, taken: Any) -> Any:
        if taken.offset == 4 and not failed:
            failed.append(taken)
            raise MemoryError
        return apply(self, taken)

    monkeypatch.setattr(task, "apply", once)
    partition = memory.partition()
    await lived(memory, partition, lambda: applied(memory) == 9)
    assert failed
    assert not [entry for entry in entries(memory) if entry.skipped]
    await check(memory)


async def test_a_record_that_cannot_even_be_read_is_set_aside_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails while it is made the head of its input, amid a batch of others."""
    memory = with_a_bug()
    task = type(await memory.wiring().store.load(0))
    read = task.read

    def fails(self: Any, index: int, record: Any) -> Any:
        if record.value == BUG:
            raise RuntimeError("unreadable")
        return read(self, index, record)

    monkeypatch.setattr(task, "read", fails)
    partition = memory.partition()
    running = asyncio.create_task(partition.run())
    rng = random.Random(4)
    while partition.state is not State.HALTED:
        memory.step(rng)
        await asyncio.sleep(0.001)
    assert applied(memory) == 7
    memory.put(2, skip("events", 7))
    while applied(memory) < 21:
        memory.step(rng)
        await asyncio.sleep(0.001)
    partition.stop()
    await running
    await check(memory)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_whatever_fails_around_it_it_is_set_aside_once(seed: int) -> None:
    """Lost batches, failing commits and reads, and new owners: the fold of the journal is what was
    published, and every record has its place.
    """
    run_virtually(_survive(seed))


async def _survive(seed: int) -> None:
    rng = random.Random(seed)
    memory = Memory(4, lambda step: rng.random() < {"fetch": 0.1, "again": 0.2}.get(step, 0.03))
    for n in range(40):
        memory.put(rng.randrange(2), BUG if n in (11, 30) else at(n), gap=rng.choice((0, 0, 2)))
    bad = [(r.topic, r.offset) for log in memory.logs for r in log if r.value == BUG]
    rule, kept_state = rng.choice((0, 2)), None
    if not rule:
        for topic, offset in bad:
            memory.put(2, skip(("events", "outcomes")[int(topic[2])], offset))
    due = sum(map(len, memory.logs))
    for _ in range(40):
        partition = PartitionRunner(
            0, 1, memory, memory.wiring(skip_after=rule), kept_state=kept_state
        )
        memory.to = partition.accept
        running = asyncio.create_task(partition.run())
        for _ in range(rng.choice((50, 500, 20_000))):
            memory.step(rng)
            await asyncio.sleep(0.001)
            if applied(memory) == due:
                break
        partition.stop()
        await running
        kept_state = partition.kept_state
        if applied(memory) == due:
            break
    assert applied(memory) == due
    aside = [one for entry in entries(memory) for one in entry.skipped or ()]
    assert len(aside) == 2
    await check(memory)
