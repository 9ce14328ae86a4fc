"""CloudEvents metadata as Kafka headers (binary mode of its Kafka protocol binding).

Written on every record that riverrun makes but the journal's; `traceparent` (W3C) is passed through
from the event to every record about it. A producer needs none: without headers, id and time are
fields.
"""

from __future__ import annotations

from collections.abc import Iterable

Headers = tuple[tuple[str, bytes], ...]

TRACE_BYTES_MAX = 256
_ALWAYS: Headers = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))


def stamp(kind: str, use_case: str, partition: int) -> Headers:
    """Return the headers that all records of one kind and partition share: type, source, version.

    >>> dict(stamp("predictions", "flight_eta", 3))["ce_source"]
    b'/riverrun/flight_eta/3'
    """
    return (
        *_ALWAYS,
        ("ce_type", f"riverrun.{kind}".encode()),
        ("ce_source", f"/riverrun/{use_case}/{partition}".encode()),
    )


DATA_SCHEMA = "ce_dataschema"
"""CloudEvents' attribute that says where the schema of a value is."""


def formatted(headers: Headers, content_type: str, topic: str, id: int) -> Headers:
    """Return the headers of a record whose value is behind the id of a schema, kept on `topic`.

    >>> formatted((("content-type", b"application/json"),), "application/avro", "a.schemas", 7)
    (('content-type', b'application/avro'), ('ce_dataschema', b'/riverrun/schemas/a.schemas/7'))
    """
    others = (pair for pair in headers if pair[0] != "content-type")
    where = f"/riverrun/schemas/{topic}/{id}".encode()
    return (*others, ("content-type", content_type.encode()), (DATA_SCHEMA, where))


def has_schema(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Return whether a record says where its value's schema is."""
    return any(name == DATA_SCHEMA for name, _ in headers)


def traceparent(headers: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return the W3C trace context of a record, if it has one."""
    for name, value in headers:
        if name == "traceparent":
            return value if value is not None and len(value) <= TRACE_BYTES_MAX else None
    return None
