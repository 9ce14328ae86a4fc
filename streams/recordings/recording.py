"""A recording: files or topics as events and outcomes in the order of time, read again and again.

    files ─▶ parts ─▶ rows ─▶ entries ─▶ in order ─┐
    topics ────────▶ records ─▶ entries ───────────┴▶ merged ─▶ matched ─▶ limited

Opening it reads it once, whole: what was detected and refused is known before anything is run or
written. Up to `HELD_MAX` entries stay in memory; more are read again each time, unless they are not
in order, which takes about 1 kB of memory for each record. A topic is in memory, in its own order.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from models.replay.recorded_order import RecordedOrder
from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.recordings.cells import Times
from streams.recordings.documents import object_in
from streams.recordings.files import NotARecording, StoredFile, is_stored, stored_in
from streams.recordings.foreign_records import ForeignRecords, SchemaReader, declared
from streams.recordings.recorded_file import Columns, FileFormat, RecordedFile
from streams.recordings.report import Fault, RecordedSource, Report, Unusable
from streams.recordings.row_mapping import RecordedEntry, RowMapping
from streams.recordings.topic_values import Dated, TopicReader, TopicValue

Row = tuple[str, Mapping[str, Any]]
"""("event" | "outcome", fields)."""

HELD_MAX = 50_000
PARTS_OPEN_MAX = 100
PLACE = attrgetter("time", "rank")


class Recording:
    """Recorded rows, in the order in which a partition task takes them, any number of times."""

    def __init__(
        self,
        use_case: UseCase,
        name: str,
        rows: Callable[[], Iterable[Row]],
        report: Report | None = None,
        limit: int | None = None,
    ) -> None:
        self.name = name
        self._use_case = use_case
        self.report = Report() if report is None else report
        self._rows, self._limit = rows, limit

    def __iter__(self) -> Iterator[Row]:
        matching = RecordedOrder(self._use_case)
        yield from itertools.islice(matching.rows(self._rows()), self._limit)
        self.report.unmatched = matching.unmatched


def recording_of(
    use_case: UseCase,
    sources: Sequence[str],
    outcomes: Sequence[str],
    read_topic: TopicReader,
    limit: int | None = None,
    format: FileFormat | None = None,
    *,
    sort_topics: bool = False,
    read_schemas: SchemaReader = lambda values: {},
) -> Recording:
    """Return the use case's own recording, or that of `sources` and `outcomes` (files or topics).

    A topic's records stay in its order, as live, unless `sort_topics`. Those of a declared source
    are mapped by it (streams/recordings/foreign_records.py). Raises `ConfigError` if
    none of it can be used.
    """
    if not sources:
        if outcomes:
            raise ConfigError("--outcomes is given without --source.", hint="Name both.")
        if use_case.recorded is None:
            raise ConfigError(
                f"{use_case.name} has no `recorded`.", hint="Name its data: --source FILE or TOPIC."
            )
        return Recording(use_case, "its own recording", use_case.recorded, limit=limit)
    report = Report()
    opening = _Opening(
        use_case, format or FileFormat(), read_topic, report, sort_topics=sort_topics
    )
    streams: list[Stream] = []
    for named, role in ((sources, "event" if outcomes else None), (outcomes, "outcome")):
        foreign = [
            (each, declaration) for each in named if (declaration := declared(use_case, each))
        ]
        for _, (source, where) in foreign:
            reader = ForeignRecords(use_case, source, read_topic, read_schemas, report)
            streams.append(partial(iter, reader.entries(where)))
        adopted = {each for each, _ in foreign}
        streams += opening.streams([each for each in named if each not in adopted], role)
    name = ", ".join(sources) + (f" and {', '.join(outcomes)}" if outcomes else "")
    report.closed = True
    _check_use(name, report)

    def rows() -> Iterator[Row]:
        merged = heapq.merge(*(stream() for stream in streams), key=PLACE)
        return ((entry.kind, entry.fields) for entry in merged)

    return Recording(use_case, name, rows, report, limit)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that cannot be used, at its time among the others."""

    event_id: Any
    fault: Fault


def events_of(
    use_case: UseCase, files: Sequence[str], format: FileFormat
) -> tuple[list[Mapping[str, Any] | Refusal], Report]:
    """Return the events in files, in their order, without outcomes. Memory: all of them.

    Raises `ConfigError` if there are none.
    """
    report = Report()
    opening = _Opening(use_case, format, _no_topics, report)
    for file in files:
        if not is_stored(file):
            raise ConfigError(f"There is no file {file}.", hint="Give files of events.")
    events: list[Mapping[str, Any] | Refusal] = []
    for part in opening.parts(files, None):
        for item in part.items():
            if isinstance(item, Refusal):
                events.append(item)
            elif item.kind == "event":
                events.append(item.fields)
    if not events:
        raise ConfigError(
            f"{', '.join(files)} has no events.", hint="Each has event_id and event_time."
        )
    report.closed = True
    return events, report


def _no_topics(topic: str) -> list[TopicValue]:
    raise ConfigError(
        f"There is no file {topic}.", hint="Name a file, a folder, a pattern or TOPIC=FILE."
    )


def _check_use(name: str, report: Report) -> None:
    if report.events or report.outcomes:
        if not report.events:
            raise ConfigError(
                f"{name} has outcomes but no event." + _first(report), hint="Name the events, too."
            )
        return
    if report.refused:
        raise ConfigError(
            f"None of the {report.refused:,} records of {name} can be used." + _first(report)
        )
    raise ConfigError(f"{name} holds no records.", hint="Name another FILE or TOPIC.")


def _first(report: Report) -> str:
    return f" The first: {report.faults[0]}" if report.faults else ""


Stream = Callable[[], Iterator[RecordedEntry]]


class _Opening:
    """Opens sources of one recording."""

    def __init__(
        self,
        use_case: UseCase,
        format: FileFormat,
        read_topic: TopicReader,
        report: Report,
        *,
        sort_topics: bool = False,
    ) -> None:
        self._sort_topics = sort_topics
        self._use_case, self._format, self._read_topic = use_case, format, read_topic
        self._report = report
        self._times = Times(format.zone, format.time_format)
        self._columns = Columns(use_case)

    def streams(self, sources: Sequence[str], role: str | None) -> list[Stream]:
        """Return what `sources` hold, as streams in the order of time or of their topic."""
        topics = [source for source in sources if not is_stored(source)]
        files = [source for source in sources if source not in topics]
        streams = [self._topic(topic, role) for topic in topics]
        parts = self.parts(files, role)
        return streams + (_in_order(parts, self._report) if parts else [])

    def _topic(self, topic: str, role: str | None) -> Stream:
        source = RecordedSource(topic, "topic")
        self._report.sources.append(source)
        shape = RowMapping(self._use_case, role, self._times, ".", self._report)
        records = self._read_topic(topic)
        rows = (
            (record.location, row)
            for record in records
            for row in object_in(record.value, self._report)
        )
        dated = Dated(records, self._use_case.max_jump_s)
        items = _items(topic, rows, shape, "of_topic", source, self._report, dated)
        entries = [item for item in items if not isinstance(item, Refusal)]
        if self._sort_topics:
            entries.sort(key=PLACE)
            return lambda: iter(entries)
        return _outcomes_in_time(lambda: iter(entries))

    def parts(self, files: Sequence[str], role: str | None) -> list[_Entries]:
        """Return the files that are recordings; raise `ConfigError` if none is."""
        parts: list[_Entries] = []
        for source in files:
            stored = stored_in(source, self._left_alone)
            for each in stored:
                try:
                    parts.append(self._part(each, role))
                except NotARecording as error:
                    if len(stored) == 1:
                        raise
                    self._left_alone(error.reason)
        if files and not parts:
            raise ConfigError(
                f"{', '.join(files)} holds no recording. "
                f"{' '.join(itertools.islice(self._report.notes, 3))}"
            )
        return parts

    def _left_alone(self, reason: str) -> None:
        self._report.note(f"Left alone: {reason}")

    def _part(self, stored: StoredFile, role: str | None) -> _Entries:
        part = RecordedFile(stored, self._format, self._columns, self._report)
        kinds = ("events", "outcomes", "history")
        if part.captured and not part.captured.endswith(kinds):
            raise NotARecording(
                f"{part.name} was captured from {part.captured}, neither events nor outcomes."
            )
        part.check(self._use_case, role)
        shape = RowMapping(self._use_case, role, self._times, part.decimal, self._report)
        if part.read == "of_json":
            _check_json(part, shape)
        return _Entries(part, shape, self._report)


def _check_json(part: RecordedFile, shape: RowMapping) -> None:
    """Raise `NotARecording` if none of the first objects is a record: JSON has no columns."""
    rows = [row for _, row in itertools.islice(part.rows(Report()), 20)]
    for row in rows:
        if isinstance(row, Unusable) or any(
            not side.plain or side.has_time(row) or "event_id" in row for side in shape.sides
        ):
            return
    if rows:
        fields = [field for row in rows if isinstance(row, Mapping) for field in row.items()]
        lists = [name for name, value in fields if isinstance(value, list) and value]
        hint = f" Write what is in its {lists[0]!r} as a list of its own." if lists else ""
        path = next((where for row in rows if (where := _within(row, "event_id", 8))), None)
        if path is not None:
            hint = (
                f" Its records are within {'.'.join(path)}: have a "
                '@model_validator(mode="before") take them out, live too.'
            )
        raise NotARecording(f"{part.name} has no record with event_id and a time.{hint}")


def _within(row: Any, name: str, depth: int) -> list[str] | None:
    """Return the names by which an object within the row is reached that has this field."""
    if not isinstance(row, Mapping) or not depth:
        return None
    if name in row:
        return []
    for field, value in row.items():
        below = _within(value, name, depth - 1)
        if below is not None:
            return [str(field), *below]
    return None


class _Entries:
    """The entries of one file, in its order."""

    def __init__(self, part: RecordedFile, shape: RowMapping, report: Report) -> None:
        self._part, self._shape, self._report = part, shape, report
        self._source = RecordedSource(part.name, part.format)
        report.sources.append(self._source)

    def __iter__(self) -> Iterator[RecordedEntry]:
        return (item for item in self.items() if not isinstance(item, Refusal))

    def items(self) -> Iterator[RecordedEntry | Refusal]:
        """Return the entries, and what is refused in their midst."""
        part, report = self._part, self._report
        rows = ((f"{part.unit} {location}", row) for location, row in part.rows(report))
        return _items(part.name, rows, self._shape, part.read, self._source, report)


def _items(
    name: str,
    rows: Iterable[tuple[str, Any]],
    shape: RowMapping,
    read: str,
    source: RecordedSource,
    report: Report,
    dated: Dated | None = None,
) -> Iterator[RecordedEntry | Refusal]:
    """Yield entries in the order of rows; what cannot be used is refused in `report`, too."""
    for location, row in rows:
        if not report.closed:
            source.records += 1
        try:
            if isinstance(row, Unusable):
                raise row
            entries = list(shape.entries(row, read))
            if dated is not None:
                dated.check(location, entries)
        except Unusable as error:
            fault = Fault(name, location, error.column, error.why, error.hint)
            report.refuse(fault)
            yield Refusal(row.get("event_id") if isinstance(row, Mapping) else None, fault)
            continue
        for entry in entries:
            if isinstance(entry, Unusable):
                report.refuse(
                    Fault(name, location, entry.column, entry.why, entry.hint), label=True
                )
            else:
                report.accept(entry.kind)
                yield entry


def _in_order(parts: Sequence[_Entries], report: Report) -> list[Stream]:
    """Return the parts as streams in the order of time: held in memory, or read again each time."""
    held: list[RecordedEntry] | None = []
    each_in_order = True
    latest, rows, behind = float("-inf"), 0, 0
    for part in parts:
        latest_here = float("-inf")
        for entry, leads in _leading(part):
            if leads:
                rows += 1
                behind += entry.time < latest
                each_in_order &= entry.time >= latest_here
                latest, latest_here = max(latest, entry.time), max(latest_here, entry.time)
            if held is not None:
                held.append(entry)
                if len(held) > HELD_MAX:
                    held = None
    if held is None:
        streams = [_outcomes_in_time(part.__iter__) for part in parts]
        if not behind:
            return [lambda: itertools.chain.from_iterable(stream() for stream in streams)]
        if each_in_order and len(parts) <= PARTS_OPEN_MAX:
            return streams
        report.closed = True
        held = [entry for part in parts for entry in part]
        report.closed = False
    if behind:
        report.note(f"sorted by time: {behind:,} of {rows:,} rows came after a later one")
    held.sort(key=PLACE)
    return [lambda: iter(held)]


def _leading(entries: Iterable[RecordedEntry]) -> Iterator[tuple[RecordedEntry, bool]]:
    """Yield each entry, and whether it leads its row: an outcome right after its event does not."""
    event_id: str | None = None
    for entry in entries:
        yield entry, entry.kind == "event" or entry.event_id != event_id
        event_id = entry.event_id if entry.kind == "event" else None


def _outcomes_in_time(read: Callable[[], Iterator[RecordedEntry]]) -> Stream:
    """Return a stream in which an outcome that follows its event waits until its own time."""

    def stream() -> Iterator[RecordedEntry]:
        waiting: list[tuple[tuple[float, int], int, RecordedEntry]] = []
        for number, (entry, leads) in enumerate(_leading(read())):
            if not leads:
                heapq.heappush(waiting, (entry.sort_key, number, entry))
                continue
            while waiting and waiting[0][0] <= entry.sort_key:
                yield heapq.heappop(waiting)[2]
            yield entry
        while waiting:
            yield heapq.heappop(waiting)[2]

    return stream
