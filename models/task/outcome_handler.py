"""From an outcome to what is learnt of it, and what the passing of time means.

All that may be rejected comes before all that changes. A prediction is judged by what was said
then, learnt once, and never looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from models.features.featurizer import Entries
from models.inputs.decoder import DecodedRecord
from models.inputs.json_bytes import encoded
from models.inputs.strict_json import json_reader
from models.metrics.scoring import Judged
from models.outputs.output_records import LabelUse, Output, TrainingFields
from models.pending.codec import EXPIRED, PendingPrediction, digests
from models.pending.quarantine import Held
from models.serving.prediction_intervals import coverage_of
from models.spec.problem_types import Predicted
from models.task.state import Question, TaskState, digest
from models.values.durations import spoken
from schemas.command_line import command_line
from schemas.errors import Conflicting, Implausible, Malformed, Unmatched
from schemas.events import Outcome


class OutcomeHandler:
    """Takes outcomes and passes time; changes the parts that it is given."""

    def __init__(self, parts: TaskState) -> None:
        self._parts = parts

    def outcome(self, taken: DecodedRecord, outcome: Outcome, out: list[Output]) -> None:
        """Take one outcome: learnt, held until its event comes or it is released, repeated, late,
        or rejected.
        """
        parts = self._parts
        event_id = outcome.event_id
        entry = parts.ledger.find(event_id)
        if entry is None:
            self._hold(taken, outcome, out)
        elif isinstance(entry, PendingPrediction):
            held = parts.quarantine.held.get(event_id)
            if held is not None and held.taken.body == outcome:
                parts.counts["repeats"] += 1
                return
            self._settle(taken, outcome, entry, out)
        elif digests(entry)[1] == digest(outcome):
            parts.counts["repeats"] += 1
        else:
            raise Conflicting(
                f"event {event_id!r} already has a different outcome. Send each outcome once."
            )

    def _settle(
        self, taken: DecodedRecord, outcome: Outcome, waiting: PendingPrediction, out: list[Output]
    ) -> None:
        parts, event_id = self._parts, outcome.event_id
        asked = self._question(event_id, waiting)
        check_key(taken, asked)
        judged = parts.judge.outcome(asked.event, outcome, waiting.predictions)
        entries = parts.featurizer.outcome_entries(asked.event, outcome, asked.x)
        doubt = parts.judge.doubt(asked.event, outcome, judged.label)
        known = event_id in parts.quarantine.held
        if known and doubt is not None:
            raise Conflicting(
                f"{doubt}, and a different outcome of event {event_id!r} is held already."
            )

        now = self.pass_to(taken.time, out)
        # Its own time may have expired the prediction that it answers, or ended the id's memory.
        after = parts.ledger.state(event_id)
        if not known and not waiting.silent:
            parts.maturity.labelled(waiting.time, asked.segment)
        late = after is None or after == EXPIRED
        if doubt is not None and not late:
            held = Held(taken, now, waiting.time + parts.ledger.memory)
            self._doubt(event_id, held, doubt, out)
            return
        parts.counts["outcomes"] += 1
        if known:
            parts.quarantine.release(event_id)
        if after is not None:
            parts.ledger.settle(event_id, waiting, digest(asked.event), digest(outcome))
        parts.live.pop(event_id, None)
        # Below 0 for an event that was dated later than the time to which time was set back.
        delay = max(0.0, now - waiting.time)
        if late:
            parts.counts["late"] += 1
            if after is not None and not waiting.silent:
                parts.metrics.late(waiting.time, asked.groups)
            self._example(asked, waiting, LabelUse(outcome, judged.label, delay, False), out)
            return
        self._score(asked, waiting, judged)
        training = self.teach(asked, waiting, judged, entries, taken.time, out)
        use = LabelUse(outcome, judged.label, delay, True, judged.kpi, judged.weight, training)
        self._example(asked, waiting, use, out)

    def _doubt(self, event_id: str, held: Held, doubt: str, out: list[Output]) -> None:
        """Hold an outcome that cannot be believed, and say how it is released."""
        parts = self._parts
        memory = parts.ledger.memory
        evicted = parts.quarantine.hold(event_id, held)
        parts.counts["quarantined"] += 1
        parts.counts["evicted"] += len(evicted)
        release = command_line(
            "release", parts.use_case.name, data=[event_id], options=("--why", "reason")
        )
        error = Implausible(
            f"{doubt}, so it is not learnt but held, for {spoken(memory)} after its event. If it "
            f"is right: `{release}`. If not, send the right outcome of event {event_id!r}."
        )
        parts.refuse(held.taken, error, out)
        for one in evicted:
            parts.refuse(one.taken, _no_longer_held(one.taken), out)

    def release(self, event_id: str, out: list[Output]) -> bool:
        """Learn an outcome that is held, as if it came only now; False if it is not held."""
        parts = self._parts
        held, waiting = parts.quarantine.held.get(event_id), parts.ledger.find(event_id)
        if held is None or not isinstance(waiting, PendingPrediction):
            return False
        outcome: Outcome = held.taken.body
        asked = self._question(event_id, waiting)
        judged = parts.judge.outcome(asked.event, outcome, waiting.predictions)
        entries = parts.featurizer.outcome_entries(asked.event, outcome, asked.x)
        parts.quarantine.release(event_id)
        parts.ledger.settle(event_id, waiting, digest(asked.event), digest(outcome))
        parts.live.pop(event_id, None)
        parts.counts["released"] += 1
        # One that expired meanwhile is counted as such.
        parts.counts["outcomes"] += not waiting.expired
        self._score(asked, waiting, judged)
        assert parts.watermark.time is not None
        time = min(held.taken.time, parts.watermark.time)
        training = self.teach(asked, waiting, judged, entries, time, out)
        delay = held.arrived - waiting.time
        use = LabelUse(outcome, judged.label, delay, True, judged.kpi, judged.weight, training)
        self._example(asked, waiting, use, out)
        return True

    def _question(self, event_id: str, waiting: PendingPrediction) -> Question:
        """Return what was asked: still at hand, or made again from its bytes, to the same."""
        asked = self._parts.live.get(event_id)
        return asked if asked is not None else self._again(waiting)

    def _again(self, waiting: PendingPrediction) -> Question:
        parts = self._parts
        event = json_reader(parts.use_case.event).validate_json(waiting.event)
        x = parts.packing.features(event, waiting.x)
        segment = parts.grouping.segment(event)
        key = str(getattr(event, parts.use_case.key)).encode()
        shared = parts.publish.of_event(event, waiting.trace)
        groups = parts.grouping.groups(event, segment)
        return Question(event, x, segment, groups, key, shared, orjson.Fragment(encoded(x)))

    def _hold(self, taken: DecodedRecord, outcome: Outcome, out: list[Output]) -> None:
        """Keep an outcome that came before its event."""
        parts, event_id = self._parts, outcome.event_id
        held = parts.ledger.early.get(event_id)
        if held is not None:
            if held.body != outcome:
                raise Conflicting(f"a different outcome already waits for event {event_id!r}.")
            parts.counts["repeats"] += 1
            return
        self.pass_to(taken.time, out)
        for given_up in parts.ledger.early.hold(event_id, taken):
            parts.counts["evicted"] += 1
            parts.refuse(given_up, crowded_out(given_up), out)

    def _score(
        self, asked: Question, waiting: PendingPrediction, judged: Judged, sign: int = 1
    ) -> None:
        """Score all predictions of the event; no later prediction depends on it.

        `sign` -1 takes back what was scored before.
        """
        parts = self._parts
        if not waiting.silent:
            within = coverage_of(waiting.predictions.region, judged.label)
            parts.metrics.scored(
                waiting.time,
                asked.groups,
                judged.scores,
                within,
                paired=judged.paired,
                drawn=waiting.predictions.drawn,
                sure=parts.kind.sure(judged.label, waiting.predictions.served),
                stood_in=judged.stood_in,
                sign=sign,
            )

    def teach(
        self,
        asked: Question,
        waiting: PendingPrediction,
        judged: Judged,
        entries: Entries,
        time: float,
        out: list[Output],
    ) -> TrainingFields | None:
        """Learn from one scored example: everything that later predictions depend on.

        `entries` are what it brings to windows over outcomes. Returns what the learner needs where
        the models are shared.
        """
        parts, segment, issued = self._parts, asked.segment, waiting.predictions
        errors, kpi = judged.errors(parts.kind), judged.kpis
        parts.watcher.errors(errors)
        parts.intervals.learn(issued.served, judged.label, segment, issued.labels, issued.region)
        if judged.own and not waiting.silent:
            start = parts.metrics.start_of(waiting.time)
            parts.router.own.gained(segment, start, waiting.time, judged.own)
        learner = self._learner(waiting)
        training = self._training(errors, kpi, learner)
        if training is None:
            self._guard(judged, issued.baseline, errors, out)
        self._train(asked, judged, issued.baseline, learner, out)
        parts.counts["learnt"] += 1
        parts.enter(entries, time, out)
        return training

    def _training(
        self, errors: dict[str, float], kpi: dict[str, float], learner: str | None
    ) -> TrainingFields | None:
        """Return what the learner needs of an example; None where models learn here."""
        parts = self._parts
        if parts.shared is None:
            return None
        return TrainingFields(parts.shared.clock, errors, kpi, learner, parts.definition)

    def _guard(
        self, judged: Judged, baseline: Predicted, errors: Mapping[str, float], out: list[Output]
    ) -> None:
        """Let the breakers learn."""
        router, lifecycle_log = self._parts.router, self._parts.lifecycle_log
        if router.safeguard.observe(errors, judged.kpis, router.champion, judged.label, baseline):
            out.append(lifecycle_log.breaker(router.champion, router.safeguard))
        for name, guard in router.guards.items():
            if guard.observe(errors, judged.kpis, name, judged.label, baseline):
                out.append(lifecycle_log.breaker(name, guard))

    def _train(
        self,
        asked: Question,
        judged: Judged,
        baseline: Predicted,
        learner: str | None,
        out: list[Output],
        *,
        again: bool = False,
    ) -> None:
        """Let the models learn; where they are shared, the segment's own ones.

        `again`: a corrected example, of which importance and replacements learnt before.
        """
        parts, router = self._parts, self._parts.router
        target = judged.label - baseline if parts.corrects else judged.label
        shown = parts.featurizer.shown(asked.x)
        if not again:
            parts.influence.observe(shown, judged.label, baseline)
        if parts.shared is not None:
            router.learn_own(asked.segment, shown, target, judged.weight, learner)
            return
        if router.bounded:
            router.bounds.update(judged.label)
        if router.replacements and not again:
            label = judged.label, baseline
            parts.reaction.learn(shown, target, judged.weight, label, out, learner)
        for name in router.learn(asked.segment, shown, target, judged.weight, learner):
            out += parts.lifecycle_log.warm(name)

    def _learner(self, waiting: PendingPrediction) -> str | None:
        """Return the one model that learns from an example, where models act on outcomes; None:
        all.
        """
        contest = self._parts.use_case.contest
        if not contest.acts_on_outcome or contest.shared or waiting.silent:
            return None
        drawn = waiting.predictions.drawn
        return self._parts.router.champion if drawn is None else drawn.model

    def _example(
        self, asked: Question, waiting: PendingPrediction, use: LabelUse, out: list[Output]
    ) -> None:
        parts = self._parts
        step, shared = parts.journal.step, asked.shared
        event, segment = asked.event, asked.segment
        if not use.learnt:
            # A default label may be on the topic already: the late outcome is another record.
            shared = parts.publish.of_event(event, waiting.trace, again="late")
        elif use.fold is not None and use.fold[1]:
            shared = parts.publish.of_event(event, waiting.trace, again=str(use.fold[1]))
        about = asked.key, shared
        out.append(parts.publish.example(about, event, segment, asked.vector, waiting, use, step))

    def pass_to(self, time: float, out: list[Output]) -> float:
        """Move the watermark, and let pass what is over by then; returns the watermark."""
        parts = self._parts
        now, ledger = parts.watermark.advance(time), parts.ledger
        stopped = parts.maturity.advance(now)
        if stopped is not None:
            out.append(parts.publish.drift(stopped, parts.journal.step))
        if ledger.due(now):
            for event_id, waiting in ledger.overdue(now):
                self._expire(event_id, waiting, now, out)
            parts.counts["evicted"] += ledger.forget(now)
        if parts.quarantine.ends < now:
            parts.quarantine.forget(now)
        if ledger.early:
            for given_up in ledger.stale_early(now):
                parts.refuse(given_up, self._unmatched(given_up), out)
        if parts.settling.due(now):
            rows = parts.settling.settle(now, parts.journal.step)
            out.extend(map(parts.publish.evidence, rows))
            assert parts.metrics.settled is not None
            turned = parts.router.own.settle(parts.metrics.settled)
            out.extend(map(parts.lifecycle_log.earned, turned))
        before = now - ledger.memory
        if parts.metrics.closes(before):
            log_position = parts.partition, parts.definition, parts.journal.step
            out.extend(map(parts.publish.metric, parts.metrics.close(before, *log_position)))
        return now

    def _expire(
        self, event_id: str, waiting: PendingPrediction, now: float, out: list[Output]
    ) -> None:
        parts = self._parts
        parts.counts["expired"] += 1
        # Its horizon has not passed: it made room for others.
        parts.counts["evicted"] += waiting.time >= now - parts.ledger.horizon
        asked = self._question(event_id, waiting)
        parts.live.pop(event_id, None)
        if not waiting.silent:
            parts.metrics.expired(waiting.time, asked.groups)
        judged = None
        if parts.use_case.label_on_timeout is not None and not self._is_held(event_id):
            judged = parts.judge.default(asked.event, waiting.predictions)
        if judged is None:
            self._note_missing(asked, waiting)
            return
        self._score(asked, waiting, judged)
        training = self.teach(asked, waiting, judged, [], now, out)
        delay = now - waiting.time
        use = LabelUse(None, judged.label, delay, True, judged.kpi, training=training)
        self._example(asked, waiting, use, out)

    def _is_held(self, event_id: str) -> bool:
        """Return whether an implausible label of that event is held."""
        return event_id in self._parts.quarantine.held

    def _note_missing(self, asked: Question, waiting: PendingPrediction) -> None:
        """Count it as missing for the segment's own models that predicted it."""
        own = [model for model, answer in waiting.predictions.own.items() if answer is not None]
        if own and not waiting.silent:
            parts = self._parts
            start = parts.metrics.start_of(waiting.time)
            parts.router.own.note_missing(asked.segment, start, waiting.time, own)

    def _unmatched(self, taken: DecodedRecord) -> Unmatched:
        """Say why an outcome has no prediction: its event never came, or was forgotten by then."""
        memory = spoken(self._parts.ledger.memory)
        return Unmatched(
            f"no event {taken.body.event_id!r} is known. Events are forgotten {memory} after their "
            "time (id_retention): if its event is older, this outcome came after the id was "
            "forgotten, and only a longer id_retention (and horizon) can use it. If the event was "
            "never sent, send it first, under the same key."
        )


def check_key(taken: DecodedRecord, asked: Question) -> None:
    """Raise `Malformed` unless an outcome has its event's Kafka key."""
    if taken.record.key != asked.key:
        raise Malformed(
            "the outcome's Kafka key differs from its event's, "
            f"{asked.key.decode()!r}; send the same"
        )


def crowded_out(taken: DecodedRecord) -> Unmatched:
    """Say why an outcome that came before its event is held no longer."""
    return Unmatched(
        f"no event {taken.body.event_id!r} has come, and outcomes that came before their events "
        "are more than early_limit or early_bytes; most of them have this Kafka key. Send the "
        "event first, under the same key, then the outcome again."
    )


def _no_longer_held(taken: DecodedRecord) -> Implausible:
    return Implausible(
        f"the outcome of event {taken.body.event_id!r} was held as implausible and made room for "
        "newer ones (early_limit, early_bytes): it cannot be released any more. If it is right, "
        "send it again, and release it then."
    )
