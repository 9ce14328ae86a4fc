"""The relay: a machine that maps foreign records to events and outcomes, and keeps its position.

    orders.v2, chargebacks ──▶ relay n ──▶ events, outcomes of any partition
                                     └──▶ relays: its journal, on partition n

Relay n of a use case with N partitions reads the partitions p of its sources with p mod N = n,
merged by the time of what they become. It has no state but where each input goes on, so its newest
journal entry is all that a recovery needs. Everything else it has in common with a partition task:
who drives it (streams/partition/runner.py), and how its outputs and its position are committed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from models.formats.payload import Schemas
from models.formats.wire_format import schema_id
from models.inputs.decoder import CLOCKS_APART_S, DecodedRecord, Record
from models.inputs.journal import Journal
from models.inputs.json_bytes import encoded
from models.inputs.merge_order import choose_earliest
from models.inputs.skipped_records import InputOffset, Skip
from models.outputs.output_records import Output, Publisher
from models.relay.record_mapper import MappedRecord, RecordMapper
from models.spec.personal_data import masking_of
from models.spec.problem_types import KINDS
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.errors import Rejected, Skipped
from schemas.headers import traceparent
from schemas.partitioner import partition_of

COUNTED = ("events", "outcomes", "passed", "tombstones", "refused", "skipped")
SOURCE_HEADER = "riverrun_source"
"""Says on a relayed record where it was: topic/partition/offset."""


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
    """Relay `number` of a use case. Memory: none but one batch's outputs.

    `schemas` are those that are known; whoever drives the relay adds to them before it reads. One
    that is first met here, and is not among `stored_schemas`, is published with the record.
    """

    sealed = ""  # no state is made of entries, so none has to be held against them

    def __init__(
        self,
        use_case: UseCase,
        number: int,
        inputs: Sequence[RelayInput],
        *,
        partitions: int,
        definition: str,
        schemas: Schemas,
        stored_schemas: Collection[int] = (),
    ) -> None:
        self.partition = number
        self.counts = dict.fromkeys(COUNTED, 0)
        self.clock_s: float | None = None
        self.masking = masking_of(use_case)
        self._partitions = partitions
        self._definition = definition
        self._schemas = schemas
        self._inputs = [[each.source.topic, each.partition] for each in inputs]
        mappers = {each.source.topic: RecordMapper(use_case, each.source) for each in inputs}
        self._mappers = [mappers[each.source.topic] for each in inputs]
        self._naming = [each.source.format.uses_registry for each in inputs]
        self._stored = set(stored_schemas)
        self._journal = Journal(len(inputs))
        kinds = ["source"] * len(inputs)
        self._publish = Publisher(use_case.name, number, KINDS[use_case.kind], (), kinds)

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

    def resume(self, last: Position | None) -> None:
        """Go on after that journal entry; None: at the beginning."""
        self._journal = Journal(len(self._inputs))
        self.clock_s = None
        if last is not None:
            self._journal.seq, self._journal.step = last.seq + 1, last.step
            self._journal.next, self._journal.marks = list(last.next), list(last.marks)
            self.clock_s = last.clock_s

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

    def apply(self, taken: DecodedRecord) -> list[Output]:
        """Apply one record and return what it makes known."""
        record, counts = taken.record, self.counts
        self._journal.take(taken.input, record)
        if taken.error is not None:
            counts["refused"] += 1
            return [self._publish.dead_letter(record, taken.input, taken.error, self.step)]
        if taken.body is None:
            counts["tombstones" if record.value is None else "passed"] += 1
            return []
        if self.clock_s is None or taken.due > self.clock_s:
            self.clock_s = taken.due
        relayed = [self._relayed(record, each) for each in taken.body]
        if self._naming[taken.input] and (schema := self._new_schema(record)) is not None:
            relayed.append(schema)
        return relayed

    def _new_schema(self, record: Record) -> Output | None:
        assert record.value is not None
        number = schema_id(record.value)
        if number in self._stored:
            return None
        self._stored.add(number)
        value = encoded(self._schemas[number]._asdict())
        return Output("schemas", str(number).encode(), value, (), 0)

    def _relayed(self, record: Record, mapped: MappedRecord) -> Output:
        self.counts[mapped.kind] += 1
        origin = f"{record.topic}/{record.partition}/{record.offset}".encode()
        headers: tuple[tuple[str, bytes], ...] = ((SOURCE_HEADER, origin),)
        if record.headers and (trace := traceparent(record.headers)) is not None:
            headers = (*headers, ("traceparent", trace))
        target = partition_of(mapped.key, self._partitions)
        return Output(mapped.kind, mapped.key, mapped.value, headers, target, record.timestamp)

    # What else those who drive it ask of a task.

    @property
    def wanted(self) -> dict[InputOffset, Skip]:
        """No skips, since no command reaches a relay."""
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

    def heed(self, restored: Collection[str]) -> None:
        """Do nothing: a relay has no models."""

    def report(self) -> list[Any]:
        """Return nothing: a relay has no metrics on topics."""
        return []

    def rule_may_skip(self) -> bool:
        """Return True: `skip_after` holds for each record."""
        return True

    def halted(self, index: int, record: Record, failure: Skip) -> list[Output]:
        """Return what is told when the relay stops at a record: nothing on topics."""
        return []
