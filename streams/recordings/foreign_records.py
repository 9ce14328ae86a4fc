"""Recorded records of a foreign topic: mapped by the source that the use case declares for it.

The same definition as live: `--source orders.v2=orders.jsonl` reads the values of `orders.v2` from
a file, one a line, and `--source orders.v2` from the topic itself. They are put in the order of
time, as a relay merges them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from models.formats.payload import Schemas
from models.relay.record_mapper import RecordMapper
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.errors import ConfigError, Malformed
from schemas.personal_data import wire_name
from streams.recordings.files import is_stored, stored_in
from streams.recordings.report import Fault, RecordedSource, Report
from streams.recordings.row_mapping import RecordedEntry
from streams.recordings.topic_values import TopicReader

SchemaReader = Callable[[list[bytes]], Schemas]
"""Returns the schemas that values in Confluent's wire format name."""

Located = Iterator[tuple[str, bytes]]


def declared(use_case: UseCase, argument: str) -> tuple[Source, str] | None:
    """Return the source that an argument names, and where its records are; None if it names none.

    The argument is a declared topic, or `TOPIC=FILE`.
    """
    topic, is_file, where = argument.partition("=")
    for source in use_case.sources:
        if source.topic == topic and (is_file or not is_stored(argument)):
            return source, where or topic
    return None


class ForeignRecords:
    """Reads the records of one source, all of them, in the order of time. Memory: all of them."""

    def __init__(
        self,
        use_case: UseCase,
        source: Source,
        read_topic: TopicReader,
        read_schemas: SchemaReader,
        report: Report,
    ) -> None:
        self._mapper = RecordMapper(use_case, source)
        self._source = source
        self._read_topic = read_topic
        self._read_schemas = read_schemas
        self._report = report
        self._id_names = {
            kind: wire_name("event_id", model.model_fields["event_id"])
            for kind, model in (("events", use_case.event), ("outcomes", use_case.outcome))
        }

    def entries(self, where: str) -> list[RecordedEntry]:
        """Return the events and outcomes in a file or a topic; report what cannot be mapped."""
        located = list(self._located(where))
        schemas = self._schemas([value for _, value in located])
        read = RecordedSource(where, f"records of {self._source.topic}")
        self._report.sources.append(read)
        entries = []
        for location, value in located:
            read.records += 1
            try:
                mapped = self._mapper.records(value, schemas)
            except Malformed as error:
                why, _, hint = str(error).partition(". ")
                self._report.refuse(Fault(where, location, None, why.rstrip("."), hint))
                continue
            for record in mapped:
                fields = orjson.loads(record.value)
                kind = record.kind.removesuffix("s")
                self._report.accept(kind)
                event_id = str(fields[self._id_names[record.kind]])
                entries.append(
                    RecordedEntry(record.time, int(kind == "event"), kind, fields, event_id)
                )
        entries.sort(key=lambda entry: entry.sort_key)
        return entries

    def _schemas(self, values: list[bytes]) -> Schemas:
        return self._read_schemas(values) if self._source.format.uses_registry else {}

    def _located(self, where: str) -> Located:
        if not is_stored(where):
            for value in self._read_topic(where):
                yield value.location, value.value
            return
        if self._source.format.packages:
            raise ConfigError(
                f"{where} cannot hold the values of {self._source.topic}, which are not text.",
                hint=f"Read the topic itself: --source {self._source.topic}.",
            )
        for stored in stored_in(where, self._report.note):
            with stored.open() as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield f"line {number}", line
