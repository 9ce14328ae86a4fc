"""JSON, and JSON behind the id of a schema, which reading does not need."""

from __future__ import annotations

from models.formats.avro import Avro
from models.formats.converters import epoch_ms, local_time, number
from models.formats.json_format import Json
from models.formats.json_schema import JsonSchema
from tests.support.odd_values.value import AT, AT_MS, SKIP, Odd, as_json, framed

JSON = [
    as_json(
        "number as text", {"x": "1.234,5"}, {"x": 1234.5}, x=lambda r: number(r["x"], decimal=",")
    ),
    as_json(
        "epoch in text",
        {"at": str(AT_MS)},
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: epoch_ms(r["at"]),
    ),
    as_json(
        "local time",
        {"at": "01.03.2024 09:00"},
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: local_time(r["at"], "Europe/Berlin", "%d.%m.%Y %H:%M"),
    ),
    as_json(
        "local time without its zone",
        {"at": "2024-03-01T09:00:00"},
        "has no zone",
        x=lambda r: 1,
        at=lambda r: local_time(r["at"]),
    ),
    as_json("list", [1], "the source cannot map it"),
    as_json("null", None, None),
    as_json(
        "text that is no number",
        {"x": "n/a"},
        "the source cannot map it: ValueError",
        x=lambda r: number(r["x"]),
    ),
    as_json("field that is missing", {}, "KeyError: 'x'"),
    as_json("record that is none", {"x": 1}, None, x=lambda r: SKIP),
    Odd("json schema", JsonSchema(), framed(5, b'{"x": 1}'), {"x": 1}),
    Odd("json schema without an id", JsonSchema(), b'{"x": 1}', "does not begin with the id"),
    Odd("json in another encoding", Json(), '{"x": 1}'.encode("utf-16"), "not JSON"),
    Odd("tombstone", Json(), None, None, key=b"k"),
    Odd("nothing", Json(), b"", "not JSON"),
    Odd("tombstone of avro", Avro(), None, None),
]
