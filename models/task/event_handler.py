"""From an event to what is said of it: features, everybody's answer, the one that is served.

All that may be rejected comes before all that changes.
"""

from __future__ import annotations

import orjson

from models.assignment import Drawn
from models.durations import spoken
from models.encoding import encoded
from models.features import Vector
from models.learning import Learning
from models.packing import Waiting, digests
from models.parts import Parts, Question, digest
from models.publishing import More, Output
from models.reading import Taken
from models.roster import Asked
from schemas.errors import Conflicting, Late
from schemas.headers import traceparent
from schemas.inputs import Event


class Answering:
    """Answers events; changes the parts that it is given."""

    def __init__(self, parts: Parts, learning: Learning) -> None:
        self._parts = parts
        self._learning = learning

    def event(self, taken: Taken, event: Event, out: list[Output]) -> Taken | None:
        """One event: answered, counted again, or rejected; returns its outcome if that was held."""
        parts, time, event_id = self._parts, taken.time, event.event_id
        if self._known(event, event_id):
            parts.counts["repeats"] += 1
            return None
        reached = parts.watermark.time
        if reached is not None and time < reached - parts.use_case.horizon:
            raise Late(
                f"event {event_id!r} is {reached - time:.0f} s behind the watermark; its horizon "
                f"is {spoken(parts.use_case.horizon)}. Use `riverrun backfill` for old events."
            )
        x = parts.featurizer.compute(event, time if reached is None else max(time, reached))
        entries = parts.featurizer.event_entries(event, x)
        base = parts.baseline(event)
        segment = parts.grouping.segment(event)
        roster = parts.roster
        drawn = parts.assignment.drawn(event, roster.experiment, roster.champion)
        record = taken.record
        trace = traceparent(record.headers) if record.headers else None
        shared = parts.publish.of_event(event, trace)
        assert record.key is not None
        groups = parts.grouping.groups(event, segment)
        vector = orjson.Fragment(encoded(x))
        question = Question(event, x, segment, groups, record.key, shared, vector)

        self._learning.pass_to(time, out)
        if segment is not None:
            parts.teller.segment(out, segment)
        shown = parts.featurizer.shown(x)
        paired = parts.assignment.in_shadow(event_id)
        arm = None if drawn is None else drawn.arm
        asked = roster.ask(segment, shown, base, everybody=paired, arm=arm)
        self._answer(taken, question, asked, shown, (trace, paired, drawn), out)
        parts.featurizer.enter(entries, time)
        parts.counts["events"] += 1
        served = parts.kind.value(asked.answer.said)
        for alarm in parts.watcher.event(time, x, served):
            done = parts.reaction.react(alarm, out)
            change = parts.watcher.told(alarm, done)
            out.append(parts.publish.drift(change, parts.journal.step))
        early: Taken | None = parts.ledger.early.pop(event_id, None)
        return early

    def _answer(
        self,
        taken: Taken,
        question: Question,
        asked: Asked,
        shown: Vector,
        drawn: tuple[bytes | None, bool, Drawn | None],
        out: list[Output],
    ) -> None:
        """Remember what was said, and publish it unless the event is history."""
        parts, record, event = self._parts, taken.record, question.event
        answer, seq, step = asked.answer, parts.journal.seq, parts.journal.step
        trace, *arms = drawn
        given = parts.certainty.give(answer.said, question.segment)
        then = parts.roster.bounds.limits
        said = (asked.baseline, asked.pooled, asked.own, answer.said, answer.by, given, *arms, then)
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
            Waiting(taken.time, record.value, question.x, said, False, taken.silent, trace),
        )
        parts.keep(question)
        base = asked.baseline if parts.corrects else 0.0
        reasons = parts.explainer.explain(answer.slot, shown, base)
        if taken.silent:
            return
        parts.counts[answer.by] += 1
        parts.tally.asked(taken.time, question.groups, asked.withheld, drawn[2], asked.wild)
        parts.maturity.issued(taken.time, question.segment)
        if asked.withheld:
            parts.teller.withheld(out, asked.withheld)
        more = More(question.segment, given, reasons, seq, step)
        out.append(parts.publish.features(record, features, question.shared))
        out.append(parts.publish.prediction(record, event, asked, more, question.shared))

    def _known(self, event: Event, event_id: str) -> bool:
        entry = self._parts.ledger.find(event_id)
        if entry is None:
            return False
        if isinstance(entry, Waiting):
            known = type(event).model_validate_json(entry.event)
            same = known == event or digest(known) == digest(event)
        else:
            same = digests(entry)[0] == digest(event)
        if not same:
            raise Conflicting(
                f"event id {event_id!r} was used before with other content. Give each event an id "
                "of its own."
            )
        return True
