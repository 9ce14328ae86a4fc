"""The relay: a machine that maps foreign records to events and outcomes, and keeps its position.

    orders.v2, chargebacks ──▶ relay ──▶ events, outcomes of any partition
                                   └──▶ relay: its journal

A use case has one relay. It reads all partitions of all sources, merged by the time of what they
become, so what waits is relayed as it happened. It has no state but where each input goes on, and,
where outcomes know only their event's id, the keys of events (models/relay/id_directory.py): its
newest journal entry and the topic `ids` are all that a recovery needs. Everything else it has in
common with a partition task: who drives it (streams/partition/runner.py), and how its outputs and
its position are committed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from models.formats.payload import Schemas
from models.formats.wire_format import schema_id
from models.inputs.decoder import CLOCKS_APART_S, DecodedRecord, PlainRecord, Record
from models.inputs.journal import Journal
from models.inputs.json_bytes import encoded
from models.inputs.merge_order import choose_earliest
from models.inputs.skipped_records import InputOffset, Skip
from models.inputs.watermark import Watermark
from models.outputs.output_records import Output, Publisher, Tombstone
from models.relay.id_directory import IdDirectory, WaitingOutcome, origin_text
from models.relay.record_mapper import MappedRecord, RecordMapper
from models.spec.personal_data import masking_of
from models.spec.problem_types import KINDS
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.errors import Rejected, Skipped, Unmatched
from schemas.headers import traceparent
from schemas.partitioner import partition_of

COUNTED = ("events", "outcomes", "passed", "tombstones", "refused", "skipped", "unmatched")
RELAY = 0
"""The partition of its journal and of its dead letters."""

SOURCE_HEADER = "riverrun_source"
"""Says on a relayed record where it was: topic/partition/offset."""


def origin_of(record: Any) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of what a record was relayed from; None if it was not."""
    for name, value in record.headers:
        if name == SOURCE_HEADER:
            topic, _, rest = bytes(value or b"").decode("utf-8", "replace").partition("/")
            partition, _, offset = rest.partition("/")
            if partition.isdigit() and offset.isdigit():
                return topic, int(partition), int(offset)
    return None


class RelayInput(NamedTuple):
    """One partition of a foreign topic."""

    source: Source
    partition: int


class Position(Protocol):
    """What a relay needs of its newest journal entry (streams/replay/journal_fold.py)."""

    seq: int
    step: int
    next: list[int]
    marks: Sequence[int]
    clock_s: float | None


class RelayTask:
    """The relay of a use case. Memory: one batch's outputs, and the directory of ids.

    `schemas` are those that are known; whoever drives the relay adds to them before it reads. One
    that is first met here, and is not among `stored_schemas`, is published with the record.
    """

    sealed = ""  # no state is made of entries, so none has to be held against them

    def __init__(
        self,
        use_case: UseCase,
        inputs: Sequence[RelayInput],
        *,
        partitions: int,
        definition: str,
        schemas: Schemas,
        stored_schemas: Collection[int] = (),
    ) -> None:
        self.partition = RELAY
        self.counts = dict.fromkeys(COUNTED, 0)
        self.masking = masking_of(use_case)
        self._partitions = partitions
        self._definition = definition
        self._schemas = schemas
        self._inputs = [[each.source.topic, each.partition] for each in inputs]
        mappers = {each.source.topic: RecordMapper(use_case, each.source) for each in inputs}
        self._mappers = [mappers[each.source.topic] for each in inputs]
        self._naming = [each.source.format.uses_registry for each in inputs]
        self._stored = set(stored_schemas)
        self._use_case = use_case
        self._directory: IdDirectory | None = None
        self._mapper_of = mappers
        self._begin()
        kinds = ["source"] * len(inputs)
        self._publish = Publisher(use_case.name, RELAY, KINDS[use_case.kind], (), kinds)

    # Its position.

    @property
    def seq(self) -> int:
        """The number of the open journal entry."""
        return self._journal.seq

    @property
    def begun(self) -> int:
        """Records applied in the open journal entry."""
        return self._journal.begun

    @property
    def step(self) -> int:
        """Records applied so far."""
        return self._journal.step

    @property
    def next(self) -> list[int]:
        """Offset of the next record of each input; -1 where none was taken yet."""
        return self._journal.next

    @property
    def marks(self) -> list[int]:
        """-1 for each input, so that the runner compares nothing: whoever resumes does."""
        return [-1 for _ in self._inputs]

    def resume(self, last: Position | None, rows: Mapping[bytes, bytes] | None = None) -> None:
        """Go on after that journal entry; None: at the beginning. `rows`: what `ids` holds."""
        self._begin()
        if last is not None:
            self._journal.seq, self._journal.step = last.seq + 1, last.step
            self._journal.next, self._journal.marks = list(last.next), list(last.marks)
            self._watermark.time = last.clock_s
        if self._directory is not None:
            for record in self._directory.restore(rows or {}):
                self._directory.held_again(record, self._mapped_again(record))

    def _begin(self) -> None:
        use_case, partitions = self._use_case, self._partitions
        self._journal = Journal(len(self._inputs))
        self._watermark = Watermark(use_case.max_jump_s, use_case.confirm_jump_after)
        if any(source.by_id for source in use_case.sources):
            self._directory = IdDirectory(
                max(use_case.horizon, use_case.id_retention_s),
                use_case.waiting_limit * partitions,
                use_case.early_limit * partitions,
                use_case.early_bytes * partitions,
            )

    def _mapped_again(self, record: PlainRecord) -> Sequence[MappedRecord]:
        """Return what a held outcome's record becomes; nothing if its source is gone."""
        mapper = self._mapper_of.get(record.topic)
        try:
            return () if mapper is None else mapper.records(record.value, self._schemas)
        except Rejected:
            return ()

    @property
    def clock_s(self) -> float | None:
        """The time reached: what is older by the memory is known no longer."""
        return self._watermark.time

    def seal(self) -> bytes | None:
        """Close the journal entry: its record's value, or None if nothing was applied."""
        entry = self._journal.seal(self._definition, self._partitions, self.clock_s)
        if entry is None:
            return None
        entry["inputs"] = self._inputs
        return orjson.dumps(entry)

    # One step.

    def choose(self, times: Sequence[float | None]) -> int | None:
        """Return the input whose first record is due first."""
        return choose_earliest(times)

    def read(self, index: int, record: Record) -> DecodedRecord:
        """Decode and map one record; never raises for what it contains."""
        try:
            mapped = self._mappers[index].records(record.value, self._schemas)
        except Rejected as error:
            return DecodedRecord(index, record, error=error)
        if not mapped:
            return DecodedRecord(index, record)
        time = min(each.time for each in mapped)
        stamped = record.timestamp / 1000.0
        due = time if stamped <= 0.0 else min(time, stamped + CLOCKS_APART_S)
        return DecodedRecord(index, record, None, mapped, time, due)

    def apply(self, taken: DecodedRecord) -> list[Output | Tombstone]:
        """Apply one record and return what it makes known."""
        record, counts = taken.record, self.counts
        self._journal.take(taken.input, record)
        if taken.error is not None:
            counts["refused"] += 1
            return [self._publish.dead_letter(record, taken.input, taken.error, self.step)]
        if taken.body is None:
            counts["tombstones" if record.value is None else "passed"] += 1
            return []
        relayed: list[Output | Tombstone] = []
        for each in taken.body:
            self._relay(record, each, relayed)
        self._reach(taken, relayed)
        if self._naming[taken.input] and (schema := self._new_schema(record)) is not None:
            relayed.append(schema)
        return relayed

    def _relay(self, record: Record, mapped: MappedRecord, out: list[Output | Tombstone]) -> None:
        """Relay a record, and the outcomes that waited for it, or hold it."""
        directory, key = self._directory, mapped.key
        if key is None:
            assert directory is not None
            key = directory.key_of(mapped.event_id)
            if key is None:
                directory.hold(WaitingOutcome(PlainRecord.of(record), mapped))
                return
        out.append(self._relayed(record, mapped, key))
        if directory is not None and mapped.kind == "events":
            waited = directory.note(mapped.event_id, key, mapped.time)
            out += [self._relayed(held.record, held.mapped, key) for held in waited]

    def _reach(self, taken: DecodedRecord, out: list[Output | Tombstone]) -> None:
        """Let time pass, as far as the record's can be believed; give up what waited too long."""
        watermark, directory = self._watermark, self._directory
        witness = _Witness(taken.due, taken.body[0])
        if not watermark.doubts(taken.due, taken.record.timestamp):
            watermark.refuse()
            watermark.advance(taken.due)
        else:
            for believed in watermark.set_aside(witness)[0]:
                watermark.advance(believed.time)
        if directory is None:
            return
        if watermark.time is not None:
            for held in directory.pass_to(watermark.time):
                self.counts["unmatched"] += 1
                error = _unmatched(held)
                out.append(self._publish.dead_letter(held.record, 0, error, self.step))
        out += directory.take_rows()

    def _new_schema(self, record: Record) -> Output | None:
        assert record.value is not None
        number = schema_id(record.value)
        if number in self._stored:
            return None
        self._stored.add(number)
        value = encoded(self._schemas[number]._asdict())
        return Output("schemas", str(number).encode(), value, (), 0)

    def _relayed(self, record: Record, mapped: MappedRecord, key: bytes) -> Output:
        self.counts[mapped.kind] += 1
        origin = origin_text(record.topic, record.partition, record.offset).encode()
        headers: tuple[tuple[str, bytes], ...] = ((SOURCE_HEADER, origin),)
        if record.headers and (trace := traceparent(record.headers)) is not None:
            headers = (*headers, ("traceparent", trace))
        target = partition_of(key, self._partitions)
        return Output(mapped.kind, key, mapped.value, headers, target, record.timestamp)

    # What else those who drive it ask of a task.

    @property
    def wanted(self) -> dict[InputOffset, Skip]:
        """The skips that are wanted: none, since no command reaches a relay."""
        return {}

    def set_aside(self, index: int, record: Record, skip: Skip) -> list[Output]:
        """Pass over a record that cannot be applied: it leaves as a dead letter."""
        self._journal.take(index, record)
        self._journal.skipped.append(skip)
        self.counts["skipped"] += 1
        error = Skipped(f"set aside by {skip.who}: {skip.why}. {skip.error or ''}".strip())
        return [self._publish.dead_letter(record, index, error, self.step, skip.traceback)]

    def skip(self) -> None:
        """Pass over a journal entry in which nothing was applied."""
        self._journal.skip()

    def note_restored(self, restored: Collection[str]) -> None:
        """Do nothing: a relay has no models."""

    def report(self) -> list[Any]:
        """Return nothing: a relay has no metrics on topics."""
        return []

    def rule_may_skip(self) -> bool:
        """Return True: `skip_after` holds for each record."""
        return True

    def halted(self, index: int, record: Record, failure: Skip) -> list[Output]:
        """Return the outputs when the relay stops at a record: none."""
        return []


class _Witness(NamedTuple):
    """The arguments of the watermark for a record."""

    time: float
    body: MappedRecord


def _unmatched(held: WaitingOutcome) -> Unmatched:
    return Unmatched(
        f"no event {held.mapped.event_id!r} has come through a source while this outcome was held. "
        "If the event was never sent, send it, then the outcome again; if it is older than the "
        "memory of ids, only a longer horizon can use such a late outcome."
    )
