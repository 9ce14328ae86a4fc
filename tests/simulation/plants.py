"""Bugs that are planted, to show that the simulation finds them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.inputs.decoder import MODELS
from models.task.checkpoint import parts_of
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from schemas.headers import Headers
from schemas.topics import LEARNER
from streams.kafka.faust_transport import Batch
from streams.kafka.transactional_writer import TransactionalWriter
from streams.partition.intake import Intake
from streams.partition.recovery import KeptState, Recovery
from streams.partition.runner import PartitionRunner
from streams.replay.journal_fold import Entry
from tests.simulation.store import Store

POISON = b'"poison":true'
"""In a record on which `apply` fails."""


class Mortal(PartitionTask):
    """The real task, of a process that may die between two records."""

    def apply(self, taken: Any) -> Any:
        """As the real one, but for what is poisoned: there it fails with its state half changed."""
        self.reach("7 apply")
        if POISON in (taken.record.value or b""):
            self.counts["events"] += 1
            self.journal.take(taken.input, taken.record)
            raise ZeroDivisionError("poisoned")
        return super().apply(taken)

    def set_aside(self, index: int, record: Any, skip: Any) -> Any:
        """As the real one."""
        self.reach("7 apply")
        return super().set_aside(index, record, skip)

    def reach(self, step: str) -> None:
        """Replaced by its process's."""


class MortalLearner(LearnerTask):
    """The real learner, of a process that may die between two records."""

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
    learner: type[Any] = MortalLearner
    store: type[Any] = Store
    writer: type[Any] = TransactionalWriter
    partition: type[Any] = PartitionRunner
    resuming: type[Any] = Recovery
    intake: type[Any] = Intake


class _CommitsBeforeFlush(TransactionalWriter):
    async def commit(
        self, outputs: Sequence[Any], entry: bytes | None, headers: Headers = ()
    ) -> None:
        batches = self._batches(outputs)
        if entry is not None:
            batches.append(self._batch(_entry(entry, headers)))
        async with self._failures():
            await self.producer.begin_transaction()
            for batch in batches:
                await self._send(batch)
            await self.producer.commit_transaction()


def _entry(value: bytes, headers: Headers) -> Any:
    from streams.kafka.transactional_writer import _Entry

    return _Entry(value, headers=headers)


class _SnapshotsBeforeCommit(PartitionRunner):
    async def _write(self, writer: Any, entry: bytes | None, headers: Headers) -> None:
        self.wiring.store.offer(self.number, self.task)  # type: ignore[arg-type]
        await super()._write(writer, entry, headers)


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
            self.ledger.early.pop([*self.ledger.early][-1])
        return outputs


class _CommitsAgainUnseen(Recovery):
    async def _settled(self, kept_state: KeptState, sealed: bytes, last: Any, reader: Any) -> Any:
        # The journal is not asked whether the batch in doubt is there.
        await self._commit(kept_state.outputs, sealed)
        self.kept_state = KeptState(kept_state.task)
        return Entry.decode(sealed)


class _FoldsAnEntryFromItsBeginning(Mortal):
    @property
    def begun(self) -> int:
        return 0


class _TakesVersionsBeforeTheirTime(Mortal):
    def choose(self, times: Sequence[float | None]) -> int | None:
        return MODELS if any(t is not None for t in times[MODELS:]) else super().choose(times)


class _SkipsAVersion(Intake):
    def accept(self, batch: Batch) -> Any:
        if batch.topic.endswith(".models") and len(batch.records) > 2:
            batch = batch._replace(records=[*batch.records[:1], *batch.records[2:]])
        return super().accept(batch)


class _LearnsTheLastAgain(Recovery):
    async def _positions(self, task: Any, reader: Any) -> list[int]:
        positions = await super()._positions(task, reader)
        if self.number == LEARNER:
            positions = [max(0, at - 2) for at in positions]
        return positions


PLANTED = {
    "take a version before its time": Plants(task=_TakesVersionsBeforeTheirTime),
    "skip a version": Plants(intake=_SkipsAVersion),
    "learn an example again after a takeover": Plants(resuming=_LearnsTheLastAgain),
    "commit before flush": Plants(writer=_CommitsBeforeFlush),
    "snapshot before commit": Plants(partition=_SnapshotsBeforeCommit),
    "forget one parked outcome in the snapshot": Plants(store=_ForgetsParkedInSnapshot),
    "forget one parked outcome in the core": Plants(task=_ForgetsParkedInCore),
    "commit a batch in doubt unseen": Plants(resuming=_CommitsAgainUnseen),
    "fold an entry again that was broken off": Plants(task=_FoldsAnEntryFromItsBeginning),
}
"""Name → the bug."""
