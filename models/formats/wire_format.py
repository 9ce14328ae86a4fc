"""Confluent's wire format: a magic byte, the id of the writer's schema, and the payload.

Source: Confluent, "Wire format" of Schema Registry's documentation.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.errors import Malformed

MAGIC = 0
HEADER_BYTES = 5


def header_of(id: int) -> bytes:
    """Return what a value begins with that is written with the schema of that id.

    >>> find_schema_id(header_of(258) + b"payload")
    258
    """
    return bytes([MAGIC]) + id.to_bytes(HEADER_BYTES - 1, "big")


def find_schema_id(value: bytes) -> int | None:
    """Return the id of the schema that a value begins with; None if it begins with none.

    >>> find_schema_id(b'{"a": 1}') is None
    True
    """
    if len(value) < HEADER_BYTES or value[0] != MAGIC:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def schema_ids(values: Iterable[bytes | None]) -> set[int]:
    """Return the ids of all schemas that values begin with."""
    return {id for value in values if value and (id := find_schema_id(value)) is not None}


def schema_id(value: bytes) -> int:
    """Return the id of the schema that a value was written with; raise `Malformed` if it has none.

    >>> schema_id(bytes([0, 0, 0, 1, 2]) + b"payload")
    258
    """
    id = find_schema_id(value)
    if id is None:
        raise Malformed(
            "the value does not begin with the id of a schema (Confluent's wire format). Declare "
            "the format that its producer writes."
        )
    return id


def message_index(value: bytes) -> tuple[list[int], int]:
    """Return which message of a Protobuf schema a value holds, and where its payload begins.

    The path leads from a message of the file into those nested in it.

    >>> message_index(bytes([0, 0, 0, 0, 7, 0]) + b"payload")
    ([0], 6)
    >>> message_index(bytes([0, 0, 0, 0, 7, 4, 2, 0]) + b"payload")
    ([1, 0], 8)
    """
    count, at = _varint(value, HEADER_BYTES)
    path = []
    for _ in range(count):
        index, at = _varint(value, at)
        path.append(index)
    return path or [0], at


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag-encoded number and the position after it."""
    number = shift = 0
    while True:
        if at >= len(value) or shift > 28:
            raise Malformed("the value is cut off, or is no Protobuf in Confluent's wire format.")
        byte = value[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
