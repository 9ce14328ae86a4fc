"""CloudEvents metadata as Kafka headers (binary mode of its Kafka protocol binding).

Written on every record that riverrun makes but the journal's; `traceparent` (W3C) is passed
through from the event to all that came of it. Nothing is required of a producer: without headers,
id and time are fields.
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


def traceparent(headers: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return the W3C trace context of a record, if it has one."""
    for name, value in headers:
        if name == "traceparent":
            return value if value is not None and len(value) <= TRACE_BYTES_MAX else None
    return None
