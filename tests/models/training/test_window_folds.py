"""Windows over all partitions, counted once a process: the same floats, less counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features.window_declarations import over_events, state_of
from models.replay.backtest import Backtest
from models.spec.use_case import Freshness
from models.task.partition_task import PartitionTask
from models.training import window_folds
from models.training.window_batches import count
from models.training.window_folds import SharedWindows, WindowBatch, WindowPool
from tests.models.task.test_shared_learning import EACH, SHOPS, TURNS, flow_of
from tests.models.task.test_shared_windows import SHARING, STRAIGHT, recorded
from tests.support.ledger.shared_flow import SharedFlow
from tests.support.task_runs import FEW, Inputs, inputs

Counted = list[tuple[str, ...]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The batches that are counted, one entry each time."""
    batches: Counted = []

    def noted(states: Any, rows: Any, names: Any) -> None:
        batches.append(tuple(str(row) for row in rows))
        count(states, rows, names)

    monkeypatch.setattr("models.training.window_folds.count", noted)
    return batches


def _run(drawn: Inputs, turns: list[int], pool: WindowPool | None) -> SharedFlow:
    flow = flow_of(SHARING["hasty"], drawn, pool=pool)
    flow.run(turns)
    return flow


@given(
    drawn=inputs(SHOPS),
    turns=TURNS,
    cut=st.integers(0, 120),
    rows=st.sampled_from([(1_000, 25_000), (0, 10**9), (10**9, 0)]),
)
@FEW
def test_who_shares_a_fold_says_what_who_counts_alone_says(
    drawn: Inputs, turns: list[int], cut: int, rows: tuple[int, int]
) -> None:
    """Partitions at different batches, commands that set time back, tasks restored beside others:
    every output is the same to the byte, and so is every state; also where the chain is shortened
    all the time, in either way.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_folds, "ROWS_MIN", rows[0])
        patch.setattr(window_folds, "ALONG_ROWS", rows[1])
        alone, shared = _run(drawn, turns[:cut], None), _run(drawn, turns[:cut], WindowPool())
        resumed = shared.resumed()
        for flow in (alone, shared, resumed):
            flow.run(turns[cut:])
    for number in alone.tasks:
        expected = [o[:3] for o in alone.outputs[number]]
        assert [o[:3] for o in shared.outputs[number]] == expected
        after = [o[:3] for o in resumed.outputs[number]]
        assert after == expected[len(expected) - len(after) :]
    for number in range(alone.partitions):
        one, other = alone.tasks[number], shared.tasks[number]
        assert isinstance(one, PartitionTask)
        assert isinstance(other, PartitionTask)
        assert one.windows.token == other.windows.token


@pytest.mark.parametrize("partitions", [4, 16])
def test_a_batch_is_counted_about_twice_whatever_the_number_of_partitions(
    partitions: int, counted: Counted
) -> None:
    """Where all partitions have records, two states are enough."""
    run = Backtest(replace(STRAIGHT, freshness=EACH), partitions, "d")
    for kind, fields in recorded(160):
        run.feed(kind, fields)
    batches = set(counted)
    assert len(batches) > 200
    assert len(counted) <= 3 * len(batches)


def _members(pool: WindowPool, count: int) -> tuple[list[SharedWindows], list[dict[str, Any]]]:
    window = over_events(by="key", last=1e9).count()
    held: list[dict[str, Any]] = [{"all": state_of(window)} for _ in range(count)]
    return [SharedWindows(states, ("all",), "d", pool) for states in held], held


def _batch(number: int, rows: int = 10) -> WindowBatch:
    time = float(number)
    return WindowBatch(number, number, [(time, "all", f"k{n}", 1.0) for n in range(rows)], ("all",))


def test_partitions_that_meet_count_each_batch_once(counted: Counted) -> None:
    """One always reads first; then the others come to where it is."""
    members, held = _members(WindowPool(), 4)
    for number in range(1_000):
        for windows in members:
            windows.count(_batch(number))
            windows.settle()
    assert len(counted) < 1.2 * 1_000
    assert {states["all"].sums("k3", 0.0) for states in held} == {(1_000.0, 1_000.0)}


def test_partitions_that_never_meet_spread_out_what_is_counted_again(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch lets more than a few others be counted; the chain keeps its length."""
    monkeypatch.setattr(window_folds, "ALONG_ROWS", 500)
    pool = WindowPool()
    (one, other), held = _members(pool, 2)
    most = longest = 0
    for number in range(1_000):
        before = len(counted)
        one.count(_batch(number))
        one.settle()
        if number >= 5:
            other.count(_batch(number - 5))
            if number % 40 == 0:
                other.settle()
        if number > 200:
            most, longest = max(most, len(counted) - before), max(longest, len(pool._batches))
    assert most <= 50
    assert longest <= 60
    other.settle()
    assert held[1]["all"].sums("k3", 0.0) == (995.0, 995.0)


def test_one_partition_counts_each_batch_once(counted: Counted) -> None:
    """It has the states alone and changes them in place."""
    run = Backtest(replace(STRAIGHT, freshness=Freshness()), 1, "d")
    for kind, fields in recorded(60):
        run.feed(kind, fields)
    assert len(counted) == len(set(counted)) > 0


def test_states_that_were_set_back_are_nobody_elses() -> None:
    """Two partitions at one batch have one state, until one of them changes it."""
    pool, window = WindowPool(), over_events(by=(), last=60.0).count()
    held: list[dict[str, Any]] = [{"all": state_of(window)} for _ in range(2)]
    one, other = (SharedWindows(states, ("all",), "d", pool) for states in held)
    for number in range(5):
        for windows in (one, other):
            windows.count(WindowBatch(number, number, [(float(number), "all", (), 1.0)], ("all",)))
    for windows in (one, other):
        windows.settle()
    assert held[0]["all"] is held[1]["all"]
    assert one.token == other.token
    one.part()
    held[0]["all"].set_back(2.0)
    one.note("set back", 2.0)
    assert held[1]["all"].sums((), 62.5) == (2.0, 2.0)
    assert held[0]["all"].sums((), 62.5) == (0.0, 0.0)
    for windows in (one, other):
        windows.count(WindowBatch(5, 5, [(5.0, "all", (), 1.0)], ("all",)))
        windows.settle()
    assert held[1]["all"].sums((), 62.5) == (3.0, 3.0)
    assert held[0]["all"].sums((), 62.5) == (1.0, 1.0)
    assert one.token != other.token


def test_who_stands_still_does_not_hold_the_others() -> None:
    """The chain stays short; partitions that are far behind go on from where they were."""
    pool, window = WindowPool(), over_events(by=(), last=1e9).count()
    held: list[dict[str, Any]] = [{"all": state_of(window)} for _ in range(4)]
    members = [SharedWindows(states, ("all",), "d", pool) for states in held]
    batches = [WindowBatch(n, n, [(float(n), "all", (), 1.0)], ("all",)) for n in range(1_500)]
    for windows in members:
        windows.count(batches[0])
    for batch in batches[1:]:
        for windows in members[:2]:
            windows.count(batch)
            windows.settle()
    assert len(pool._batches) <= window_folds.CHAIN_MAX
    for windows, states in zip(members[2:], held[2:], strict=True):
        windows.settle()
        assert states["all"].sums((), 0.0) == (1.0, 1.0)
        for batch in batches[1:]:
            windows.count(batch)
        windows.settle()
    assert {states["all"].sums((), 0.0) for states in held} == {(1_500.0, 1_500.0)}
    assert len({windows.token for windows in members}) == 1
