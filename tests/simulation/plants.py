"""Bugs that are planted, to show that the simulation finds them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.state import parts_of
from models.task import PartitionTask
from streams.partition import Partition
from streams.recovery import Entry
from streams.resuming import Kept, Resuming
from streams.writer import Writer
from tests.simulation.store import Store


class Mortal(PartitionTask):
    """The real task, of a process that may die between two records."""

    def apply(self, taken: Any) -> Any:
        """As the real one."""
        self.reach("7 apply")
        return super().apply(taken)

    def reach(self, step: str) -> None:
        """Replaced by its process's."""


@dataclass(frozen=True)
class Plants:
    """Which classes a run is made of; the real ones unless a bug is planted."""

    task: type[Any] = Mortal
    store: type[Any] = Store
    writer: type[Any] = Writer
    partition: type[Any] = Partition
    resuming: type[Any] = Resuming


class _CommitsBeforeFlush(Writer):
    async def commit(self, outputs: Sequence[Any], entry: bytes | None) -> None:
        batches = self._batches(outputs)
        if entry is not None:
            batches.append(self._batch(_entry(entry)))
        async with self._failures():
            await self.producer.begin_transaction()
            for batch in batches:
                await self._send(batch)
            await self.producer.commit_transaction()


def _entry(value: bytes) -> Any:
    from streams.writer import _Entry

    return _Entry(value)


class _SnapshotsBeforeCommit(Partition):
    async def _write(self, writer: Any, entry: bytes | None) -> None:
        self.wiring.store.offer(self.number, self.task)  # type: ignore[arg-type]
        await super()._write(writer, entry)


class _ForgetsParkedInSnapshot(Store):
    def save(self, task: PartitionTask) -> bytes:
        parts = parts_of(task)
        if parts["early"]:
            parts["early"].popitem()
        return pickle.dumps((parts, dict(task.ledger.entries)))


class _ForgetsParkedInCore(Mortal):
    def apply(self, taken: Any) -> Any:
        outputs = super().apply(taken)
        if self.ledger.early and self.step % 5 == 0:
            self.ledger.early.popitem()
        return outputs


class _CommitsAgainUnseen(Resuming):
    async def _settled(self, kept: Kept, sealed: bytes, last: Any, reader: Any) -> Any:
        # The journal is not asked whether the batch in doubt is there.
        await self._commit(kept.outputs, sealed)
        self.kept = Kept(kept.task)
        return Entry.decode(sealed)


class _FoldsAnEntryFromItsBeginning(Mortal):
    @property
    def begun(self) -> int:
        return 0


PLANTED = {
    "commit before flush": Plants(writer=_CommitsBeforeFlush),
    "snapshot before commit": Plants(partition=_SnapshotsBeforeCommit),
    "forget one parked outcome in the snapshot": Plants(store=_ForgetsParkedInSnapshot),
    "forget one parked outcome in the core": Plants(task=_ForgetsParkedInCore),
    "commit a batch in doubt unseen": Plants(resuming=_CommitsAgainUnseen),
    "fold an entry anew that was broken off": Plants(task=_FoldsAnEntryFromItsBeginning),
}
"""Name → the bug."""
