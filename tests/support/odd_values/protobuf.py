"""Protobuf: nested, absent, of later versions, and bytes that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.formats.payload import WriterSchema
from models.formats.protobuf import Protobuf, message_class
from streams.registry.proto_compiler import compiled
from tests.support.odd_values.value import AT, Expected, Odd, framed

PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Other { string id = 1; }
message Order {
  message Line {
    message Part { string code = 1; }
    string sku = 1;
    repeated Part parts = 2;
  }
  message Cash { double amount = 1; }
  enum State { NEW = 0; PAID = 1; }
  google.protobuf.Timestamp at = 2;
  oneof payment { string card = 3; Cash cash = 4; }
  optional int32 count = 5;
  repeated Line lines = 6;
  map<string, Line> by_name = 7;
  State state = 8;
  google.protobuf.DoubleValue weight = 9;
  google.protobuf.Duration took = 10;
  google.protobuf.Struct extra = 11;
  uint64 big = 12;
  Order parent = 13;
}
"""
ORDER = WriterSchema(7, "PROTOBUF", compiled(PROTO, {}))


def proto(name: str, fill: Callable[[Any], Any], expected: Expected, **how: Any) -> Odd:
    """An order, the second message of its file, filled by a function."""
    message = message_class(ORDER, (1,))()
    fill(message)
    value = framed(7, b"\x02\x02" + message.SerializeToString())
    return Odd(f"protobuf {name}", Protobuf(), value, expected, schemas={7: ORDER}, **how)


def _lines(message: Any) -> None:
    message.lines.add(sku="x").parts.add(code="p")
    message.by_name["k"].parts.add(code="q")


def _unset(message: Any) -> None:
    """Leave all as it is."""


def _late(message: Any) -> None:
    message.at.seconds = 2**60


PROTOBUF = [
    proto(
        "nested and repeated",
        _lines,
        {"x": "pq"},
        x=lambda r: r["lines"][0]["parts"][0]["code"] + r["by_name"]["k"]["parts"][0]["code"],
    ),
    proto(
        "oneof",
        lambda m: setattr(m.cash, "amount", 2.5),
        {"x": 2.5},
        x=lambda r: r["cash"]["amount"],
    ),
    proto(
        "the other of a oneof",
        lambda m: setattr(m.cash, "amount", 2.5),
        {"x": None},
        x=lambda r: r["card"],
    ),
    proto("optional that is absent", _unset, {"x": None}, x=lambda r: r["count"]),
    proto(
        "optional that is zero", lambda m: setattr(m, "count", 0), {"x": 0}, x=lambda r: r["count"]
    ),
    proto("enumeration", lambda m: setattr(m, "state", 1), {"x": "PAID"}, x=lambda r: r["state"]),
    proto(
        "enumeration of a later version",
        lambda m: setattr(m, "state", 9),
        {"x": 9},
        x=lambda r: r["state"],
    ),
    proto(
        "wrapper", lambda m: setattr(m.weight, "value", 1.5), {"x": 1.5}, x=lambda r: r["weight"]
    ),
    proto("wrapper that is absent", _unset, {"x": None}, x=lambda r: r["weight"]),
    proto("duration", lambda m: m.took.FromMilliseconds(2_500), {"x": 2.5}, x=lambda r: r["took"]),
    proto(
        "struct",
        lambda m: m.extra.update({"a": [1, {"b": "c"}]}),
        {"x": "c"},
        x=lambda r: r["extra"]["a"][1]["b"],
    ),
    proto(
        "timestamp",
        lambda m: m.at.FromDatetime(AT),
        {"event_time": AT},
        x=lambda r: 1,
        at=lambda r: r["at"],
    ),
    proto("timestamp beyond all", _late, "Timestamp is not valid", x=lambda r: 1),
    proto(
        "64 bits without a sign",
        lambda m: setattr(m, "big", 2**64 - 1),
        {"x": 2**64 - 1},
        x=lambda r: r["big"],
    ),
    Odd(
        "protobuf of a message that is none",
        Protobuf(),
        framed(7, b"\x02\x0e"),
        "has no message",
        schemas={7: ORDER},
    ),
    Odd(
        "protobuf of a negative message",
        Protobuf(),
        framed(7, b"\x02\x01"),
        "has no message",
        schemas={7: ORDER},
    ),
    Odd("protobuf cut in its index", Protobuf(), framed(7, b"\x80"), "cut off", schemas={7: ORDER}),
    Odd(
        "protobuf junk",
        Protobuf(),
        framed(7, b"\x02\x02\xff\xff"),
        "no Protobuf message",
        schemas={7: ORDER},
    ),
    Odd(
        "protobuf of a schema that none compiles",
        Protobuf(),
        framed(7, b"\x00"),
        "cannot be used: no",
        schemas={7: WriterSchema(7, "UNUSABLE", "no protoc reads it")},
    ),
]
