"""The learner: a state machine that learns every model once, from the examples of all partitions.

    examples of all partitions, commands ──▶ learner ──▶ models: versions, and who answers

It is to the models what a partition task is to its predictions: deterministic, journaled, driven by
the same code. What is decided about shared models is decided here, once: warm-up, breaker, drift
response, replacement, promotion, rollback. Partitions take it from `models` as a record of their
own journals.

Its time is the largest `clock_s` of the examples that it learnt, which the partitions bound by
Kafka's timestamps: one clock that is ahead cannot keep everybody's versions waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.inputs.decoder import (
    COMMANDS,
    ENTRIES,
    ROWS,
    DecodedRecord,
    Record,
)
from models.inputs.journal import Journal
from models.inputs.merge_order import choose_earliest
from models.inputs.skipped_records import Skips
from models.inputs.watermark import Watermark
from models.metrics.drift_monitor import Watcher
from models.outputs.lifecycle_log import LifecycleLog
from models.outputs.output_records import Output, Publisher
from models.serving.model_router import ModelRouter
from models.serving.model_slot import ModelSlot
from models.spec.personal_data import masking_of
from models.spec.problem_types import kind_of
from models.spec.use_case import UseCase
from models.task.command_handler import ModelCommands
from models.task.drift_response import DriftResponse
from models.task.journaled_task import JournaledTask
from models.task.model_restore import ModelRestore, Stored, Unseal
from models.training.learner_inputs import decode_input, learner_inputs
from models.training.version_schedule import VersionSchedule
from models.training.versions import Pack, VersionRef, label_of_version, plain_pack
from models.training.window_batches import Row, WindowBatches
from schemas.commands import Command
from schemas.errors import Refused, Rejected
from schemas.headers import Headers
from schemas.topics import LEARNER


@dataclass
class NoPredictions:
    """Stands for the pending predictions, which a learner has not: what snapshots keep by delta."""

    entries: dict[str, Any] = field(default_factory=dict)
    changed: set[str] | None = None


COUNTED = ("learnt", "passed", "entered", "repeats", "tombstones", "refused", "skipped")


class LearnerTask(JournaledTask):
    """All that is learnt by the shared models of one use case.

    Its first input is partition 0 of `commands`, then come the partitions of `examples`. `pack`
    makes the headers that hold a version's state; None while the journal is folded, when nothing is
    published. Memory: the models, and a copy of each whose error has risen.
    """

    def __init__(
        self,
        use_case: UseCase,
        *,
        partitions: int,
        definition: str,
        pack: Pack | None = plain_pack,
        unseal: Unseal | None = None,
    ) -> None:
        kind = kind_of(use_case.kind, use_case.metrics)
        self.use_case = use_case
        self.kind = kind
        self.partition = LEARNER
        self.partitions = partitions
        self.definition = definition
        self.pack = pack
        self.unseal = unseal
        self.inputs = learner_inputs(partitions, features=use_case.shares_features)
        self.journal = Journal(len(self.inputs))
        self.skips = Skips()
        self.restoring = ModelRestore(unseal)
        self.sealed = ""
        self.counts = dict.fromkeys(COUNTED, 0)
        self.watermark = Watermark(use_case.max_jump_s, use_case.confirm_jump_after)
        self.router = ModelRouter(use_case, kind, definition, partitions)
        names, kinds = self.router.names, [name for name, _ in self.inputs]
        self.masking = masking_of(use_case)
        self.publish = Publisher(use_case.name, LEARNER, kind, names, kinds)
        self.lifecycle_log = LifecycleLog(
            self.publish, self.router, self.journal, self.watermark, discreet=bool(self.masking)
        )
        self.reaction = DriftResponse(use_case, kind, self.router, self.lifecycle_log, self.reset)
        self.watcher = Watcher(use_case, ("served", *names))
        self.schedule = VersionSchedule(use_case.freshness)
        self.batches = WindowBatches(use_case.freshness)
        # Definition → the shared windows that count what was sent out under it.
        self.accepted = {definition: use_case.shared_windows}
        # Definitions whose examples are learnt: its own, and those that it carries on.
        self.taught_by = frozenset((definition,))
        # Of each model: how often it started over or was replaced.
        self.generations = dict.fromkeys(names, 0)
        self.ledger = NoPredictions()
        self.number = 0
        self.corrects = use_case.target != "label"
        self._hidden = frozenset(use_case.internal_features)
        self._commanding = ModelCommands(self)

    def fresh(self) -> LearnerTask:
        """Return a learner at its beginning."""
        return LearnerTask(
            self.use_case,
            partitions=self.partitions,
            definition=self.definition,
            pack=self.pack,
            unseal=self.unseal,
        )

    @property
    def clock_s(self) -> float | None:
        """The latest time of all that it learnt."""
        return self.watermark.time

    @property
    def updates(self) -> int:
        """The number of records of `models` that it has published."""
        return self.number

    def choose(self, times: Sequence[float | None]) -> int | None:
        """Return the input whose first record is due first."""
        return choose_earliest(times)

    def report(self) -> list[Output]:
        """Return nothing: quality is measured where predictions are made."""
        return []

    def read(self, index: int, record: Record) -> DecodedRecord:
        """Decode a command or an example; never raises for what it contains."""
        value = record.value
        if value is None:
            return DecodedRecord(index, record)
        try:
            return decode_input(self.inputs, index, record, value)
        except Rejected as error:
            return DecodedRecord(index, record, error=error)

    # One step.

    def apply(self, taken: DecodedRecord) -> list[Output]:
        """Apply one record and return what it makes known, in order."""
        self.journal.take(taken.input, taken.record)
        out: list[Output] = []
        self._begin(out)
        if taken.error is not None:
            if taken.input:
                self.refuse(taken, taken.error, out)
            else:  # partition 0 reads the same record, and parks it
                self.counts["refused"] += 1
        elif taken.body is None:
            self.counts["tombstones"] += 1
        elif taken.kind == COMMANDS:
            self._command(taken, taken.body, out)
        elif taken.kind == ENTRIES:
            self._collect(taken)
        elif taken.kind == ROWS:
            self.counts["entered"] += 1
            out.append(self._update("tables", None, tables=taken.body["rows"]))
        elif not self._is_taught_by(taken.body):
            self.counts["passed"] += 1
        else:
            self._learn(taken.body, taken.time, out)
        self._publish(out)
        return out

    def _is_taught_by(self, example: Mapping[str, Any]) -> bool:
        """Return whether an example is to be learnt, and made under a definition that fits."""
        training = example.get("training")
        return training is not None and training["definition"] in self.taught_by

    def _begin(self, out: list[Output]) -> None:
        out += self.lifecycle_log.beginning(self.definition)

    def refuse(
        self, taken: DecodedRecord, error: Rejected, out: list[Output], traceback: str | None = None
    ) -> None:
        """Park a record that cannot be used."""
        self.counts["refused"] += not isinstance(error, Refused)
        if self.masking:
            error = type(error)(self.masking.words_about(taken.record.value, str(error)))
        step = self.journal.step
        out.append(self.publish.dead_letter(taken.record, taken.input, error, step, traceback))

    def _command(self, taken: DecodedRecord, command: Command, out: list[Output]) -> None:
        is_new = self._apply_command(taken, command, out)
        if is_new and command.verb == "set-watermark" and command.watermark is not None:
            self._set_back(command.watermark.timestamp())

    def _set_back(self, time: float) -> None:
        """Set time back, as the partitions do and tell."""
        self.watermark.set_back(time)
        self.router.set_back(time)
        self.schedule.set_back(time)
        self.batches.set_back(time)
        if self.watcher.monitor is not None:
            self.watcher.monitor.set_back(self.watcher.block_of(time))

    def _collect(self, taken: DecodedRecord) -> None:
        """Take in what one record adds to shared windows."""
        body, size = taken.body, len(taken.record.value or b"")
        self.watermark.advance(taken.time)
        names = self.accepted.get(body["definition"], ())
        self.batches.add(body["entries"], body["time_s"], taken.time, size, names)
        self.counts["entered"] += 1

    def _learn(self, example: Mapping[str, Any], time: float, out: list[Output]) -> None:
        """Let breakers, drift detectors and every model learn one example."""
        self._watch(time, out)
        router, training, label = self.router, example["training"], example["label"]
        baseline, again = self.kind.said_of(example["baseline"]), bool(example.get("revision"))
        if not again:
            self._judge(label, baseline, training, out)
        x = example["features"]
        if self._hidden:
            x = {name: value for name, value in x.items() if name not in self._hidden}
        target = label - baseline if self.corrects else label
        # A default label, which no outcome brought, has no weight.
        weighed = self.use_case.weight is not None and example["outcome_time"] is not None
        weight = example["weight"] if weighed else None
        if router.bounded:
            router.bounds.update(label)
        if router.replacements and not again:
            self.reaction.learn(x, target, weight, (label, baseline), out, training["learner"])
        for name in router.learn(None, x, target, weight, training["learner"]):
            out += self.lifecycle_log.warm(name)
        self.counts["learnt"] += 1

    def _judge(self, label: Any, baseline: Any, training: Any, out: list[Output]) -> None:
        """Let breakers and drift detectors see an example's errors; not those of a correction."""
        router, errors, kpi = self.router, training["errors"], training["kpi"]
        self.watcher.errors(errors)
        if router.safeguard.observe(errors, kpi, router.champion, label, baseline):
            out.append(self.lifecycle_log.breaker(router.champion, router.safeguard))
        for name, guard in router.guards.items():
            if guard.observe(errors, kpi, name, label, baseline):
                out.append(self.lifecycle_log.breaker(name, guard))

    def _watch(self, time: float, out: list[Output]) -> None:
        """Let time pass: act on models whose error has risen."""
        self.watermark.advance(time)
        for alarm in self.watcher.pass_to(time):
            done = self.reaction.react(alarm, out)
            change = self.watcher.lifecycle_change(alarm, done)
            out.append(self.publish.drift(change, self.journal.step))

    # What is published.

    def _publish(self, out: list[Output]) -> None:
        """Publish what is due of windows and models; or roles, where what was told changes them."""
        clock = self.watermark.time
        told = any(output.kind == "lifecycle" for output in out)
        at = float("-inf") if clock is None else clock
        if self.batches.due(at):
            rows = self.batches.take()
            out.append(self._update("windows", None, rows))
            told = False
        for name, slot in self.router.pooled.items():
            if name not in self.router.retired and self.schedule.due(name, at, slot):
                self.schedule.note(name, slot.trained_on, at)
                out.append(self._update(name, slot))
                told = False
        if told:
            out.append(self._update("roles", None))

    def _update(
        self,
        name: str,
        slot: ModelSlot | None,
        rows: Sequence[Row] | None = None,
        tables: Sequence[Any] | None = None,
    ) -> Output:
        state: Headers = ()
        version = None
        if slot is not None:
            generation = self.generations[name]
            version = {"model": name, "generation": generation, "trained_on": slot.trained_on}
            if self.pack is not None:
                ref = VersionRef(
                    name, self.definition, generation, slot.trained_on, self.number, -1, None
                )
                state = self.pack(slot, label_of_version(self.use_case.name, ref))
        value: dict[str, Any] = {
            "number": self.number,
            "seq": self.journal.seq,
            "step": self.journal.step,
            "clock_s": self.watermark.time,
            "roles": self._roles(),
            "version": version,
            "definition": self.definition,
        }
        if rows is not None:
            value["windows"] = rows
        if tables is not None:
            value["tables"] = tables
        self.number += 1
        return self.publish.update(name, value, state)

    def _roles(self) -> dict[str, Any]:
        router = self.router
        guards = {router.champion: router.safeguard, **router.guards}
        return {
            "champion": router.champion,
            "before": router.before,
            "frozen": router.frozen,
            "experiment": router.experiment,
            "retired": list(router.retired),
            "faults": {name: guard.fault for name, guard in guards.items() if guard.fault},
            "limits": router.bounds.limits,
        }

    # What commands and drift change.

    def reset(self, model: str) -> None:
        """Put a fresh model in the place of that one."""
        now = self.watermark.time
        self.router.reset(model, float("-inf") if now is None else now)
        self.lifecycle_log.forget(model)
        self.generations[model] += 1
        self.schedule.forget(model)

    def put_back(self, stored: Stored) -> None:
        """Put a model as it was in the place of what it is now."""
        slot = stored.slot
        self.reset(slot.name)
        self.router.pooled[slot.name] = slot
        slot.changed = True
