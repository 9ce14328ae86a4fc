"""When a partition's next snapshot is due (streams/snapshots/snapshot_schedule.py)."""

from __future__ import annotations

import time

import pytest

from models.task.partition_task import PartitionTask
from streams.snapshots.snapshot_schedule import AGAIN_S, FOLD_CPU_S, FOLD_SHARE, SnapshotSchedule
from tests.support.one_partition import use_case


class Clock:
    """This thread's CPU and the time, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cpu_s = self.now_s = 100.0
        monkeypatch.setattr(time, "thread_time", lambda: self.cpu_s)
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands still."""
    return Clock(monkeypatch)


@pytest.fixture
def task() -> PartitionTask:
    """A fresh one."""
    return PartitionTask(use_case(), partition=0, partitions=1, definition="d1")


def test_one_is_due_before_a_fold_takes_long(clock: Clock, task: PartitionTask) -> None:
    """Whatever the interval: as soon as a crash would cost a fold of that much CPU."""
    keeper = SnapshotSchedule(least_s=1_000.0)
    keeper.begin(task, None, None)
    clock.cpu_s += FOLD_CPU_S - 0.1
    assert keeper.wait_s() > 900
    clock.cpu_s += 0.2
    assert keeper.wait_s() <= 0


def test_what_was_folded_counts(clock: Clock, task: PartitionTask) -> None:
    """After a long recovery the next is due at once: a second crash does not fold it all again."""
    keeper = SnapshotSchedule(least_s=1_000.0)
    keeper.begin(task, None, None)  # as recovery does, before it folds
    clock.cpu_s += 60.0
    assert keeper.wait_s() <= 0


def test_snapshots_that_cost_much_come_less_often(clock: Clock, task: PartitionTask) -> None:
    """A forest whose pickle takes seconds is not pickled every three seconds."""
    keeper = SnapshotSchedule()
    keeper.begin(task, None, None)
    keeper.paced(4.0, 4.0)
    clock.cpu_s += 4.0 / FOLD_SHARE - 0.1
    assert keeper.wait_s() > 0
    clock.cpu_s += 0.2
    assert keeper.wait_s() <= 0


def test_one_that_failed_is_not_tried_at_once(clock: Clock, task: PartitionTask) -> None:
    """A Redis that is down is asked every ten seconds, however much there is to keep."""
    keeper = SnapshotSchedule()
    keeper.begin(task, None, None)
    clock.cpu_s += 60.0
    keeper.failed("down", AGAIN_S)
    assert keeper.wait_s() > AGAIN_S - 1
    clock.now_s += AGAIN_S
    assert keeper.wait_s() <= 0
