"""Rows as they are, for a profile: no use case says what their columns are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streams.recordings.cells import Times, guessed, jsonable
from streams.recordings.documents import object_in
from streams.recordings.files import NotARecording, is_stored, stored_in
from streams.recordings.recorded_file import Columns, FileFormat, RecordedFile
from streams.recordings.report import Fault, RecordedSource, Report, Unusable
from streams.recordings.topic_values import TopicReader

Fields = Mapping[str, Any]


def rows_of(
    sources: Sequence[str],
    read_topic: TopicReader,
    format: FileFormat,
    names: tuple[str, ...],
    report: Report,
) -> Iterator[Fields]:
    """Yield all rows of files and topics; text of CSV as what it seems to stand for.

    `names` are columns that a recording has; of several files only those with one are read, if
    there is any such.
    """
    for source in sources:
        if not is_stored(source):
            yield from _topic(source, read_topic, report)
            continue
        for part in _parts(source, format, names, report):
            yield from _timed(_rows(part, report), format, names, report)


def _topic(topic: str, read_topic: TopicReader, report: Report) -> Iterator[Fields]:
    detected = RecordedSource(topic, "topic")
    report.sources.append(detected)
    for location, value, _ in read_topic(topic):
        detected.records += 1
        for row in object_in(value, report):
            if isinstance(row, Unusable):
                report.refuse(Fault(topic, location, row.column, row.why, row.hint))
            else:
                yield row


def _parts(
    source: str, format: FileFormat, names: tuple[str, ...], report: Report
) -> list[RecordedFile]:
    def left_alone(reason: str) -> None:
        report.note(f"Left alone: {reason}")

    columns = Columns(None, names)
    stored = stored_in(source, left_alone)
    parts: list[RecordedFile] = []
    for each in stored:
        try:
            parts.append(RecordedFile(each, format, columns, report))
        except NotARecording as error:
            if len(stored) == 1:
                raise
            left_alone(error.reason)
    for part in parts:
        if part.lacks_header:
            report.note(f"{part.name}: its first line was taken for the header; is it one?")
    if len(parts) == 1:
        return parts
    ours = [part for part in parts if _columns_of(part) & columns.known]
    for part in parts if ours else ():
        if part not in ours:
            left_alone(f"{part.name} has none of {', '.join(sorted(columns.known))}.")
    return ours or parts


def _columns_of(part: RecordedFile) -> set[str]:
    if part.names is not None:
        return set(part.names)
    first = next((row for _, row in part.rows(Report()) if not isinstance(row, Unusable)), {})
    return set(first)


def _timed(
    rows: Iterator[Fields], format: FileFormat, names: tuple[str, ...], report: Report
) -> Iterator[Fields]:
    """Yield the rows, with the times in them as --zone and --time-format have them read."""
    times, utc = Times(format.zone, format.time_format), Times("UTC", format.time_format)
    for row in rows:
        fields = dict(row)
        for name in (*names, "event_time", "outcome_time"):
            value = fields.get(name)
            if isinstance(value, str) and value:
                try:
                    fields[name] = times.read(value)
                except Unusable as error:
                    if "no time zone" in error.why:
                        report.note("times without a zone were taken for UTC (else say --zone)")
                        fields[name] = utc.read(value)
        yield fields


def _rows(part: RecordedFile, report: Report) -> Iterator[Fields]:
    detected = RecordedSource(part.name, part.format)
    report.sources.append(detected)
    times = Times(None, None)
    for location, row in part.rows(report):
        detected.records += 1
        if isinstance(row, Unusable):
            fault = Fault(part.name, f"{part.unit} {location}", row.column, row.why, row.hint)
            report.refuse(fault)
        elif part.read == "of_texts":
            yield {name: guessed(text, part.decimal) for name, text in row.items()}
        elif part.read == "of_values":
            yield {name: jsonable(value, "other", times) for name, value in row.items()}
        else:
            yield row
