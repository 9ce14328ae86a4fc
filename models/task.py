"""The partition task: one use case on one Kafka partition, as a deterministic state machine.

    state, outputs = apply(state, record)

It reads no clock, no network and no unseeded randomness: time is what the records say, order is
what the journal says. So the same records in the same order give the same floats, whether they
come from Kafka, from a file or from a test. Call order: `read` each record, `apply` what
`models.alignment.choose` picks, `seal` when what was applied is to be committed.

Rules of a step:
1. A record that cannot be used raises `Rejected` inside and leaves as a dead letter; of the state,
   at most the watermark has moved.
2. Anything else that is raised is a bug: the caller stops without committing.
3. A prediction is scored with what was said then, learnt once, and never looked at again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from models.commanding import obey
from models.features import Featurizer, Vector
from models.grouping import Grouping
from models.journal import Journal
from models.kinds import KINDS, Said
from models.publishing import Learnt, Output, Publisher
from models.reading import Reader, Record, Taken
from models.roster import Roster
from models.tally import Tally
from models.telling import Teller
from models.usecase import UseCase
from models.waiting import Ledger, Waiting
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
        self.watermark = Watermark(use_case.max_jump, use_case.jump_agree)
        self.ledger = Ledger(use_case.horizon, use_case.memory_s, use_case.waiting_limit)
        self.featurizer = Featurizer(use_case.features)
        self.roster = Roster(use_case, kind, definition)
        self.tally = Tally(use_case, kind)
        self.counts = dict.fromkeys(
            ("events", "outcomes", "learnt", "late", "expired", "repeats", "tombstones", "refused"),
            0,
        )
        self.grouping = Grouping(use_case)
        self._publish = Publisher(use_case.name, partition, kind, self.roster.names)
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
        try:
            obey(command, self.roster, self.teller, out)
        except Rejected as error:
            self._refuse(taken, error, out)

    def _refuse(self, taken: Taken, error: Rejected, out: list[Output]) -> None:
        self.counts["refused"] += 1
        out.append(self._publish.dead_letter(taken.record, taken.input, error, self.step))

    def _doubted(self, taken: Taken, out: list[Output]) -> None:
        believed, refused = self.watermark.set_aside(taken)
        for held in refused:
            self._refuse(held, self._too_far(held), out)
        for held in believed:
            self._dated(held, out)

    def _too_far(self, taken: Taken) -> Ahead:
        body = taken.body
        time = body.event_time if isinstance(body, Event) else body.outcome_time  # type: ignore[union-attr]
        return Ahead(
            f"its time {time.isoformat()} is more than {self.use_case.max_jump:g} s ahead of all "
            "others. Correct the producer's clock and send it again, or raise max_jump."
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
                f"is {use_case.horizon:g} s. Use `riverrun backfill` for old events."
            )
        now = self._pass_time(time, out)
        x = self.featurizer.compute(event, now)
        entries = self.featurizer.event_entries(event, x)
        baseline = self._baseline(event)
        segment = self.grouping.segment(event)
        groups = self.grouping.groups(event, segment)
        self.teller.segment(out, segment)
        asked = self.roster.ask(segment, x, baseline)
        said = (asked.baseline, asked.pooled, asked.own, asked.answer.said, asked.answer.by)
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
            place = (self.seq, self.step)
            out.append(self._publish.features(record, event, features, trace))
            out.append(self._publish.prediction(record, event, segment, asked, place, trace))
        early = self.ledger.early.pop(event_id, None)
        if early is not None:
            self._dated(early, out)

    def _known(self, event: Event, event_id: str) -> bool:
        entry = self.ledger.entries.get(event_id)
        if entry is None:
            return False
        if isinstance(entry, Waiting):
            same = type(event).model_validate_json(entry.event) == event
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
        y = self._label(event, outcome)
        entries = self.featurizer.outcome_entries(event, outcome, x)
        now = self._pass_time(taken.time, out)
        # Its own time may have expired the prediction that it answers.
        entry = self.ledger.entries[event_id]
        assert isinstance(entry, Waiting)
        self.counts["outcomes"] += 1
        self.ledger.settle(event_id, entry, _digest(event), _digest(outcome))
        delay = now - entry.time
        if entry.expired:
            self.counts["late"] += 1
            self.tally.late(entry.time, self.grouping.groups(event, self.grouping.segment(event)))
            self._example(event, entry, x, Learnt(outcome, y, delay, False), out)
            return
        weight = None if self.use_case.weight is None else self.use_case.weight(event, outcome)
        kpi = self._learn(event, outcome, entry, x, y, weight, out)
        self.featurizer.enter(entries, taken.time)
        self._example(event, entry, x, Learnt(outcome, y, delay, True, kpi, weight), out)

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

    def _label(self, event: Event, outcome: Outcome) -> Any:
        try:
            return self.kind.label(self.use_case.label(event, outcome))
        except Exception as error:  # the author's function met data that it cannot take
            raise Malformed(f"no label can be made of this outcome: {error}") from error

    def _learn(
        self,
        event: Event,
        outcome: Outcome | None,
        entry: Waiting,
        x: Vector,
        y: Any,
        weight: float | None,
        out: list[Output],
    ) -> float | None:
        """Score every answer that was made, then learn; returns the KPI of what was served."""
        baseline, pooled, own, served, _ = entry.said
        segment = self.grouping.segment(event)
        answers: list[tuple[str, Said]] = [("served", served), ("baseline", baseline)]
        usable, limits = self.kind.usable, self.use_case.limits
        for name, said in zip(self.roster.names, pooled, strict=True):
            # What could not have been served is scored as what would have been.
            ok = said is not None and usable(said, limits)
            answers.append((name, said if ok else baseline))
        losses, value = self.kind.losses, self.kind.value
        scores = [
            (name, self._kpi(event, outcome, value(said)), losses(y, said))
            for name, said in answers
        ]
        if not entry.silent:
            self.tally.scored(entry.time, self.grouping.groups(event, segment), scores)
        if own is not None and segment is not None:
            self._earn(segment, losses(y, own)[0], y, pooled, out)
        self.roster.learn(segment, x, y - baseline if self._corrects else y, weight)
        self.counts["learnt"] += 1
        return scores[0][1]

    def _earn(
        self, segment: str, own_loss: float, y: Any, pooled: tuple[Said | None, ...], out: Any
    ) -> None:
        earning = self.roster.earning.get(segment)
        said = pooled[self.roster.names.index(self.roster.champion)]
        if earning is None or said is None:
            return
        if earning.update(own_loss, self.kind.losses(y, said)[0]):
            self.teller.earned(out, segment)

    def _kpi(self, event: Event, outcome: Outcome | None, value: Any) -> float | None:
        if outcome is None:
            return None
        return self.use_case.kpi(event, outcome, value)

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
        for event_id, waiting in ledger.overdue(now):
            self._expire(event_id, waiting, now, out)
        ledger.forget(now)
        if ledger.early:
            for given_up in ledger.stale_early(now):
                self._refuse(given_up, _unmatched(given_up), out)
        self.tally.forget(now - ledger.memory)
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
        y = self.kind.label(self.use_case.never)
        x: Vector = orjson.loads(waiting.features)["features"]
        kpi = self._learn(event, None, waiting, x, y, None, out)
        learnt = Learnt(None, y, now - waiting.time, True, kpi)
        self._example(event, waiting, x, learnt, out)


def _digest(body: Event | Outcome) -> bytes:
    return blake2b(orjson.dumps(body.__dict__, default=str), digest_size=8).digest()


def _unmatched(taken: Taken) -> Unmatched:
    assert isinstance(taken.body, Outcome)
    return Unmatched(
        f"no event {taken.body.event_id!r} came within the horizon of this outcome. Send the "
        "event first, under the same key."
    )
