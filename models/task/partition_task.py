"""The partition task: one use case on one Kafka partition, as a deterministic state machine.

    state, outputs = apply(state, record)

It reads no clock, no network and no unseeded randomness: time is what the records say, order is
what the journal says. So the same records in the same order give the same floats, whether they
come from Kafka, from a file or from a test. Call order: `read` each record, `apply` what
`models.inputs.merge_order.choose` picks, `seal` when what was applied is to be committed.

Rules of a step:
1. A record that cannot be used raises `Rejected` inside before anything changes, and leaves as a
   dead letter.
2. Anything else that is raised is a bug, and the state is of no use after: the caller goes on from
   a state before, and applies or sets aside (`set_aside`) the record, never both.
3. A prediction is scored with what was said then, learnt once, and never looked at again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.inputs.decoder import COMMANDS, EVENTS, MODELS, DecodedRecord, Decoder, Record
from models.inputs.merge_order import choose, choose_shared
from models.outputs.output_records import Output
from models.spec.use_case import UseCase
from models.task.command_handler import CommandHandler
from models.task.event_handler import EventHandler
from models.task.folded_outcome_handler import FoldedOutcomeHandler
from models.task.journaled_task import JournaledTask
from models.task.model_restore import Unseal
from models.task.outcome_handler import OutcomeHandler
from models.task.state import TaskState
from models.training.versions import Unpack
from models.training.window_folds import WindowBatch, WindowPool
from models.values.durations import spoken
from schemas.errors import Ahead, Rejected
from schemas.topics import INPUTS, SHARED_INPUTS


class PartitionTask(TaskState, JournaledTask):
    """All state of one use case on one partition, and the only code that changes it."""

    learns: type[OutcomeHandler] = OutcomeHandler
    learns_folds: type[OutcomeHandler] = FoldedOutcomeHandler

    def __init__(
        self,
        use_case: UseCase,
        *,
        partition: int,
        partitions: int,
        definition: str,
        unseal: Unseal | None = None,
        unpack: Unpack | None = None,
        pool: WindowPool | None = None,
    ) -> None:
        super().__init__(use_case, partition, partitions, definition, unseal, unpack, pool)
        kinds = INPUTS if self.shared is None else SHARED_INPUTS
        self.inputs = tuple((kind, 0 if kind == "models" else partition) for kind in kinds)
        self._reader = Decoder(use_case, partitions)
        self._learning = (self.learns if self.fold is None else self.learns_folds)(self)
        self._answering = EventHandler(self, self._learning)
        self._commanding = CommandHandler(self, self._learning)

    def fresh(self, partition: int | None = None) -> PartitionTask:
        """Return a task at its beginning: the same use case and definition, the same place or
        another.
        """
        return PartitionTask(
            self.use_case,
            partition=self.partition if partition is None else partition,
            partitions=self.partitions,
            definition=self.definition,
            unseal=self.unseal,
            unpack=self.unpack,
        )

    # What the journal and its keepers ask for.

    @property
    def clock_s(self) -> float | None:
        """The time reached, where models are shared."""
        return None if self.shared is None else self.shared.clock

    def choose(self, times: Sequence[float | None]) -> int | None:
        """Return the input to take from, given when each input's first record is due."""
        return choose(times) if self.shared is None else choose_shared(times, self.shared.clock)

    def read(self, index: int, record: Record) -> DecodedRecord:
        """Decode one record of that input; never raises for what it contains."""
        return self._reader.read(index, record)

    def report(self) -> list[Output]:
        """Return metrics and delays that changed since the last report: a read of the state."""
        rows = self.metrics.report(self.partition, self.definition, self.step)
        whole = [row for row in rows if row["segment"] is None and row["slice"] is None]
        for row in whole:
            newest = row["window_start"] == whole[-1]["window_start"]
            if newest and row["model"] == self.influence.champion:
                row["importance"] = self.influence.ranked()
            if newest and row["model"] == "served" and self.shared is not None:
                row["model_staleness_s"] = self.shared.staleness_s
        delays = self.maturity.report(self.definition, self.step)
        return [*map(self.publish.metric, rows), *map(self.publish.delays, delays)]

    def all_due(self) -> list[Output]:
        """Let all folded labels fall due, as if time had passed; for trials, never on a topic."""
        out: list[Output] = []
        if isinstance(self._learning, FoldedOutcomeHandler):
            self._learning.due(math.inf, out)
        return out

    # One step.

    def apply(self, taken: DecodedRecord) -> list[Output]:
        """Apply one record and return what it makes known, in order."""
        self.journal.take(taken.input, taken.record)
        out: list[Output] = []
        self._begin(out)
        body = taken.body
        if taken.error is not None:
            self.refuse(taken, taken.error, out)
        elif body is None:
            self.counts["tombstones"] += 1
        elif taken.kind == COMMANDS:
            self._apply_command(taken, body, out)
        elif taken.kind == MODELS:
            self._adopt(taken, body, out)
        elif self.watermark.doubts(taken.time, taken.record.timestamp):
            self._doubted(taken, out)
        else:
            if self.watermark.aside:
                for held in self.watermark.refuse():
                    self.refuse(held, self._too_far(), out)
            self._dated(taken, out)
        return out

    def _begin(self, out: list[Output]) -> None:
        if self.shared is None:  # else the learner tells it
            out += self.lifecycle_log.beginning(self.definition)

    def _dated(self, taken: DecodedRecord, out: list[Output]) -> None:
        if self.shared is not None:
            self.shared.advance(taken.due)
        try:
            if taken.kind == EVENTS:
                for early in self._answering.event(taken, taken.body, out):
                    self._dated(early, out)
            else:
                self._learning.outcome(taken, taken.body, out)
        except Rejected as error:
            self.refuse(taken, error, out)

    def _adopt(self, taken: DecodedRecord, update: Mapping[str, Any], out: list[Output]) -> None:
        """Take a record of the shared models: roles, and a version if there is one."""
        shared, record = self.shared, taken.record
        assert shared is not None
        if update["number"] <= shared.number:
            self.counts["repeats"] += 1
            return
        shared.number = update["number"]
        if update.get("windows"):
            names = self.accepted.get(update["definition"], ())
            rows, number = update["windows"], update["number"]
            self.windows.count(WindowBatch(number, record.offset, rows, tuple(names)))
        reached = self.watermark.time
        for identity, key, time, row in update.get("tables") or ():
            if (table := self.featurizer.tables.get(identity)) is not None:
                table.put(key, time, row, float("-inf") if reached is None else reached)
        if update["definition"] != self.definition:
            self.counts["repeats"] += 1  # a learner's of another definition
            return
        shared.version_clock = update["clock_s"]
        changed = shared.take_roles(update["roles"], self.watermark.time)
        if changed is not None:
            out += self.lifecycle_log.left(*changed)
        if update["version"] is None:
            return
        if shared.take_version(update, record.offset, tuple(record.headers)):
            self.begin_anew(update["version"]["model"])

    def _doubted(self, taken: DecodedRecord, out: list[Output]) -> None:
        if self.watermark.holds(taken):
            self.counts["repeats"] += 1
            return
        believed, refused = self.watermark.set_aside(taken)
        for held in refused:
            self.refuse(held, self._too_far(), out)
        for held in believed:
            self._dated(held, out)

    def _too_far(self) -> Ahead:
        return Ahead(
            f"its time is more than {spoken(self.watermark.max_jump)} ahead of all others. Correct "
            "the producer's clock and send it again, or raise max_jump."
        )
