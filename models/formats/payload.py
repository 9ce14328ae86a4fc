"""What every format of a foreign topic's values is. Pure: bytes and known schemas in, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from models.formats.wire_format import schema_id
from schemas.errors import Malformed


class WriterSchema(NamedTuple):
    """A schema that records were written with, as a Schema Registry has it.

    `type`: AVRO, JSON or PROTOBUF, or `UNUSABLE` with the reason as `text`; `references`: the
    schemas that it refers to, as (name, text), each after those that it refers to itself.
    """

    id: int
    type: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


UNUSABLE = "UNUSABLE"

Schemas = Mapping[int, WriterSchema]
"""Schema id → schema."""


class Format(Protocol):
    """How the values of a topic are written."""

    @property
    def uses_registry(self) -> bool:
        """Return whether values begin with the id of a schema in a Schema Registry."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that decoding needs and that are not installed with every worker."""

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the value; None for one that says nothing, such as a deletion.

        Raises `Malformed` if the bytes are no such value.
        """


def missing_package(format: Format) -> str | None:
    """Return the first module that a format needs and that is not installed; None if all are."""
    return next((name for name in format.packages if not _installed(name)), None)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of a parent
        return False


def schema_of(value: bytes, schemas: Schemas, type: str) -> WriterSchema:
    """Return the schema that a value in Confluent's wire format names.

    Raises `Malformed` if it names none, one that is not known, or one of another type.
    """
    number = schema_id(value)
    schema = schemas.get(number)
    if schema is None:
        raise Malformed(f"schema {number} is not in the Schema Registry.")
    if schema.type == UNUSABLE:
        raise Malformed(f"schema {number} cannot be used: {schema.text}")
    if schema.type != type:
        raise Malformed(
            f"schema {number} is of type {schema.type}, not {type}. Declare the format that the "
            "producer writes."
        )
    return schema
