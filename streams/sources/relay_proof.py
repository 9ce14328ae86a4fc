"""Events and outcomes that a relay wrote, derived again from the topics of others.

    foreign records, in the order of the relay's journal ──▶ relay, by its definition of then
                                             ──▶ compared with the use case's own topics

Each relayed record names its origin, and each partition has them in the order in which the journal
took them: so key, value and partition are compared, and missing, doubled and invented records are
reported. Where retention or compaction has removed foreign records, their relayed records cannot be
proved, and the result says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from models.formats.payload import WriterSchema
from models.inputs.skipped_records import Skip
from models.relay.id_directory import OUTCOME, origin_text
from models.relay.relay_task import RELAY, RelayInput, RelayTask, origin_of
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader
from streams.registry.known_schemas import KnownSchemas
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.journal_fold import Entry
from streams.replay.kafka_log import KafkaLog
from streams.replay.prediction_lookup import PublishedRecords

RELAYED = ("events", "outcomes")
SourcePartition = tuple[str, int]
"""(topic, partition)."""


@dataclass(slots=True)
class ProvedRelay:
    """The result of a proof of relayed records. `first`: the first difference, in words."""

    checked: int = 0
    different: int = 0
    unproven: int = 0
    first: str | None = None
    reasons: list[str] = field(default_factory=list)

    def differs(self, words: str) -> None:
        """Count a difference."""
        self.different += 1
        self.first = self.first or words

    def doubts(self, reason: str, count: int = 1) -> None:
        """Count records that cannot be proved."""
        self.unproven += count
        if reason not in self.reasons:
            self.reasons.append(reason)


async def prove_relay(
    settings: Settings,
    names: Mapping[str, str],
    *,
    trusted: Collection[str] = (),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ProvedRelay:
    """Derive all relayed records of a use case again and compare them with its topics."""
    client = settings.kafka_client()
    entries = await _journal(client, names["relay"])
    definitions = await DefinitionHistory.read(names["definitions"], settings, trusted=trusted)
    schemas = KnownSchemas(None)
    await schemas.read(client, names["schemas"])
    source_partitions = list(
        dict.fromkeys((t, p) for entry in entries for t, p in entry.inputs or ())
    )
    async with TopicReader([topic for topic, _ in source_partitions], settings) as reader:
        there = {(tp.topic, tp.partition) for tp in reader.topic_partitions}
    inputs = [TopicPartition(*tp) for tp in source_partitions if tp in there]
    log = KafkaLog(client, journal=names["relay"], inputs=inputs, partition=RELAY)
    async with TopicReader([names[kind] for kind in RELAYED], settings) as reader:
        await log.start()
        try:
            proof = _Proof(names, definitions, schemas.by_id, log, await _cursors(reader, names))
            await proof.begin(inputs)
            for number, entry in enumerate(entries):
                await proof.entry(entry)
                on_progress(number + 1, len(entries))
            await proof.end()
        finally:
            await log.close()
    return proof.result


async def _journal(client: Mapping[str, Any], topic: str) -> list[Entry]:
    log = KafkaLog(client, journal=topic, inputs=[], partition=RELAY)
    await log.start()
    try:
        return [entry async for entry in log.entries(0)]
    finally:
        await log.close()


class _Cursor:
    """The relayed records of one partition of a topic, in their order."""

    def __init__(self, published: PublishedRecords, is_whole: bool) -> None:
        self.is_whole = is_whole  # until a record was met: nothing before it was deleted
        self.is_stopped = False
        self._published = published
        self._head: Any = None

    async def head(self) -> Any | None:
        """Return the next relayed record; None if there is none."""
        while self._head is None:
            record = await self._published.next()
            if record is None:
                return None
            if origin_of(record) is not None:
                self._head = record
        return self._head

    def take(self) -> None:
        """Go on to the record after it."""
        self._head, self.is_whole = None, True


async def _cursors(reader: TopicReader, names: Mapping[str, str]) -> dict[tuple[str, int], _Cursor]:
    bounds = await reader.bounds()
    return {
        (kind, tp.partition): _Cursor(PublishedRecords(reader, tp), not bounds[tp][0])
        for kind in RELAYED
        for tp in reader.of(names[kind])
    }


class _Proof:
    """One proof under way: begin → entry* → end."""

    def __init__(
        self,
        names: Mapping[str, str],
        definitions: DefinitionHistory,
        schemas: Mapping[int, WriterSchema],
        log: KafkaLog,
        cursors: Mapping[tuple[str, int], _Cursor],
    ) -> None:
        self.result = ProvedRelay()
        self._names = names
        self._definitions = definitions
        self._schemas = schemas
        self._log = log
        self._cursors = cursors
        self._index: dict[SourcePartition, int] = {}
        self._starts: dict[SourcePartition, int] = {}
        self._next: dict[SourcePartition, int] = {}
        self._ids: dict[bytes, bytes] = {}  # as the topic `ids`, of all that was derived
        self._task: RelayTask | None = None
        self._made_of: Any = None
        self._last: Any = None
        self._is_whole = True  # no foreign record is missing by now
        self._lost: set[tuple[str, int, int]] = set()  # by compaction

    async def begin(self, inputs: list[TopicPartition]) -> None:
        """Note where the foreign topics begin."""
        self._index = {(tp.topic, tp.partition): n for n, tp in enumerate(inputs)}
        starts = await self._log.beginnings() if inputs else []
        self._starts = dict(zip(self._index, starts, strict=True))

    async def entry(self, entry: Entry) -> None:
        """Derive what one journal entry relayed."""
        source_partitions = [(topic, partition) for topic, partition in entry.inputs or ()]
        self._next |= dict(zip(source_partitions, entry.next, strict=False))
        if self._last is None and entry.seq > 0:
            self._is_whole = False
            self.result.doubts(f"the relay's journal is kept from entry {entry.seq} on.", 0)
        task = self._task_of(entry, source_partitions)
        self._last = entry
        if task is None:
            return
        skips = {skip.input_offset: skip for skip in (Skip(**one) for one in entry.skipped or ())}
        for number, first, count, end in entry.runs:
            records = await self._records(source_partitions[number], first, count, end)
            for record in records:
                skip = skips.get((number, record.offset))
                outputs = (
                    task.apply(task.read(number, record))
                    if skip is None
                    else task.set_aside(number, record, skip)
                )
                for output in outputs:
                    await self._compare(output)
            await asyncio.sleep(0)
        task.seal()

    def _task_of(self, entry: Entry, source_partitions: list[SourcePartition]) -> RelayTask | None:
        """Return the relay under the definition and the inputs of then; None if it is unknown."""
        made_of = entry.definition, source_partitions
        if made_of == self._made_of:
            return self._task
        self._made_of, self._task = made_of, None
        try:
            use_case = self._definitions.loaded(entry.definition).use_case
            sources = {source.topic: source for source in use_case.sources}
            inputs = [
                RelayInput(sources[topic], partition) for topic, partition in source_partitions
            ]
        except Unprovable as error:
            self._is_whole = False
            self.result.doubts(str(error))
            return None
        task = RelayTask(
            use_case,
            inputs,
            partitions=entry.partitions or 1,
            definition=entry.definition,
            schemas=self._schemas,
            stored_schemas=self._schemas,
        )
        task.resume(self._last, self._ids)
        self._task = task
        return task

    async def _records(self, tp: SourcePartition, first: int, count: int, end: int) -> list[Any]:
        """Return the foreign records of a run that still exist."""
        records: list[Any] = []
        if tp in self._index and end > self._starts[tp]:
            start = max(first, self._starts[tp])
            records = await self._log.between(self._index[tp], start, end)
        if len(records) < count:
            self._is_whole = False
            seen, start = {record.offset for record in records}, self._starts.get(tp, end)
            there = range(max(first, start), end)
            self._lost.update((*tp, at) for at in there if at not in seen)
        return records

    # What is compared.

    async def _compare(self, output: Any) -> None:
        if output.kind == "ids":
            if output.value is None:
                self._ids.pop(output.key, None)
            else:
                self._ids[output.key] = output.value
        if output.kind not in RELAYED:
            return
        cursor = self._cursors[output.kind, output.partition]
        if cursor.is_stopped:
            self.result.unproven += 1
            return
        origin = origin_of(output)
        while (record := await cursor.head()) is not None and origin_of(record) != origin:
            if not self._cannot_be_derived(record):
                break
            cursor.take()
        if record is None or origin_of(record) != origin:
            if cursor.is_whole:
                self._missing(cursor, output, record)
            return  # else retention has removed it from the use case's own topic
        cursor.take()
        self.result.checked += 1
        for name in ("key", "value"):
            if getattr(record, name) != getattr(output, name):
                was, now = getattr(record, name), getattr(output, name)
                where = f"{record.topic}[{record.partition}]@{record.offset}, of {_words(origin)}"
                self.result.differs(f"{where}: its {name} is {was!r}, derived again {now!r}")
                return

    def _missing(self, cursor: _Cursor, output: Any, record: Any | None) -> None:
        cursor.is_stopped = True
        topic = f"{self._names[output.kind]}[{output.partition}]"
        actual = (
            "nothing more"
            if record is None
            else f"the record at offset {record.offset}, of {_words(origin_of(record))}"
        )
        self.result.differs(
            f"{topic} has {actual} where that of {_words(origin_of(output))} belongs"
        )

    def _cannot_be_derived(self, record: Any) -> bool:
        """Count a relayed record whose origin may have been removed; return False for one that
        should have an origin.
        """
        origin = origin_of(record)
        assert origin is not None
        topic, partition, offset = origin
        first_kept = self._starts.get((topic, partition))
        if first_kept is None or offset < first_kept or origin in self._lost:
            since = "is no more" if first_kept is None else f"is kept from offset {first_kept} on"
            self.result.doubts(
                f"{topic}[{partition}] {since} (retention or compaction): what was relayed of "
                "records that it lacks cannot be derived."
            )
            return True
        held = OUTCOME + origin_text(*origin).encode()
        if not self._is_whole and held in self._ids:
            self.result.doubts(
                "events of outcomes that found them by id were relayed before what the sources "
                "still have."
            )
            del self._ids[held]
            return True
        return False

    async def end(self) -> None:
        """Compare the remaining relayed records with the end of the journal."""
        for (kind, partition), cursor in self._cursors.items():
            while not cursor.is_stopped and (record := await cursor.head()) is not None:
                origin = origin_of(record)
                assert origin is not None
                tp = origin[0], origin[1]
                if origin[2] >= self._next.get(tp, 0) and tp in self._next:
                    break  # relayed since this began
                if not self._cannot_be_derived(record):
                    topic = f"{self._names[kind]}[{partition}]@{record.offset}"
                    self.result.differs(f"{topic}: nothing on {_words(origin)} gives this record")
                    cursor.is_stopped = True
                cursor.take()


def _words(origin: Any) -> str:
    return "{}[{}]@{}".format(*origin)
