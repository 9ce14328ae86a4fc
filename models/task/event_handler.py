"""Answers an event: features, all models' predictions, and the one that is served.

All that may be rejected comes before all that changes.
"""

from __future__ import annotations

import orjson

from models.features.featurizer import Vector
from models.inputs.decoder import DecodedRecord
from models.inputs.json_bytes import encoded
from models.inputs.strict_json import json_reader
from models.metrics.issued_predictions import IssuedPredictions
from models.outputs.output_records import More, Output
from models.pending.codec import PendingPrediction, digests
from models.serving.model_router import PredictionSet
from models.spec.experiment_arms import Drawn
from models.task.outcome_handler import OutcomeHandler
from models.task.state import Question, TaskState, digest
from models.values.durations import spoken
from schemas.errors import Conflicting, Late
from schemas.events import Event
from schemas.headers import traceparent


class EventHandler:
    """Answers events; changes the parts that it is given."""

    def __init__(self, parts: TaskState, learning: OutcomeHandler) -> None:
        self._parts = parts
        self._learning = learning

    def event(self, taken: DecodedRecord, event: Event, out: list[Output]) -> list[DecodedRecord]:
        """Answer an event, count it again or reject it; return its outcomes that were held."""
        parts, time, event_id = self._parts, taken.time, event.event_id
        if self._known(event, event_id):
            parts.counts["repeats"] += 1
            return []
        reached = parts.watermark.time
        if reached is not None and time < reached - parts.use_case.horizon:
            raise Late(
                f"event {event_id!r} is {reached - time:.0f} s behind the watermark; its horizon "
                f"is {spoken(parts.use_case.horizon)}. Use `riverrun backfill` for old events."
            )
        parts.windows.settle()
        x = parts.featurizer.compute(event, time if reached is None else max(time, reached))
        entries = parts.featurizer.event_entries(event, x)
        threshold = parts.threshold(event)
        base = parts.baseline(event, x, threshold)
        segment = parts.grouping.segment(event)
        router = parts.router
        drawn = parts.assignment.drawn(event, router.experiment, router.champion)
        record = taken.record
        trace = traceparent(record.headers) if record.headers else None
        shared = parts.publish.of_event(event, trace)
        assert record.key is not None
        groups = parts.grouping.groups(event, segment)
        vector = orjson.Fragment(encoded(x))
        question = Question(event, x, segment, groups, record.key, shared, vector)

        self._learning.pass_to(time, out)
        if segment is not None:
            out += parts.lifecycle_log.segment(segment)
        shown = parts.featurizer.shown(x)
        paired = parts.assignment.in_shadow(event_id)
        arm = None if drawn is None else drawn.arm
        asked = router.ask(segment, shown, base, everybody=paired, arm=arm, threshold=threshold)
        self._answer(taken, question, asked, shown, (trace, paired, drawn), out)
        parts.enter(entries, time, out)
        parts.counts["events"] += 1
        served = parts.kind.value(asked.answer.prediction)
        for alarm in parts.watcher.event(time, x, served):
            done = parts.reaction.react(alarm, out)
            change = parts.watcher.lifecycle_change(alarm, done)
            out.append(parts.publish.drift(change, parts.journal.step))
        return parts.ledger.early.pop_event(event_id)

    def _answer(
        self,
        taken: DecodedRecord,
        question: Question,
        asked: PredictionSet,
        shown: Vector,
        drawn: tuple[bytes | None, bool, Drawn | None],
        out: list[Output],
    ) -> None:
        """Remember what was said, and publish it unless the event is history."""
        parts, record, event = self._parts, taken.record, question.event
        answer, seq, step = asked.answer, parts.journal.seq, parts.journal.step
        trace, paired, arm = drawn
        region = parts.intervals.region(answer.prediction, question.segment)
        then = parts.router.bounds.limits
        predictions = IssuedPredictions(
            asked.baseline,
            asked.pooled,
            asked.own,
            answer.prediction,
            answer.by,
            region,
            paired,
            arm,
            then,
            parts.intervals.labels,
        )
        features = encoded(
            {
                "event_id": event.event_id,
                "event_time": event.event_time,
                "features": question.vector,
                "step": step,
            }
        )
        assert record.value is not None
        parts.ledger.wait(
            event.event_id,
            PendingPrediction(
                taken.time, record.value, question.x, predictions, False, taken.silent, trace
            ),
        )
        if parts.fold is not None:
            parts.collected.expect(event.event_id, taken.time)
        parts.keep(question, len(record.value))
        base = asked.baseline if parts.corrects else 0.0
        reasons = parts.explainer.explain(answer.slot, shown, base)
        if taken.silent:
            return
        parts.counts[answer.by] += 1
        parts.metrics.asked(taken.time, question.groups, asked.withheld, arm, asked.diverged)
        parts.maturity.issued(taken.time, question.segment)
        if asked.withheld:
            out += parts.lifecycle_log.withheld(asked.withheld)
        more = More(question.segment, region, reasons, seq, step)
        out.append(parts.publish.features(record, features, question.shared))
        out.append(parts.publish.prediction(record, event, asked, more, question.shared))

    def _known(self, event: Event, event_id: str) -> bool:
        entry = self._parts.ledger.find(event_id)
        if entry is None:
            return False
        if isinstance(entry, PendingPrediction):
            known = json_reader(type(event)).validate_json(entry.event)
            same = known == event or digest(known) == digest(event)
        else:
            same = digests(entry)[0] == digest(event)
        if not same:
            raise Conflicting(
                f"event id {event_id!r} was used before with other content. Give each event an id "
                "of its own."
            )
        return True
