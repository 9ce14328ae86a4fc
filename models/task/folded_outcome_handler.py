"""Outcomes that make a label together: collected, folded when the label is due, corrected after it.

    outcomes ──▶ collected ──an event passes `until`──▶ label: scored, learnt, published
                     └────── a correction, until the horizon ──▶ scored again, learnt, published

Events move time here, and outcomes do not: so what is predicted depends on which outcomes have come
by then, and not on the order in which they came. What the author's functions make of the outcomes
is tried as each comes, so that nothing fails when the label is due.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from models.features.featurizer import Entries
from models.inputs.decoder import DecodedRecord
from models.metrics.scoring import Judged
from models.outputs.output_records import LabelUse, Output, TrainingFields
from models.pending.codec import PendingPrediction, digests
from models.pending.collected_outcomes import CollectedOutcome, Collection, folded, together
from models.spec.label_fold import FoldedOutcome, LabelFold
from models.task.outcome_handler import OutcomeHandler, check_key, crowded_out
from models.task.state import Question, digest
from models.values.durations import spoken
from schemas.command_line import command_line
from schemas.errors import AUTHORS_FAULTS, Implausible, Late, Malformed
from schemas.events import Outcome


class Folded(NamedTuple):
    """The joint outcome that an event's outcomes make, its scores, its window entries,
    and why the label is not plausible, if it is not.
    """

    outcome: FoldedOutcome
    judged: Judged
    entries: Entries
    doubt: str | None


class Known(NamedTuple):
    """A label that is known since a time (seconds UTC), and the one that it takes the place of."""

    previous: Folded | None
    current: Folded
    since: float


class FoldedOutcomeHandler(OutcomeHandler):
    """Takes outcomes of a use case whose label is a fold; changes the parts that it is given."""

    def outcome(self, taken: DecodedRecord, outcome: Outcome, out: list[Output]) -> None:
        """Collect an outcome, hold it until its event comes, count it again, or reject it."""
        parts, event_id = self._parts, outcome.event_id
        self._fold.id_of(outcome)  # raises where it has none
        entry = parts.ledger.find(event_id)
        if entry is None:
            self._hold(taken, outcome, out)
        elif isinstance(entry, PendingPrediction) and not entry.expired:
            self._collect(taken, outcome, entry, out)
        elif isinstance(entry, PendingPrediction):
            self._late(taken, outcome, entry, out)
        elif _one_of(digest(outcome), digests(entry)[1]):
            parts.counts["repeats"] += 1
        else:
            raise Late(self._after_horizon(event_id))

    # What comes.

    def _collect(
        self,
        taken: DecodedRecord,
        outcome: Outcome,
        waiting: PendingPrediction,
        out: list[Output],
    ) -> None:
        parts, event_id = self._parts, outcome.event_id
        asked = self._question(event_id, waiting)
        check_key(taken, asked)
        if taken.time > waiting.time + parts.ledger.horizon:
            raise Late(self._after_horizon(event_id))
        before, name = parts.collected.of(event_id), self._fold.id_of(outcome)
        new = CollectedOutcome(taken.time, taken, digest(outcome))
        known = before.get(name)
        put = new if known is None else known.with_version(new)
        if put is known:
            parts.counts["repeats"] += 1
            return
        after = {**before, name: put}
        limit, room = self._fold.limit, parts.use_case.waiting_bytes
        if len(after) > limit:
            raise Malformed(
                f"event {event_id!r} has {limit} outcomes already, the limit of its label's fold. "
                "Raise `limit`, or send fewer."
            )
        if parts.collected.bytes + put.size - (0 if known is None else known.size) > room:
            raise Malformed(
                f"the outcomes of events that wait take {room} bytes already (waiting_bytes). "
                "Raise it, or send fewer or smaller ones."
            )
        due = event_id not in parts.collected.pending
        counted = parts.collected.is_labelled(event_id)
        previous = self._folded(asked, waiting, before) if counted else None
        current = self._folded(asked, waiting, after)
        if previous is not None and current is None:
            raise Malformed("this correction leaves no label; let it give one")
        parts.counts["outcomes"] += 1
        parts.collected.put(event_id, name, put)
        if due and current is not None:
            known_now = Known(previous, current, self._now(taken))
            self._count(asked, waiting, known_now, taken, out)

    def _hold(self, taken: DecodedRecord, outcome: Outcome, out: list[Output]) -> None:
        """Keep an outcome that came before its event."""
        parts = self._parts
        # Each version has a key of its own: which of them counts is decided when the event is
        # there.
        key = f"{outcome.event_id}\0{self._fold.id_of(outcome)}\0{digest(outcome).hex()}"
        if key in parts.ledger.early:
            parts.counts["repeats"] += 1
            return
        for given_up in parts.ledger.early.hold(key, taken):
            parts.counts["evicted"] += 1
            parts.refuse(given_up, crowded_out(given_up), out)

    def _late(
        self,
        taken: DecodedRecord,
        outcome: Outcome,
        waiting: PendingPrediction,
        out: list[Output],
    ) -> None:
        """Publish the first outcome of an event that expired without a label; nothing learns it."""
        parts, event_id = self._parts, outcome.event_id
        asked = self._question(event_id, waiting)
        check_key(taken, asked)
        joined = self._fold.joined(asked.event, (outcome,))
        if joined is None:
            raise Late(self._after_horizon(event_id))
        judged = parts.judge.outcome(asked.event, joined, waiting.predictions)
        parts.ledger.settle(event_id, waiting, digest(asked.event), digest(outcome))
        if not waiting.silent:
            parts.metrics.late(waiting.time, asked.groups)
        parts.live.pop(event_id, None)
        parts.counts["outcomes"] += 1
        parts.counts["late"] += 1
        delay = max(0.0, self._now(taken) - waiting.time)
        self._example(asked, waiting, LabelUse(joined, judged.label, delay, False), out)

    # What is made of it.

    def pass_to(self, time: float, out: list[Output]) -> float:
        """Move the watermark by an event: what is over by then passes, then labels become due."""
        now = super().pass_to(time, out)
        self.due(now, out)
        return now

    def due(self, now: float, out: list[Output]) -> None:
        """Learn the labels that are due at `now`, in the order of their events."""
        for event_id in self._parts.collected.due(now):
            waiting = self._parts.ledger.find(event_id)
            if isinstance(waiting, PendingPrediction):
                self._fall_due(event_id, waiting, out)

    def _fall_due(self, event_id: str, waiting: PendingPrediction, out: list[Output]) -> None:
        """Learn the label of an event, if its outcomes make one."""
        collection, end = self._parts.collected.of(event_id), waiting.time + self._fold.until
        asked = self._question(event_id, waiting)
        try:
            current = self._folded(asked, waiting, collection)
        except Malformed:  # of no outcome at all: every other set of them was tried
            current = None
        if current is not None:
            newest = max(folded(collection, end), key=lambda one: one.taken.time, default=None)
            taken = None if newest is None else newest.taken
            self._count(asked, waiting, Known(None, current, end), taken, out)

    def _folded(
        self, asked: Question, waiting: PendingPrediction, collection: Collection
    ) -> Folded | None:
        """Return what the outcomes make; None if no label. Raises `Malformed`."""
        parts, until = self._parts, self._fold.until
        outcomes = [one.taken.body for one in folded(collection, waiting.time + until)]
        end = asked.event.event_time + timedelta(seconds=until)
        try:
            joined = self._fold.joined(asked.event, outcomes, end)
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            raise Malformed(
                f"nothing can be learnt from this outcome: label failed: {type(error).__name__}: "
                f"{error}. Fix the outcome, or the use case's label."
            ) from error
        if joined is None:
            return None
        judged = parts.judge.outcome(asked.event, joined, waiting.predictions)
        entries = parts.featurizer.outcome_entries(asked.event, joined, asked.x)
        doubt = parts.judge.doubt(asked.event, joined, judged.label)
        return Folded(joined, judged, entries, doubt)

    def _count(
        self,
        asked: Question,
        waiting: PendingPrediction,
        known: Known,
        taken: DecodedRecord | None,
        out: list[Output],
    ) -> None:
        """Count a label that is due, in the place of the one before; or withhold it, if it is not
        plausible. `taken`: the newest outcome in it, if it has any.
        """
        collected, event_id = self._parts.collected, asked.event.event_id
        doubt = known.current.doubt
        if doubt is not None and not collected.is_released(event_id):
            self._withhold(asked, waiting, known, out)
            if taken is not None:
                self._parts.refuse(taken, self._implausible(event_id, doubt), out)
            return
        collected.withheld.discard(event_id)
        if event_id in collected.revisions:
            self._correct(asked, waiting, known, out)
        else:
            self._label(asked, waiting, known, out)

    def _label(
        self, asked: Question, waiting: PendingPrediction, known: Known, out: list[Output]
    ) -> None:
        """Score, learn and publish an event's label."""
        parts, current = self._parts, known.current
        if not waiting.silent:
            parts.maturity.labelled(waiting.time, asked.segment)
        parts.collected.revisions[asked.event.event_id] = 0
        self._score(asked, waiting, current.judged)
        # Windows have it as of the fold's end, whenever it came.
        time = waiting.time + self._fold.until
        training = self.teach(asked, waiting, current.judged, current.entries, time, out)
        self._publish(asked, waiting, known, training, out)

    def _correct(
        self, asked: Question, waiting: PendingPrediction, known: Known, out: list[Output]
    ) -> None:
        """Put a label in the place of the one that was learnt."""
        parts, previous, current = self._parts, known.previous, known.current
        if previous is not None and _counts_alike(previous, current):
            return
        parts.collected.revisions[asked.event.event_id] += 1
        parts.counts["corrected"] += 1
        if previous is not None:
            self._score(asked, waiting, previous.judged, sign=-1)
        self._score(asked, waiting, current.judged)
        time, before = waiting.time + self._fold.until, previous.entries if previous else []
        parts.replace(before, current.entries, time, out)
        training = self._teach_again(asked, waiting, current.judged, out)
        self._publish(asked, waiting, known, training, out)

    def _withhold(
        self, asked: Question, waiting: PendingPrediction, known: Known, out: list[Output]
    ) -> None:
        """Take back a label whose correction is not plausible; models keep what they learnt."""
        parts, event_id, previous = self._parts, asked.event.event_id, known.previous
        parts.counts["quarantined"] += event_id not in parts.collected.withheld
        parts.collected.withheld.add(event_id)
        if previous is None:
            return
        parts.collected.revisions[event_id] += 1
        self._score(asked, waiting, previous.judged, sign=-1)
        parts.replace(previous.entries, [], waiting.time + self._fold.until, out)
        self._publish(asked, waiting, known, None, out, learnt=False)

    def release(self, event_id: str, out: list[Output]) -> bool:
        """Count a label that is withheld, as if it came only now; False if it is not withheld."""
        parts = self._parts
        waiting, withheld = parts.ledger.find(event_id), event_id in parts.collected.withheld
        if not withheld or not isinstance(waiting, PendingPrediction):
            return False
        asked = self._question(event_id, waiting)
        current = self._folded(asked, waiting, parts.collected.of(event_id))
        if current is None:
            return False
        parts.collected.release(event_id)
        parts.counts["released"] += 1
        assert parts.watermark.time is not None
        self._count(asked, waiting, Known(None, current, parts.watermark.time), None, out)
        return True

    def _teach_again(
        self, asked: Question, waiting: PendingPrediction, judged: Judged, out: list[Output]
    ) -> TrainingFields | None:
        """Let the models learn a corrected example; breakers and detectors keep what they saw.

        Returns what the learner needs where the models are shared.
        """
        parts, learner = self._parts, self._learner(waiting)
        self._train(asked, judged, waiting.predictions.baseline, learner, out, again=True)
        parts.counts["learnt"] += 1
        return self._training(judged.errors(parts.kind), judged.kpis, learner)

    def _expire(
        self, event_id: str, waiting: PendingPrediction, now: float, out: list[Output]
    ) -> None:
        """Let an event go at its horizon: labelled by now, or expired without a label."""
        parts = self._parts
        if parts.collected.take(event_id):
            self._fall_due(event_id, waiting, out)
        labelled = parts.collected.is_labelled(event_id)
        withheld = self._is_held(event_id)
        asked, end = self._question(event_id, waiting), waiting.time + self._fold.until
        if not labelled:
            super()._expire(event_id, waiting, now, out)
        collected = parts.collected.forget(event_id)
        for one in collected:
            if one.first > end:
                parts.refuse(one.taken, Late(self._after_until(event_id)), out)
        if labelled or withheld:
            parts.live.pop(event_id, None)
            event = digest(asked.event)
            parts.ledger.settle(event_id, waiting, event, together(collected))

    def _is_held(self, event_id: str) -> bool:
        return event_id in self._parts.collected.withheld

    # Plain work.

    def _now(self, taken: DecodedRecord) -> float:
        """Return when an outcome is known: as it happens, or where it is behind, by now."""
        reached = self._parts.watermark.time
        return taken.time if reached is None else max(taken.time, reached)

    @property
    def _fold(self) -> LabelFold:
        fold = self._parts.use_case.label
        assert isinstance(fold, LabelFold)
        return fold

    def _publish(
        self,
        asked: Question,
        waiting: PendingPrediction,
        known: Known,
        training: TrainingFields | None,
        out: list[Output],
        *,
        learnt: bool = True,
    ) -> None:
        """Publish the example of a label, or of one that is not learnt."""
        outcome, judged = known.current.outcome, known.current.judged
        delay = max(0.0, known.since - waiting.time)
        revision = self._parts.collected.revisions[asked.event.event_id]
        fold = known.since, revision, len(outcome.outcomes)
        kpi, weight = (judged.kpi, judged.weight) if learnt else (None, None)
        example = LabelUse(outcome, judged.label, delay, learnt, kpi, weight, training, fold)
        self._example(asked, waiting, example, out)

    def _implausible(self, event_id: str, doubt: str) -> Implausible:
        release = command_line(
            "release", self._parts.use_case.name, data=[event_id], options=("--why", "reason")
        )
        return Implausible(
            f"{doubt}, so it is not learnt but held, until {spoken(self._parts.ledger.horizon)} "
            f"after its event. If it is right: `{release}`. If not, send a correction of the "
            f"outcome of event {event_id!r} that is wrong."
        )

    def _after_horizon(self, event_id: str) -> str:
        horizon = spoken(self._parts.ledger.horizon)
        return (
            f"the label of event {event_id!r} is closed: its horizon, {horizon} after the event, "
            "has passed. Only a longer horizon takes outcomes and corrections as late as this."
        )

    def _after_until(self, event_id: str) -> str:
        return (
            f"this outcome of event {event_id!r} happened after the label's fold had ended, "
            f"{spoken(self._fold.until)} after the event, and corrects none that is part of it. "
            f"Declare a longer `until`, or give it the {self._fold.id} of what it corrects."
        )


def _one_of(digest: bytes, together: bytes) -> bool:
    size = len(digest)
    return any(together[i : i + size] == digest for i in range(0, len(together), size))


def _counts_alike(one: Folded, other: Folded) -> bool:
    return (one.judged, _values(one)) == (other.judged, _values(other))


def _values(current: Folded) -> list[tuple[object, object]]:
    return [(key, value) for _, key, value in current.entries]
