"""The partition task: one use case on one Kafka partition, as a deterministic state machine.

    state, outputs = apply(state, record)

It reads no clock, no network and no unseeded randomness: time is what the records say, order is
what the journal says. So the same records in the same order give the same floats, whether they
come from Kafka, from a file or from a test. Call order: `read` each record, `apply` what
`models.alignment.choose` picks, `seal` when what was applied is to be committed.

Rules of a step:
1. A record that cannot be used raises `Rejected` inside before anything changes, and leaves as a
   dead letter.
2. Anything else that is raised is a bug: the caller stops without committing.
3. A prediction is scored with what was said then, learnt once, and never looked at again.
"""

from __future__ import annotations

from collections.abc import Collection

import orjson

from models.answering import Answering
from models.commanding import Commanding
from models.durations import spoken
from models.learning import Learning
from models.parts import Parts
from models.publishing import Output
from models.reading import COMMANDS, EVENTS, Reader, Record, Taken
from models.restoring import Unseal
from models.usecase import UseCase
from schemas.errors import Ahead, Rejected
from schemas.inputs import Command


class PartitionTask(Parts):
    """All state of one use case on one partition, and the only code that changes it."""

    learns: type[Learning] = Learning

    def __init__(
        self,
        use_case: UseCase,
        *,
        partition: int,
        partitions: int,
        definition: str,
        unseal: Unseal | None = None,
    ) -> None:
        super().__init__(use_case, partition, partitions, definition, unseal)
        self.partitions = partitions
        self._reader = Reader(use_case, partitions)
        self._learning = self.learns(self)
        self._answering = Answering(self, self._learning)
        self._commanding = Commanding(self, self._learning)

    def anew(self, partition: int | None = None) -> PartitionTask:
        """A task at its beginning: the same use case and definition, the same place or another."""
        return PartitionTask(
            self.use_case,
            partition=self.partition if partition is None else partition,
            partitions=self.partitions,
            definition=self.definition,
            unseal=self.unseal,
        )

    # What the journal and its keepers ask for.

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

    def read(self, index: int, record: Record) -> Taken:
        """Decode one record of that input; never raises for what it contains."""
        return self._reader.read(index, record)

    def seal(self) -> bytes | None:
        """Close the journal entry: its record's value, or None if nothing was applied."""
        self.restoring.heeded = frozenset()
        entry = self.journal.seal(self.definition)
        return None if entry is None else orjson.dumps(entry)

    def skip(self) -> None:
        """Pass over a journal entry in which nothing was applied: a change of definition."""
        self.journal.skip()

    def heed(self, restored: Collection[str]) -> None:
        """Before an entry is folded: the commands of it that put a model back then. Where that was
        under another definition, whose state does not fit here, what they decided still holds.
        """
        self.restoring.heeded = frozenset(restored)

    def report(self) -> list[Output]:
        """Metrics and delays that changed since the last report: a read of the state."""
        rows = self.tally.report(self.partition, self.definition, self.step)
        whole = [row for row in rows if row["segment"] is None and row["slice"] is None]
        for row in whole:
            newest = row["window_start"] == whole[-1]["window_start"]
            if newest and row["model"] == self.influence.champion:
                row["importance"] = self.influence.said()
        delays = self.maturity.report(self.definition, self.step)
        return [*map(self.publish.metric, rows), *map(self.publish.delays, delays)]

    # One step.

    def apply(self, taken: Taken) -> list[Output]:
        """Apply one record and return what it makes known, in order."""
        self.journal.take(taken.input, taken.record.offset)
        out: list[Output] = []
        self.teller.beginning(out, self.definition)
        body = taken.body
        if taken.error is not None:
            self.refuse(taken, taken.error, out)
        elif body is None:
            self.counts["tombstones"] += 1
        elif taken.what == COMMANDS:
            self._command(taken, body, out)
        elif self.watermark.doubts(taken.time, taken.record.timestamp):
            self._doubted(taken, out)
        else:
            for held in self.watermark.refuse():
                self.refuse(held, self._too_far(held), out)
            self._dated(taken, out)
        return out

    def _dated(self, taken: Taken, out: list[Output]) -> None:
        try:
            if taken.what == EVENTS:
                early = self._answering.event(taken, taken.body, out)
                if early is not None:
                    self._dated(early, out)
            else:
                self._learning.outcome(taken, taken.body, out)
        except Rejected as error:
            self.refuse(taken, error, out)

    def _command(self, taken: Taken, command: Command, out: list[Output]) -> None:
        # Pieces are told from each other by their numbers.
        if command.verb != "deliver" and self.roster.heard(command.command_id):
            self.counts["repeats"] += 1
            return
        try:
            self._commanding.obey(command, out)
        except Rejected as error:
            self.refuse(taken, error, out)

    def _doubted(self, taken: Taken, out: list[Output]) -> None:
        if self.watermark.holds(taken):
            self.counts["repeats"] += 1
            return
        believed, refused = self.watermark.set_aside(taken)
        for held in refused:
            self.refuse(held, self._too_far(held), out)
        for held in believed:
            self._dated(held, out)

    def _too_far(self, taken: Taken) -> Ahead:
        return Ahead(
            f"its time is more than {spoken(self.watermark.max_jump)} ahead of all others. Correct "
            "the producer's clock and send it again, or raise max_jump."
        )
