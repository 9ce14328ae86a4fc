"""What a partition task is made of: its position, time, memory, models and evidence.

Each part has a file of its own; here they are put together. Two rooms change them: `answering`
(events) and `learning` (outcomes, and the passing of time).
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple

import orjson

from models.features.featurizer import Entries, Featurizer, Vector, with_features
from models.inputs.decoder import OUTCOMES, DecodedRecord
from models.inputs.journal import Journal
from models.inputs.skipped_records import Skips
from models.inputs.watermark import Watermark
from models.metrics.drift_monitor import Watcher
from models.metrics.groups import Grouping
from models.metrics.label_maturity import Maturity
from models.metrics.scoring import Judge
from models.metrics.windowed_metrics import Group, WindowedMetrics
from models.outputs.block_evidence import BlockEvidence
from models.outputs.lifecycle_log import LifecycleLog
from models.outputs.output_records import Output, Publisher
from models.pending.codec import Codec, PendingPrediction
from models.pending.collected_outcomes import CollectedOutcomes
from models.pending.early_outcomes import EarlyOutcomes, EarlyOutcomesOfFolds
from models.pending.ledger import PendingLedger
from models.pending.quarantine import Quarantine
from models.serving.explanations import Explainer
from models.serving.feature_importance import FeatureImportance
from models.serving.model_router import ModelRouter
from models.serving.prediction_intervals import PredictionIntervals
from models.spec.decision_threshold import DecisionThreshold
from models.spec.experiment_arms import Assignment
from models.spec.personal_data import masking_of
from models.spec.problem_types import Predicted, kind_of
from models.spec.use_case import UseCase, fold_of, is_correctable
from models.task.drift_response import DriftResponse
from models.task.model_restore import ModelRestore, Stored, Unseal
from models.training.adoption import SharedModels
from models.training.versions import PlainUnpack, Unpack
from models.training.window_folds import SharedWindows, WindowPool
from schemas.errors import AUTHORS_FAULTS, Malformed, Refused, Rejected
from schemas.events import Event, Outcome
from schemas.headers import Headers
from schemas.topics import INPUTS, SHARED_INPUTS

LIVE_MAX = 2_000
"""Questions kept as objects, so that a quick outcome needs not read them again from bytes."""
LIVE_BYTES_MAX = 8_192
"""A larger event is not kept as an object."""
LEAVE = 200
"""How many of them make room at once: a dictionary is slow to tell its first one."""
COUNTED = (
    "events", "outcomes", "learnt", "late", "expired", "repeats", "tombstones", "refused",
    "champion", "challenger", "pooled", "baseline", "holdout",
    "quarantined", "released", "evicted", "skipped", "corrected",
)  # fmt: skip


class Question(NamedTuple):
    """An event, with what was made of it."""

    event: Any
    x: Vector
    segment: str | None
    groups: list[Group]
    key: bytes
    shared: Headers
    """What all records about it have in their headers."""
    vector: orjson.Fragment
    """`x` as JSON, which two records hold."""


class TaskState:
    """All state of one use case on one partition.

    `definition` is the hash of the use case's definition; it is part of every model's version.
    Memory: windows by their keys; waiting predictions and ids by number, bytes and `memory`.
    """

    def __init__(
        self,
        use_case: UseCase,
        partition: int,
        partitions: int,
        definition: str,
        unseal: Unseal | None = None,
        unpack: Unpack | None = None,
        pool: WindowPool | None = None,
    ) -> None:
        kind = kind_of(use_case.kind, use_case.metrics)
        self.use_case = use_case
        self.partition = partition
        self.partitions = partitions
        self.definition = definition
        self.kind = kind
        shared = use_case.is_shared(partitions)
        inputs = SHARED_INPUTS if shared else INPUTS
        self.journal = Journal(len(inputs))
        self.skips = Skips()
        self.watermark = Watermark(use_case.max_jump_s, use_case.confirm_jump_after)
        self.packing = Codec(use_case)
        self.fold = fold_of(use_case)
        self.collected = CollectedOutcomes(0.0 if self.fold is None else self.fold.until)
        early_kind = EarlyOutcomes if self.fold is None else EarlyOutcomesOfFolds
        early = early_kind(use_case.early_limit, use_case.early_bytes)
        limits = use_case.waiting_limit, use_case.waiting_bytes
        self.ledger = PendingLedger(
            use_case.horizon, use_case.id_retention_s, limits, early, self.packing
        )
        self.quarantine = Quarantine(use_case.early_limit, use_case.early_bytes)
        self.featurizer = Featurizer(
            use_case.features,
            use_case.internal_features,
            use_case.shared_windows,
            use_case.horizon if is_correctable(use_case) else None,
        )
        self.windows = SharedWindows(
            self.featurizer.states, use_case.shared_windows, definition, pool
        )
        self.router = ModelRouter(use_case, kind, definition, partitions)
        self.metrics = WindowedMetrics(use_case, kind)
        self.settling = BlockEvidence(
            use_case, kind, self.metrics, self.router, (partition, definition)
        )
        self.assignment = Assignment(use_case)
        self.counts = dict.fromkeys(COUNTED, 0)
        self.grouping = Grouping(use_case)
        self.publish = Publisher(use_case.name, partition, kind, self.router.names, inputs)
        self.maturity = Maturity(use_case)
        self.intervals = PredictionIntervals(use_case)
        self.explainer = Explainer(use_case.contributions)
        self.watcher = Watcher(use_case, () if shared else ("served", *self.router.names))
        self.masking = masking_of(use_case)
        self.judge = Judge(use_case, kind, self.router.names)
        self.lifecycle_log = LifecycleLog(
            self.publish,
            self.router,
            self.journal,
            self.watermark,
            discreet=bool(self.masking),
        )
        self.reaction = DriftResponse(use_case, kind, self.router, self.lifecycle_log, self.reset)
        self.influence = FeatureImportance(use_case, kind, self.router)
        self._threshold = DecisionThreshold(use_case)
        self._baseline = with_features(use_case.baseline)
        self.corrects = use_case.target != "label"
        self.unseal = unseal
        self.unpack = unpack
        # Of models that learn from all partitions; None: they learn here.
        self.shared: SharedModels | None = None
        if shared:
            unpack = unpack or PlainUnpack(use_case)
            self.shared = SharedModels(self.router, kind, use_case, unpack)
        # Definition → the shared windows that count what was sent out under it.
        self.accepted = {definition: use_case.shared_windows}
        self.restoring = ModelRestore(unseal)
        self.sealed = ""  # digest of the last journal entry, where it is known
        # Nothing but a short cut: what is not here is made again from what waits.
        self.live: dict[str, Question] = {}

    def keep(self, question: Question, size: int) -> None:
        """Keep a question at hand; the oldest make room, and wait as bytes from then on.

        `size`: of its event, in bytes.
        """
        if size > LIVE_BYTES_MAX:
            self.ledger.pack(question.event.event_id)
            return
        if len(self.live) >= LIVE_MAX:
            for event_id in list(islice(self.live, LEAVE)):
                del self.live[event_id]
                self.ledger.pack(event_id)
        self.live[question.event.event_id] = question

    def enter(self, entries: Entries, time: float, out: list[Output]) -> None:
        """Count what a record adds to windows; send out what it adds to those of all partitions.

        One record may do so more than once (predictions expire): then they are several outputs.
        """
        if entries:
            self.featurizer.enter(entries, time)
            self._send_out(time, out)

    def replace(self, before: Entries, after: Entries, time: float, out: list[Output]) -> None:
        """Replace in windows what was counted at `time`, in those of all partitions, too."""
        self.featurizer.replace(before, after, time)
        self._send_out(time, out)

    def _send_out(self, time: float, out: list[Output]) -> None:
        outgoing = self.featurizer.outgoing
        if outgoing:
            assert self.shared is not None
            times = self.shared.clock, time
            step = self.journal.step
            nth = sum(output.kind == "window-entries" for output in out)
            out.append(self.publish.window_entries(outgoing, times, self.definition, step, nth))
            outgoing.clear()

    def threshold(self, event: Event) -> float | None:
        """Return the threshold for this event; raises `Malformed` where the KPI tells none."""
        try:
            return self._threshold.of(event)
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            raise Malformed(
                f"the threshold failed on this event: {type(error).__name__}: {error}. Let the "
                "KPI's cost need nothing of the outcome but its label, or declare a number."
            ) from error

    def baseline(self, event: Event, x: Vector, threshold: float | None) -> Predicted:
        """Return the baseline's prediction of an event with these features.

        Raises `Malformed` where it cannot make one.
        """
        try:
            prediction = self.kind.said_of(self._baseline(event, x))
            return prediction if threshold is None else self.kind.decide(prediction, threshold)
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            raise Malformed(
                f"the baseline failed on this event: {type(error).__name__}: {error}"
            ) from error

    def reset(self, model: str) -> None:
        """Replace a model by a fresh one; what was known of the old one is forgotten."""
        now = self.watermark.time
        self.router.reset(model, float("-inf") if now is None else now)
        self.lifecycle_log.forget(model)
        self.explainer.forget(model)

    def begin_anew(self, model: str) -> None:
        """Forget what was known of a shared model that has started over."""
        self.router.note_renewed(model, self.watermark.time)
        self.lifecycle_log.forget(model)
        self.explainer.forget(model)

    def put_back(self, stored: Stored) -> None:
        """Put a model as it was in the place of what it is now."""
        slot = stored.slot
        self.reset(slot.name)
        self.router.pooled[slot.name] = slot
        slot.changed = True
        if stored.means is not None:
            self.explainer.means[f"{slot.name}/"] = stored.means

    def refuse(
        self, taken: DecodedRecord, error: Rejected, out: list[Output], traceback: str | None = None
    ) -> None:
        """Write a dead letter for an unusable record; its error holds no personal data."""
        self.counts["refused"] += not isinstance(error, Refused)
        if self.masking:
            words = self.masking.words_about(taken.record.value, str(error))
            if taken.kind == OUTCOMES:  # the author's functions see its event, too
                waiting = self.ledger.find(taken.body.event_id)
                if isinstance(waiting, PendingPrediction):
                    words = self.masking.words_about(waiting.event, words)
            error = type(error)(words)
        step = self.journal.step
        out.append(self.publish.dead_letter(taken.record, taken.input, error, step, traceback))


def digest(body: Event | Outcome) -> bytes:
    """Return eight bytes that tell one content from another."""
    # What was not sent is left out, so that a field which the schema gains changes nothing.
    sent, fields = body.model_fields_set, body.__dict__
    if len(sent) < len(fields):
        fields = {name: value for name, value in fields.items() if name in sent}
    try:
        text = orjson.dumps(fields)
    except TypeError:  # numbers beyond 64 bits, and types that only pydantic writes
        text = body.model_dump_json(exclude_unset=True).encode()
    return blake2b(text, digest_size=8).digest()
