"""Predictions as JSON, whatever their topic holds: JSON, or Avro or Protobuf behind a schema's id.

Such a record says in its header `ce_dataschema` where its schema is: on a topic of the use case,
beside its predictions. So no Schema Registry is asked, and reading a year later needs none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from models.formats.payload import WriterSchema
from models.formats.prediction_codec import is_framed, json_of
from riverrun.client.compacted_topic import newest_values
from riverrun.client.packages import needed
from schemas.errors import Malformed
from schemas.headers import DATA_SCHEMA

_REFERENCE = re.compile(rb"/riverrun/schemas/([A-Za-z0-9._-]+)/(\d+)")


def written_schema(value: bytes) -> WriterSchema:
    """Return a record of the topic `schemas` as a schema; raise `ValueError` if it is none."""
    row = orjson.loads(value)
    try:
        references = tuple((str(name), str(text)) for name, text in row["references"])
        return WriterSchema(int(row["id"]), str(row["type"]), str(row["text"]), references)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no schema: {error}") from None


class WrittenPredictions:
    """The schemas that predictions were written with. Memory: those of the topics that it met.

    `client`: aiokafka's connection arguments.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = client
        self._schemas: dict[tuple[str, int], WriterSchema | None] = {}

    async def as_json(self, records: Sequence[Any]) -> Sequence[Any]:
        """Return the records, each value as JSON. One that cannot be read stays as it is.

        Raises `Unavailable` if the topic of schemas cannot be read, or a package is missing.
        """
        if not any(is_framed(record.value) for record in records):
            return records
        return [await self._as_json(record) for record in records]

    async def _as_json(self, record: Any) -> Any:
        reference = _reference_in(record.headers) if is_framed(record.value) else None
        schema = None if reference is None else await self._schema(*reference)
        if schema is None:
            return record
        needed("fastavro" if schema.type == "AVRO" else "google.protobuf", "reading predictions")
        try:
            return replace(record, value=json_of(record.value, schema))
        except Malformed:
            return record

    async def _schema(self, topic: str, id: int) -> WriterSchema | None:
        if (topic, id) not in self._schemas:
            self._schemas[topic, id] = None
            for value in (await newest_values(self._client, topic)).values():
                schema = written_schema(value)
                self._schemas[topic, schema.id] = schema
        return self._schemas[topic, id]


def _reference_in(headers: Iterable[tuple[str, bytes]]) -> tuple[str, int] | None:
    """Return the topic and the id of a record's schema; None where it names none."""
    for name, value in headers:
        if name == DATA_SCHEMA and (match := _REFERENCE.fullmatch(value or b"")) is not None:
            return match[1].decode(), int(match[2])
    return None
