"""Avro: unions, logical types, and bytes that are none."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro

from models.formats.avro import Avro
from models.formats.converters import epoch_us, local_time
from models.formats.payload import WriterSchema
from tests.support.odd_values.value import AT, AT_MS, Expected, Odd, framed


def avro(name: str, type: Any, value: Any, expected: Expected, **how: Any) -> Odd:
    """A record with one field of that type."""
    schema = {"type": "record", "name": "R", "fields": [{"name": "x", "type": type}]}
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), {"x": value})
    known = {9: WriterSchema(9, "AVRO", json.dumps(schema))}
    return Odd(f"avro {name}", Avro(), framed(9, stream.getvalue()), expected, schemas=known, **how)


def logical(type: Any, name: str, **more: Any) -> dict[str, Any]:
    """A logical type."""
    inner = type if isinstance(type, dict) else {"type": type}
    return {**inner, "logicalType": name, **more}


NESTED = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}
INNER = {
    "type": "record",
    "name": "Inner",
    "fields": [{"name": "a", "type": ["null", {"type": "array", "items": ["int", "string"]}]}],
}
FIXED = {"type": "fixed", "name": "Money", "size": 8}
ENUM = {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}

AVRO = [
    avro(
        "nested union",
        ["null", "string", INNER],
        {"a": [1, "b"]},
        {"x": "b"},
        x=lambda r: r["x"]["a"][1],
    ),
    avro("null of a union", ["null", "string"], None, {"x": None}),
    avro(
        "recursive record",
        NESTED,
        {"v": 1, "next": {"v": 2, "next": None}},
        {"x": 2},
        x=lambda r: r["x"]["next"]["v"],
    ),
    avro(
        "map",
        {"type": "map", "values": "long"},
        {"a": 2**40},
        {"x": 2**40},
        x=lambda r: r["x"]["a"],
    ),
    avro("enum", ENUM, "PAID", {"x": "PAID"}),
    avro(
        "decimal", logical("bytes", "decimal", precision=9, scale=2), Decimal("12.50"), {"x": 12.5}
    ),
    avro(
        "fixed decimal",
        logical(FIXED, "decimal", precision=9, scale=2),
        Decimal("-1.25"),
        {"x": -1.25},
    ),
    avro("uuid", logical("string", "uuid"), UUID(int=5), {"x": str(UUID(int=5))}),
    avro(
        "timestamp-millis",
        logical("long", "timestamp-millis"),
        AT,
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: r["x"],
    ),
    avro(
        "timestamp-nanos",
        logical("long", "timestamp-nanos"),
        AT_MS * 1_000_000,
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: epoch_us(r["x"] / 1000),
    ),
    avro(
        "local-timestamp-micros",
        logical("long", "local-timestamp-micros"),
        datetime(2024, 3, 1, 9),
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: local_time(r["x"], "Europe/Berlin"),
    ),
    avro(
        "local timestamp without its zone",
        logical("long", "local-timestamp-millis"),
        datetime(2024, 3, 1, 9),
        "event_time",
        x=lambda r: 1,
        at=lambda r: r["x"],
    ),
    avro("date", logical("int", "date"), date(2024, 3, 1), {"x": "2024-03-01"}),
    avro("time-millis", logical("int", "time-millis"), time(9, 30), {"x": "09:30:00"}),
    avro("logical type of their own", logical("long", "shop-clock"), 5, {"x": 5}),
    avro("bytes", "bytes", b"\xff", "bytes"),
    avro("not a number", "double", float("nan"), {"x": None}),
    Odd(
        "avro string alone",
        Avro(),
        framed(9, b"\x04ab"),
        {"x": "ab"},
        x=lambda r: r,
        schemas={9: WriterSchema(9, "AVRO", '"string"')},
    ),
    Odd(
        "avro of an id that is unknown",
        Avro(),
        framed(77, b"\x02"),
        "schema 77 is not in the Schema Registry",
    ),
    Odd(
        "avro of a schema that none reads",
        Avro(),
        framed(9, b"\x02"),
        "no Avro schema",
        schemas={9: WriterSchema(9, "AVRO", '{"type": "shop.Gone"}')},
    ),
    Odd(
        "avro cut short",
        Avro(),
        framed(9, b"\x08ab"),
        "no Avro of its schema",
        x=lambda r: r,
        schemas={9: WriterSchema(9, "AVRO", '"string"')},
    ),
    Odd(
        "avro with a byte too many",
        Avro(),
        framed(9, b"\x04abc"),
        "goes on after the end",
        x=lambda r: r,
        schemas={9: WriterSchema(9, "AVRO", '"string"')},
    ),
    Odd("avro without an id", Avro(), b"\x04ab", "does not begin with the id"),
    Odd(
        "avro behind a schema of protobuf",
        Avro(),
        framed(8, b"\x02"),
        "of type PROTOBUF, not AVRO",
        schemas={8: WriterSchema(8, "PROTOBUF", "")},
    ),
]
