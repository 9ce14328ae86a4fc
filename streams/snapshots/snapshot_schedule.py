"""The newest snapshot of one partition, and when the next is due."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.task.partition_task import PartitionTask
from streams.config.naming import title_of
from streams.snapshots.archive import Archive
from streams.snapshots.delta import Base
from streams.snapshots.signed_format import Header

log = logging.getLogger("riverrun.snapshots")

SHARE = 0.02
"""Snapshots take at most this share of the time, on all processors together, unless a fold would
take long.
"""

FOLD_CPU_S = 3.0
"""Once the worker's loop has used so much of a processor since a partition's newest snapshot, the
next is due before its interval. A fold uses less than that, for all its partitions together.
"""

FIRST_CPU_S = 0.5
"""The same, for the first after a recovery: what was folded is not to be folded again soon."""

LOAD_S = 5e-8
"""CPU of a byte of a snapshot, loaded or written, about."""

FOLD_SHARE = 0.1
"""For that, snapshots may take this share of what the loop uses."""

INTERVAL_S_MIN = 2.0
AGAIN_S = 10.0


@dataclass(slots=True)
class SnapshotSchedule:
    """One partition's. `head` is what is thought to be stored, `header` what it says if usable.

    `least_s` is the shortest time between two. All methods are called on the loop's thread, whose
    CPU time is the measure of what a fold would take.
    """

    least_s: float = INTERVAL_S_MIN
    head: bytes | None = None
    header: Header | None = None
    due_s: float = 0.0
    interval_s: float = 0.0
    cost_s: float = 0.0
    forked_s_max: float = 0.0
    seq: int | None = None
    written_s: float | None = None
    size: int = 0
    source: str = ""
    error: str | None = None
    archive_error: str | None = None
    archived_s: float | None = None
    looked_for: bool = False
    _offered: tuple[Callable[[], PartitionTask | None], int] | None = None
    _task: Callable[[], PartitionTask | None] = field(default=lambda: None)
    _fold_cpu_s: float = FOLD_CPU_S
    _stored_cpu_s: float = 0.0
    _taken_cpu_s: float = 0.0
    _again_s: float = 0.0

    def begin(self, task: PartitionTask, head: bytes | None, header: Header | None) -> None:
        """Track that task from now on, starting from the stored snapshot."""
        self.head, self.header = head, header
        self.due_s = time.monotonic() + max(self.interval_s, self.least_s)
        self._task = weakref.ref(task)
        self._stored_cpu_s = time.thread_time()
        self._fold_cpu_s = FOLD_CPU_S
        task.ledger.changed = set()
        if header is not None:
            cost_s = header.size * LOAD_S / FOLD_SHARE
            self._fold_cpu_s = min(FOLD_CPU_S, max(FIRST_CPU_S, cost_s))
            self.seq, self.written_s, self.size = header.seq, header.written_s, header.size

    def offered(self, task: PartitionTask) -> None:
        """Note that the task has just committed."""
        self._offered = weakref.ref(task), task.seq

    def release(self) -> None:
        """Release the task, which another worker has now."""
        self._offered = None

    def wait_s(self) -> float:
        """Return the seconds until the next is due; 0 or less: it is due."""
        now = time.monotonic()
        unkept_cpu_s = time.thread_time() - self._stored_cpu_s
        if unkept_cpu_s >= self._fold_cpu_s and now >= self._again_s:
            return 0.0
        return self.due_s - now

    def standing(self) -> PartitionTask | None:
        """Return the task, if it still stands at its last commit and that is not kept yet."""
        if self._offered is None:
            return None
        task, seq = self._offered[0](), self._offered[1]
        if task is None or task.seq != seq or task.journal.runs:
            return None
        return None if self.keeps(task) and self.header is not None and seq == self.seq else task

    def keeps(self, task: PartitionTask) -> bool:
        """Return whether its changes were tracked since the stored snapshot."""
        return self._task() is task

    def base(self, task: PartitionTask) -> Base | None:
        """Return the base that a snapshot can build on; None: everything is to be written."""
        if self.header is None or task.ledger.changed is None:
            return None
        return Base(self.header, frozenset(task.ledger.changed))

    def taken(self, task: PartitionTask) -> None:
        """Start tracking over: a child has the changes."""
        self._taken_cpu_s = time.thread_time()
        task.ledger.changed = set()
        for slot in task.router.slots():
            slot.changed = False

    def written(self, head: bytes, header: Header) -> None:
        """Note that it is stored."""
        self._stored_cpu_s = self._taken_cpu_s
        self.head, self.header, self.error = head, header, None
        self.seq, self.written_s, self.size = header.seq, header.written_s, header.size

    def failed(self, error: str, again_s: float) -> None:
        """Note that it is not stored: the next one, in at least `again_s`, writes all."""
        self.header, self.error = None, error
        self._again_s = time.monotonic() + again_s
        self.due_s = max(self.due_s, self._again_s)

    def tried(self, partition: int, archived: bool, error: str | None, archive: Archive) -> None:
        """Note that the archive has it, or why it has not; neither if it was not its turn."""
        if archived:
            if self.archive_error:
                log.warning("%s: snapshots are archived again", title_of(partition))
            self.archived_s, self.archive_error = archive.done(partition), None
        elif error is not None:
            archive.failed(partition)
            if self.archive_error != error:
                log.warning("%s: the snapshot is not archived: %s", title_of(partition), error)
            self.archive_error = error

    def paced(self, cost_s: float, all_s: float) -> None:
        """Set the next when this worker's snapshots, of `all_s`, are less than their share."""
        self.cost_s = cost_s
        self._fold_cpu_s = max(FOLD_CPU_S, all_s / FOLD_SHARE)
        self.interval_s = max(self.least_s, all_s / SHARE)
        self.due_s = time.monotonic() + self.interval_s

    def status(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "seq": self.seq,
            "age_s": None if self.written_s is None else round(time.time() - self.written_s, 1),
            "bytes": self.size,
            "interval_s": round(self.interval_s, 1),
            "cost_s": round(self.cost_s, 4),
            "held_up_ms_max": round(self.forked_s_max * 1000, 1),
            "recovered_from": self.source,
            "archived_at": self.archived_s,
            "error": self.error,
            "archive_error": self.archive_error,
        }
