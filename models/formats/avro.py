"""Avro, with the writer's schema from a Schema Registry or a fixed one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import orjson

from models.formats.payload import Schemas, WriterSchema, schema_of
from models.formats.wire_format import HEADER_BYTES
from schemas.errors import Malformed


@dataclass(frozen=True, slots=True)
class Avro:
    """Values that are Avro: in Confluent's wire format, or bare, of `schema` (JSON text).

    A record is a dictionary; a timestamp is a datetime in UTC, a decimal a Decimal.
    """

    schema: str | None = None

    @property
    def uses_registry(self) -> bool:
        """Return whether values name their schema."""
        return self.schema is None

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that decoding needs."""
        return ("fastavro",)

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the value; raise `Malformed` if the bytes are none."""
        if self.schema is not None:
            return _read(value, 0, WriterSchema(-1, "AVRO", self.schema))
        return _read(value, HEADER_BYTES, schema_of(value, schemas, "AVRO"))


def _read(value: bytes, begin: int, schema: WriterSchema) -> Any:
    from fastavro import schemaless_reader

    parsed = parsed_schema(schema)
    stream = BytesIO(value)
    stream.seek(begin)
    try:
        decoded = schemaless_reader(stream, parsed)
    except Exception as error:  # fastavro raises whatever its C code meets
        raise Malformed(f"the value is no Avro of its schema ({type(error).__name__}).") from None
    if stream.tell() != len(value):
        raise Malformed("the value goes on after the end of its Avro record.")
    return decoded


@lru_cache(maxsize=1_000)
def parsed_schema(schema: WriterSchema) -> Any:
    """Return a schema as fastavro has it; raise `Malformed` if it is none."""
    import fastavro

    named: dict[str, Any] = {}
    for _, text in schema.references:
        fastavro.parse_schema(orjson.loads(text), named_schemas=named)
    text = schema.text
    try:
        parsed = fastavro.parse_schema(orjson.loads(text), named_schemas=named)
    except Exception as error:
        raise Malformed(f"schema {schema.id} is no Avro schema: {error}") from None
    return parsed
