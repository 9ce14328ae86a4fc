"""From an outcome to what is learnt of it, and what the passing of time means.

All that may be rejected comes before all that changes. A prediction is judged by what was said
then, learnt once, and never looked at again.
"""

from __future__ import annotations

import shlex

import orjson

from models.certainty import kept
from models.durations import spoken
from models.encoding import encoded
from models.features import Entries
from models.packing import EXPIRED, Waiting, digests
from models.parts import Parts, Question, digest
from models.publishing import Learnt, Output
from models.quarantine import Held
from models.reading import Taken
from models.scoring import Judged
from schemas.errors import Conflicting, Implausible, Malformed, Unmatched
from schemas.inputs import Outcome


class Learning:
    """Takes outcomes and passes time; changes the parts that it is given."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def outcome(self, taken: Taken, outcome: Outcome, out: list[Output]) -> None:
        """One outcome: learnt, held until its event comes or it is released, counted again, late,
        or rejected.
        """
        parts = self._parts
        event_id = outcome.event_id
        entry = parts.ledger.find(event_id)
        if entry is None:
            self._hold(taken, outcome, out)
        elif isinstance(entry, Waiting):
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

    def _settle(self, taken: Taken, outcome: Outcome, waiting: Waiting, out: list[Output]) -> None:
        parts, event_id = self._parts, outcome.event_id
        asked = self._question(event_id, waiting)
        if taken.record.key != asked.key:
            raise Malformed(
                "the outcome's Kafka key differs from its event's, "
                f"{asked.key.decode()!r}; send the same"
            )
        judged = parts.judge.outcome(asked.event, outcome, waiting.said)
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
        parts.quarantine.release(event_id)
        if after is not None:
            parts.ledger.settle(event_id, waiting, digest(asked.event), digest(outcome))
        parts.live.pop(event_id, None)
        delay = now - waiting.time
        if late:
            parts.counts["late"] += 1
            if after is not None and not waiting.silent:
                parts.tally.late(waiting.time, asked.groups)
            self._example(asked, waiting, Learnt(outcome, judged.label, delay, False), out)
            return
        self._score(asked, waiting, judged)
        self.teach(asked, waiting, judged, entries, taken.time, out)
        learnt = Learnt(outcome, judged.label, delay, True, judged.kpi, judged.weight)
        self._example(asked, waiting, learnt, out)

    def _doubt(self, event_id: str, held: Held, doubt: str, out: list[Output]) -> None:
        """Hold an outcome that cannot be believed, and say how it is released."""
        parts = self._parts
        memory = parts.ledger.memory
        parts.quarantine.hold(event_id, held)
        parts.counts["quarantined"] += 1
        release = f"riverrun release {parts.use_case.name} {shlex.quote(event_id)} --why …"
        error = Implausible(
            f"{doubt}, so it is not learnt but held, for {spoken(memory)} after its event. If it "
            f"is right: `{release}`. If not, send the right outcome of event {event_id!r}."
        )
        parts.refuse(held.taken, error, out)

    def release(self, event_id: str, out: list[Output]) -> bool:
        """Learn an outcome that is held, as if it came only now; False if it is not held."""
        parts = self._parts
        held, waiting = parts.quarantine.held.get(event_id), parts.ledger.find(event_id)
        if held is None or not isinstance(waiting, Waiting):
            return False
        outcome: Outcome = held.taken.body
        asked = self._question(event_id, waiting)
        judged = parts.judge.outcome(asked.event, outcome, waiting.said)
        entries = parts.featurizer.outcome_entries(asked.event, outcome, asked.x)
        parts.quarantine.release(event_id)
        parts.ledger.settle(event_id, waiting, digest(asked.event), digest(outcome))
        parts.live.pop(event_id, None)
        parts.counts["released"] += 1
        # One that expired meanwhile is counted as such.
        parts.counts["outcomes"] += not waiting.expired
        self._score(asked, waiting, judged)
        self.teach(asked, waiting, judged, entries, held.taken.time, out)
        delay = held.arrived - waiting.time
        learnt = Learnt(outcome, judged.label, delay, True, judged.kpi, judged.weight)
        self._example(asked, waiting, learnt, out)
        return True

    def _question(self, event_id: str, waiting: Waiting) -> Question:
        """What was asked: still at hand, or made again from its bytes, which gives the same."""
        asked = self._parts.live.get(event_id)
        return asked if asked is not None else self._again(waiting)

    def _again(self, waiting: Waiting) -> Question:
        parts = self._parts
        event = parts.use_case.event.__pydantic_validator__.validate_json(waiting.event)
        x = parts.packing.features(event, waiting.x)
        segment = parts.grouping.segment(event)
        key = str(getattr(event, parts.use_case.key)).encode()
        shared = parts.publish.of_event(event, waiting.trace)
        groups = parts.grouping.groups(event, segment)
        return Question(event, x, segment, groups, key, shared, orjson.Fragment(encoded(x)))

    def _hold(self, taken: Taken, outcome: Outcome, out: list[Output]) -> None:
        """Keep an outcome that came before its event."""
        parts, event_id = self._parts, outcome.event_id
        held = parts.ledger.early.get(event_id)
        if held is not None:
            if held.body != outcome:
                raise Conflicting(f"a different outcome already waits for event {event_id!r}.")
            parts.counts["repeats"] += 1
            return
        self.pass_to(taken.time, out)
        for given_up in parts.ledger.hold_early(event_id, taken, parts.use_case.early_limit):
            parts.refuse(given_up, _unmatched(given_up), out)

    def _score(self, asked: Question, waiting: Waiting, judged: Judged) -> None:
        """Score every answer that was made: what nothing that is said later depends on."""
        parts = self._parts
        if not waiting.silent:
            within = kept(waiting.said[5], judged.label)
            parts.tally.scored(
                waiting.time,
                asked.groups,
                judged.scores,
                within,
                paired=judged.paired,
                drawn=waiting.said[7],
                sure=parts.kind.sure(judged.label, waiting.said[3]),
            )

    def teach(
        self,
        asked: Question,
        waiting: Waiting,
        judged: Judged,
        entries: Entries,
        time: float,
        out: list[Output],
    ) -> None:
        """Learn from one scored example: all that it changes in what is said later.

        `entries` are what it brings to windows over outcomes.
        """
        parts, segment = self._parts, asked.segment
        baseline, served = waiting.said[0], waiting.said[3]
        parts.watcher.errors(judged.scores)
        parts.certainty.learn(served, judged.label, segment)
        if judged.own and not waiting.silent:
            start = parts.tally.start_of(waiting.time)
            parts.roster.own.gained(segment, start, waiting.time, judged.own)
        if parts.roster.safeguard.learnt(judged, parts.roster.champion, baseline):
            parts.teller.breaker(out, parts.roster.champion, parts.roster.safeguard)
        for name, guard in parts.roster.guards.items():
            if guard.learnt(judged, name, baseline):
                parts.teller.breaker(out, name, guard)
        target = judged.label - baseline if parts.corrects else judged.label
        shown = parts.featurizer.shown(asked.x)
        learner = self._learner(waiting)
        if parts.roster.bounded:
            parts.roster.bounds.update(judged.label)
        parts.influence.learnt(shown, judged.label, baseline)
        if parts.roster.heirs:
            label = judged.label, baseline
            parts.reaction.learn(shown, target, judged.weight, label, out, learner)
        for name in parts.roster.learn(segment, shown, target, judged.weight, learner):
            parts.teller.warm(out, name)
        parts.counts["learnt"] += 1
        parts.featurizer.enter(entries, time)

    def _learner(self, waiting: Waiting) -> str | None:
        """The one model that learns from an example, where models act on outcomes; None: all."""
        contest = self._parts.use_case.contest
        if not contest.acts_on_outcome or contest.shared or waiting.silent:
            return None
        drawn = waiting.said[7]
        return self._parts.roster.champion if drawn is None else drawn.model

    def _example(
        self, asked: Question, waiting: Waiting, learnt: Learnt, out: list[Output]
    ) -> None:
        parts = self._parts
        step, shared = parts.journal.step, asked.shared
        event, segment = asked.event, asked.segment
        if not learnt.learnt:
            # A default label may be on the topic already: the late outcome is another record.
            shared = parts.publish.of_event(event, waiting.trace, late=True)
        about = asked.key, shared
        out.append(
            parts.publish.example(about, event, segment, asked.vector, waiting, learnt, step)
        )

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
            ledger.forget(now)
        if parts.quarantine.ends < now:
            parts.quarantine.forget(now)
        if ledger.early:
            for given_up in ledger.stale_early(now):
                parts.refuse(given_up, _unmatched(given_up), out)
        if parts.settling.due(now):
            rows = parts.settling.settle(now, parts.journal.step)
            out.extend(map(parts.publish.evidence, rows))
            assert parts.tally.settled is not None
            for turned in parts.roster.own.settle(parts.tally.settled):
                parts.teller.earned(out, turned)
        before = now - ledger.memory
        if parts.tally.closes(before):
            place = parts.partition, parts.definition, parts.journal.step
            out.extend(map(parts.publish.metric, parts.tally.close(before, *place)))
        return now

    def _expire(self, event_id: str, waiting: Waiting, now: float, out: list[Output]) -> None:
        parts = self._parts
        parts.counts["expired"] += 1
        asked = self._question(event_id, waiting)
        parts.live.pop(event_id, None)
        if not waiting.silent:
            parts.tally.expired(waiting.time, asked.groups)
        if parts.use_case.never is None or event_id in parts.quarantine.held:
            return
        judged = parts.judge.default(asked.event, waiting.said)
        self._score(asked, waiting, judged)
        self.teach(asked, waiting, judged, [], now, out)
        learnt = Learnt(None, judged.label, now - waiting.time, True)
        self._example(asked, waiting, learnt, out)


def _unmatched(taken: Taken) -> Unmatched:
    return Unmatched(
        f"no event {taken.body.event_id!r} came within the horizon of this outcome. Send the "
        "event first, under the same key."
    )
