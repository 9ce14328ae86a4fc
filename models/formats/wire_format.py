"""Confluent's wire format: a magic byte, the id of the writer's schema, and the payload.

Source: Confluent, "Wire format" of Schema Registry's documentation.
"""

from __future__ import annotations

from schemas.errors import Malformed

MAGIC = 0
HEADER_BYTES = 5


def schema_id(value: bytes) -> int:
    """Return the id of the schema that a value was written with; raise `Malformed` if it has none.

    >>> schema_id(bytes([0, 0, 0, 1, 2]) + b"payload")
    258
    """
    if len(value) < HEADER_BYTES or value[0] != MAGIC:
        raise Malformed(
            "the value does not begin with the id of a schema (Confluent's wire format). Declare "
            "the format that its producer writes."
        )
    return int.from_bytes(value[1:HEADER_BYTES], "big")


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
