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

from hashlib import blake2b
from typing import Any

import orjson

from models.certainty import Certainty, kept
from models.commanding import obey
from models.durations import spoken
from models.explaining import Explainer
from models.features import Featurizer, Vector
from models.grouping import Grouping
from models.journal import Journal
from models.kinds import KINDS
from models.publishing import Learnt, More, Output, Publisher
from models.reading import Reader, Record, Taken
from models.roster import Roster
from models.scoring import Judge, Judged
from models.tally import Tally
from models.telling import Teller
from models.usecase import UseCase
from models.waiting import Ledger, Waiting
from models.watching import Watcher
from models.watermark import Watermark
from schemas.errors import Ahead, Conflicting, Late, Malformed, Rejected, Unmatched
from schemas.headers import traceparent
from schemas.inputs import Command, Event, Outcome


class PartitionTask:
    """All state of one use case on one partition, and the only code that changes it.

    `definition` is the hash of the use case's definition; it is part of every model's version.
    Memory: windows by their keys, waiting predictions by `waiting_limit`, ids by `memory`.
    """

    def __init__(
        self, use_case: UseCase, *, partition: int, partitions: int, definition: str
    ) -> None:
        kind = KINDS[use_case.kind]
        self.use_case = use_case
        self.partition = partition
        self.definition = definition
        self.kind = kind
        self.journal = Journal()
        self.watermark = Watermark(use_case.max_jump_s, use_case.jump_agree)
        self.ledger = Ledger(use_case.horizon, use_case.memory_s, use_case.waiting_limit)
        self.featurizer = Featurizer(use_case.features, use_case.hidden)
        self.roster = Roster(use_case, kind, definition)
        self.tally = Tally(use_case, kind)
        self.counts = dict.fromkeys(
            ("events", "outcomes", "learnt", "late", "expired", "repeats", "tombstones", "refused"),
            0,
        )
        self.grouping = Grouping(use_case)
        self._publish = Publisher(use_case.name, partition, kind, self.roster.names)
        self.certainty = Certainty(use_case)
        self.explainer = Explainer(use_case.explain)
        self.watcher = Watcher(use_case, self.roster.names)
        self._judge = Judge(use_case, kind, self.roster.names)
        self.teller = Teller(self._publish, self.roster, self.journal, self.watermark)
        self._reader = Reader(use_case, partitions)
        self._corrects = use_case.learns != "label"

    # What the journal and its keepers ask for.

    @property
    def seq(self) -> int:
        """The number of the open journal entry."""
        return self.journal.seq

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
        entry = self.journal.seal(self.definition)
        return None if entry is None else orjson.dumps(entry)

    def report(self) -> list[Output]:
        """Metric records of what changed since the last report: a read of the state."""
        rows = self.tally.report(self.partition, self.definition, self.step)
        return [self._publish.metric(row) for row in rows]

    # One step.

    def apply(self, taken: Taken) -> list[Output]:
        """Apply one record and return what it makes known, in order."""
        self.journal.take(taken.input, taken.record.offset)
        out: list[Output] = []
        self.teller.beginning(out, self.definition)
        body = taken.body
        if taken.error is not None:
            self._refuse(taken, taken.error, out)
        elif body is None:
            self.counts["tombstones"] += 1
        elif isinstance(body, Command):
            self._command(taken, body, out)
        elif self.watermark.doubts(taken.time, taken.record.timestamp):
            self._doubted(taken, out)
        else:
            for held in self.watermark.refuse():
                self._refuse(held, self._too_far(held), out)
            self._dated(taken, out)
        return out

    def _dated(self, taken: Taken, out: list[Output]) -> None:
        try:
            if isinstance(taken.body, Event):
                self._event(taken, taken.body, out)
            else:
                assert isinstance(taken.body, Outcome)
                self._outcome(taken, taken.body, out)
        except Rejected as error:
            self._refuse(taken, error, out)

    def _command(self, taken: Taken, command: Command, out: list[Output]) -> None:
        if self.roster.heard(command.command_id):
            self.counts["repeats"] += 1
            return
        try:
            obey(command, self.roster, self.teller, out)
        except Rejected as error:
            self._refuse(taken, error, out)

    def _refuse(self, taken: Taken, error: Rejected, out: list[Output]) -> None:
        self.counts["refused"] += 1
        out.append(self._publish.dead_letter(taken.record, taken.input, error, self.step))

    def _doubted(self, taken: Taken, out: list[Output]) -> None:
        if self.watermark.holds(taken):
            self.counts["repeats"] += 1
            return
        believed, refused = self.watermark.set_aside(taken)
        for held in refused:
            self._refuse(held, self._too_far(held), out)
        for held in believed:
            self._dated(held, out)

    def _too_far(self, taken: Taken) -> Ahead:
        return Ahead(
            f"its time is more than {spoken(self.watermark.max_jump)} ahead of all others. Correct "
            "the producer's clock and send it again, or raise max_jump."
        )

    # Events.

    def _event(self, taken: Taken, event: Event, out: list[Output]) -> None:
        use_case, time, event_id = self.use_case, taken.time, event.event_id
        if self._known(event, event_id):
            self.counts["repeats"] += 1
            return
        reached = self.watermark.time
        if reached is not None and time < reached - use_case.horizon:
            raise Late(
                f"event {event_id!r} is {reached - time:.0f} s behind the watermark; its horizon "
                f"is {spoken(use_case.horizon)}. Use `riverrun backfill` for old events."
            )
        # All that may be rejected comes before all that changes.
        x = self.featurizer.compute(event, time if reached is None else max(time, reached))
        entries = self.featurizer.event_entries(event, x)
        baseline = self._baseline(event)
        segment = self.grouping.segment(event)
        groups = self.grouping.groups(event, segment)
        self._pass_time(time, out)
        self.teller.segment(out, segment)
        shown = self.featurizer.shown(x)
        asked = self.roster.ask(segment, shown, baseline)
        answer = asked.answer
        given = self.certainty.give(answer.said, segment)
        said = (asked.baseline, asked.pooled, asked.own, answer.said, answer.by, given)
        features = orjson.dumps(
            {"event_id": event_id, "event_time": event.event_time, "features": x, "step": self.step}
        )
        record = taken.record
        trace = traceparent(record.headers) if record.headers else None
        assert record.value is not None
        self.ledger.wait(
            event_id, Waiting(time, record.value, features, said, False, taken.silent, trace)
        )
        self.featurizer.enter(entries, time)
        self.counts["events"] += 1
        if not taken.silent:
            self.tally.asked(time, groups, asked.withheld)
            self.teller.withheld(out, asked.withheld)
            base = asked.baseline if self._corrects else 0.0
            reasons = self.explainer.explain(answer.slot, shown, base)
            more = More(segment, given, reasons, self.seq, self.step)
            shared = self._publish.of_event(event, trace)
            out.append(self._publish.features(record, features, shared))
            out.append(self._publish.prediction(record, event, asked, more, shared))
        changes = self.watcher.event(time, x, self.kind.value(answer.said))
        out.extend(self._publish.drift(change, self.step) for change in changes)
        early = self.ledger.early.pop(event_id, None)
        if early is not None:
            self._dated(early, out)

    def _known(self, event: Event, event_id: str) -> bool:
        entry = self.ledger.entries.get(event_id)
        if entry is None:
            return False
        if isinstance(entry, Waiting):
            known = type(event).model_validate_json(entry.event)
            same = known == event or _digest(known) == _digest(event)
        else:
            same = entry[8:16] == _digest(event)
        if not same:
            raise Conflicting(
                f"event id {event_id!r} was used before with other content. Give each event an id "
                "of its own."
            )
        return True

    def _baseline(self, event: Event) -> Any:
        try:
            value = self.use_case.baseline(event)
            self.kind.said_of(value)
        except Exception as error:  # the author's function met data that it cannot take
            raise Malformed(f"the baseline failed on this event: {error}") from error
        return value

    # Outcomes.

    def _outcome(self, taken: Taken, outcome: Outcome, out: list[Output]) -> None:
        event_id = outcome.event_id
        entry = self.ledger.entries.get(event_id)
        if entry is None:
            self._before_its_event(taken, outcome, out)
            return
        if not isinstance(entry, Waiting):
            if entry[16:] != _digest(outcome):
                raise Conflicting(
                    f"event {event_id!r} already has a different outcome. Send each outcome once."
                )
            self.counts["repeats"] += 1
            return
        event = self.use_case.event.model_validate_json(entry.event)
        due = str(getattr(event, self.use_case.key)).encode()
        if taken.record.key != due:
            raise Malformed(
                f"the outcome's Kafka key differs from its event's, {due.decode()!r}; send the same"
            )
        x: Vector = orjson.loads(entry.features)["features"]
        judged = self._judge.outcome(event, outcome, entry.said, self.roster.champion)
        entries = self.featurizer.outcome_entries(event, outcome, x)
        now = self._pass_time(taken.time, out)
        # Its own time may have expired the prediction that it answers, or ended the id's memory.
        after = self.ledger.entries.get(event_id)
        self.counts["outcomes"] += 1
        if isinstance(after, Waiting):
            self.ledger.settle(event_id, after, _digest(event), _digest(outcome))
            entry = after
        delay = now - entry.time
        if after is None or entry.expired:
            self._late(event, outcome, entry, x, judged, delay, out, counted=after is not None)
            return
        self._learn(event, entry, x, judged, out)
        self.featurizer.enter(entries, taken.time)
        learnt = Learnt(outcome, judged.label, delay, True, judged.kpi, judged.weight)
        self._example(event, entry, x, learnt, out)

    def _late(
        self,
        event: Event,
        outcome: Outcome,
        waiting: Waiting,
        x: Vector,
        judged: Judged,
        delay: float,
        out: list[Output],
        *,
        counted: bool,
    ) -> None:
        """Published, not learnt, and counted in its window while that is open."""
        self.counts["late"] += 1
        if counted and not waiting.silent:
            groups = self.grouping.groups(event, self.grouping.segment(event))
            self.tally.late(waiting.time, groups)
        self._example(event, waiting, x, Learnt(outcome, judged.label, delay, False), out)

    def _before_its_event(self, taken: Taken, outcome: Outcome, out: list[Output]) -> None:
        event_id = outcome.event_id
        held = self.ledger.early.get(event_id)
        if held is not None:
            if held.body != outcome:
                raise Conflicting(f"a different outcome already waits for event {event_id!r}.")
            self.counts["repeats"] += 1
            return
        self._pass_time(taken.time, out)
        for given_up in self.ledger.hold_early(event_id, taken, self.use_case.early_limit):
            self._refuse(given_up, _unmatched(given_up), out)

    def _learn(
        self, event: Event, waiting: Waiting, x: Vector, judged: Judged, out: list[Output]
    ) -> None:
        """Score every answer that was made, then learn."""
        segment = self.grouping.segment(event)
        if not waiting.silent:
            groups = self.grouping.groups(event, segment)
            within = kept(waiting.said[5], judged.label)
            self.tally.scored(waiting.time, groups, judged.scores, within)
        self.certainty.learn(waiting.said[3], judged.label, segment)
        if judged.own is not None and segment is not None:
            earning = self.roster.earning.get(segment)
            if earning is not None and earning.update(*judged.own):
                self.teller.earned(out, segment)
        champion = self.roster.champion
        if self.roster.safeguard.learnt(judged, champion, waiting.said[0]):
            self.teller.breaker(out)
        error = self.kind.error
        self.watcher.errors((name, error(losses)) for name, _, losses in judged.scores)
        target = judged.label - waiting.said[0] if self._corrects else judged.label
        self.roster.learn(segment, self.featurizer.shown(x), target, judged.weight)
        self.counts["learnt"] += 1

    def _example(
        self, event: Event, waiting: Waiting, x: Vector, learnt: Learnt, out: list[Output]
    ) -> None:
        segment = self.grouping.segment(event)
        key = str(getattr(event, self.use_case.key)).encode()
        out.append(self._publish.example(key, event, segment, x, waiting, learnt, self.step))

    # Time.

    def _pass_time(self, time: float, out: list[Output]) -> float:
        """Move the watermark, and let pass what is over by then; returns the watermark."""
        now = self.watermark.advance(time)
        ledger = self.ledger
        if ledger.due(now):
            for event_id, waiting in ledger.overdue(now):
                self._expire(event_id, waiting, now, out)
            ledger.forget(now)
        if ledger.early:
            for given_up in ledger.stale_early(now):
                self._refuse(given_up, _unmatched(given_up), out)
        if self.tally.closes(now - ledger.memory):
            rows = self.tally.close(now - ledger.memory, self.partition, self.definition, self.step)
            out.extend(map(self._publish.metric, rows))
        return now

    def _expire(self, event_id: str, waiting: Waiting, now: float, out: list[Output]) -> None:
        self.counts["expired"] += 1
        event = self.use_case.event.model_validate_json(waiting.event)
        if not waiting.silent:
            self.tally.expired(
                waiting.time, self.grouping.groups(event, self.grouping.segment(event))
            )
        if self.use_case.never is None:
            return
        x: Vector = orjson.loads(waiting.features)["features"]
        judged = self._judge.default(event, waiting.said, self.roster.champion)
        self._learn(event, waiting, x, judged, out)
        learnt = Learnt(None, judged.label, now - waiting.time, True)
        self._example(event, waiting, x, learnt, out)


def _digest(body: Event | Outcome) -> bytes:
    # What was not sent is left out, so that a field which the schema gains changes nothing.
    sent, fields = body.model_fields_set, body.__dict__
    if len(sent) < len(fields):
        fields = {name: value for name, value in fields.items() if name in sent}
    try:
        text = orjson.dumps(fields)
    except TypeError:  # numbers beyond 64 bits, and types that only pydantic writes
        text = body.model_dump_json(exclude_unset=True).encode()
    return blake2b(text, digest_size=8).digest()


def _unmatched(taken: Taken) -> Unmatched:
    assert isinstance(taken.body, Outcome)
    return Unmatched(
        f"no event {taken.body.event_id!r} came within the horizon of this outcome. Send the "
        "event first, under the same key."
    )
