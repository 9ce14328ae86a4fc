"""What any task is to those who drive it: a fold of its inputs, in the order that a journal holds.

Recovery, the runner, snapshots and the simulation know no more of a task than this. There are two:
the partition task, and the learner of the models that partitions share.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import orjson

from models.inputs.decoder import DecodedRecord, Record
from models.inputs.journal import Journal, digest_of
from models.inputs.skipped_records import SUBJECT, InputOffset, Skip, Skips
from models.outputs.lifecycle_log import LifecycleLog
from models.outputs.output_records import Output, Publisher
from models.serving.model_router import ModelRouter
from models.spec.use_case import UseCase
from models.task.model_restore import ModelRestore
from schemas.commands import Command
from schemas.errors import Rejected, Skipped

Inputs = tuple[tuple[str, int], ...]
"""Of each input, in the journal's numbering: its kind, and its Kafka partition."""


class Commands(Protocol):
    """What carries out a task's commands."""

    def apply_command(self, command: Command, out: list[Output]) -> None:
        """Carry out a command; raises `Rejected` for one that cannot be."""


class JournaledTask(ABC):
    """A deterministic state machine with a journal. What it is made of, its subclass makes."""

    use_case: UseCase
    partition: int
    partitions: int
    definition: str
    inputs: Inputs
    counts: dict[str, int]
    journal: Journal
    skips: Skips
    publish: Publisher
    lifecycle_log: LifecycleLog
    restoring: ModelRestore
    router: ModelRouter
    _commanding: Commands
    sealed: str

    @property
    def seq(self) -> int:
        """The number of the open journal entry."""
        return self.journal.seq

    @property
    def begun(self) -> int:
        """Records applied in the open journal entry."""
        return self.journal.begun

    @property
    def step(self) -> int:
        """Records applied so far."""
        return self.journal.step

    @property
    def next(self) -> list[int]:
        """Offset of the next record of each input; -1 where none was taken yet."""
        return self.journal.next

    @property
    def marks(self) -> list[int]:
        """The mark of the record before `next` of each input (models/inputs/journal.py)."""
        return self.journal.marks

    @property
    @abstractmethod
    def clock_s(self) -> float | None:
        """The time reached, for the journal; None where models are not shared."""

    @abstractmethod
    def fresh(self) -> JournaledTask:
        """Return a task at its beginning: the same use case and definition, the same place."""

    @abstractmethod
    def choose(self, times: Sequence[float | None]) -> int | None:
        """Return the input to take from, given when each input's first record is due."""

    @abstractmethod
    def read(self, index: int, record: Record) -> DecodedRecord:
        """Decode one record of that input; never raises for what it contains."""

    @abstractmethod
    def apply(self, taken: DecodedRecord) -> list[Output]:
        """Apply one record and return what it makes known, in order."""

    @abstractmethod
    def report(self) -> list[Output]:
        """Return what changed since the last report: a read of the state."""

    @abstractmethod
    def refuse(
        self, taken: DecodedRecord, error: Rejected, out: list[Output], traceback: str | None = None
    ) -> None:
        """Park a record that cannot be used."""

    @property
    def updates(self) -> int | None:
        """The number of records of `models` that it has published; None where it publishes none."""
        return None

    def seal(self) -> bytes | None:
        """Close the journal entry: its record's value, or None if nothing was applied."""
        self.restoring.restored_before = frozenset()
        entry = self.journal.seal(self.definition, self.partitions, self.clock_s, self.updates)
        if entry is None:
            return None
        value = orjson.dumps(entry)
        self.sealed = digest_of(value)
        return value

    def skip(self) -> None:
        """Pass over a journal entry in which nothing was applied: a change of definition."""
        self.journal.skip()
        self.sealed = ""

    def note_restored(self, restored: Collection[str]) -> None:
        """Note, before an entry is folded, its commands that put a model back then.

        Where that was under another definition, whose state does not fit here, what they decided
        still holds.
        """
        self.restoring.restored_before = frozenset(restored)

    def set_aside(self, index: int, record: Record, skip: Skip) -> list[Output]:
        """Pass over a record that cannot be applied: it takes its place in the journal, and leaves
        as a dead letter with the failure. It is not even read.
        """
        self.journal.take(index, record)
        self.journal.skipped.append(skip)
        self.skips.did(skip, self.journal.step)
        self.counts["skipped"] += 1
        out: list[Output] = []
        self._begin(out)
        error = Skipped(
            f"set aside by {skip.who}, since it could not be applied: {skip.why}. "
            f"{skip.error or 'The failure is not known.'}"
        )
        self.refuse(DecodedRecord(index, record), error, out, skip.traceback)
        change = self.lifecycle_log.change(
            SUBJECT,
            to_state="skipped",
            cause=skip.cause,
            who=skip.who,
            why=skip.why,
            command_id=skip.command_id,
            evidence=self._where(index, record) | {"error": skip.error},
        )
        return [*out, change]

    def _apply_command(self, taken: DecodedRecord, command: Command, out: list[Output]) -> bool:
        """Carry out a command, or refuse it; return False for one that came before."""
        # Parts of a state are distinguished by their numbers.
        if command.verb != "deliver" and self.router.already_applied(command.command_id):
            self.counts["repeats"] += 1
            return False
        try:
            self._commanding.apply_command(command, out)
        except Rejected as error:
            self.refuse(taken, error, out)
        return True

    @abstractmethod
    def _begin(self, out: list[Output]) -> None:
        """Tell what begins with the first record."""

    @property
    def wanted(self) -> dict[InputOffset, Skip]:
        """Records that commands want set aside and that have not come yet."""
        return self.skips.wanted

    def rule_may_skip(self) -> bool:
        """Return True if `skip_after` holds for the next record: not if it acted often lately."""
        return self.skips.rule_may(self.journal.step)

    def halted(self, index: int, record: Record, failure: Skip) -> list[Output]:
        """Return the outputs when the task halts at a record; nothing changes."""
        evidence = self._where(index, record) | {
            "error": failure.error,
            "traceback": failure.traceback,
        }
        told = self.publish.lifecycle(
            self.journal.step,
            None,
            model=SUBJECT,
            to_state="halted",
            cause="safeguard",
            who="riverrun",
            why=failure.why,
            evidence=evidence,
        )
        return [told]

    def _where(self, index: int, record: Record) -> dict[str, Any]:
        kind = self.inputs[index][0]
        return {"input": kind, "topic": record.topic, "offset": record.offset}
