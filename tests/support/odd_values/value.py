"""A gallery of what real topics hold: each value with what becomes of it, a record or a reason.

`expected` are the fields of the event (of those that matter), or text of the dead letter; None of
what is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from models.formats.json_format import Json
from models.formats.payload import Format, WriterSchema

AT = datetime(2024, 3, 1, 8, tzinfo=UTC)
AT_MS = 1_709_280_000_000
Expected = dict[str, Any] | str | None


@dataclass(frozen=True)
class Odd:
    """One value. `x` reads what is odd in it, `at` its time, `key` what Kafka has as its key."""

    name: str
    format: Format
    value: bytes | None
    expected: Expected
    x: Callable[[Any], Any] = lambda r: r["x"]
    at: Callable[[Any], Any] = lambda r: AT
    schemas: dict[int, WriterSchema] = field(default_factory=dict)
    key: bytes | None = None


def framed(id: int, payload: bytes) -> bytes:
    """A value in Confluent's wire format."""
    return b"\x00" + id.to_bytes(4, "big") + payload


def as_json(
    name: str, value: Any, expected: Expected, format: Format | None = None, **how: Any
) -> Odd:
    """A value as JSON."""
    return Odd(f"json {name}", format or Json(), json.dumps(value).encode(), expected, **how)


SKIP = object()
"""Says that a value is no record."""
