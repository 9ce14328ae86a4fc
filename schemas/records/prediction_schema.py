"""Predictions as Avro and as Protobuf: the schema of each, by what the use case predicts.

The fields are those of `schemas.records.Prediction`. A later riverrun may add fields, each with a
default and (Protobuf) the next free number; it changes and removes none, so that the registry's
rule BACKWARD, Confluent's default, takes the new schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson

PredictionFormat = Literal["json", "avro", "protobuf"]

CONTENT_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "avro": "application/avro",
    "protobuf": "application/protobuf",
}
"""Of a record's header `content-type`."""

TYPES: Mapping[str, str] = {"avro": "AVRO", "protobuf": "PROTOBUF"}
"""What a Schema Registry calls each."""

_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_NUMBERS = {"type": "map", "values": "double"}
_AVRO_VALUE = {"regression": "double", "binary": "boolean", "multiclass": ["string", "long"]}
_AVRO_SHADOW = {"regression": "double", "binary": "double", "multiclass": _NUMBERS}
_PROTO_VALUE = {
    "regression": "  double value = 3;",
    "binary": "  bool value = 3;",
    "multiclass": "  oneof value {\n    string text = 3;\n    int64 number = 17;\n  }",
}
_PROTO_SHADOW = {
    "regression": "optional double value = 1;",
    "binary": "optional double value = 1;",
    "multiclass": "map<string, double> probabilities = 1;",
}


def name_of(kind: str) -> str:
    """Return the record's name in both, by the use case's kind.

    >>> name_of("regression")
    'RegressionPrediction'
    """
    return f"{kind.capitalize()}Prediction"


def schema_text(format: str, kind: str) -> str:
    """Return the schema's text as it is registered: an Avro schema, or a .proto file."""
    return avro_text(kind) if format == "avro" else proto_text(kind)


def avro_text(kind: str) -> str:
    """Return the Avro schema of predictions of that kind."""
    interval = {
        "type": "record",
        "name": "Interval",
        "fields": [_field("lower", "double"), _field("upper", "double")],
    }
    fields = [
        _field("event_id", "string"),
        _field("event_time", _TIME, "The event's own time, UTC."),
        _field("value", _AVRO_VALUE[kind], "The answer, in the label's unit; or the class."),
        _optional("probabilities", _NUMBERS, "Class (as text) to probability."),
        _optional("interval", interval, "In the label's unit."),
        _optional("classes", {"type": "array", "items": "string"}, "Those not ruled out."),
        _optional("segment", "string", "The segment it was answered for."),
        _field("served_by", "string", "champion, challenger, pooled, baseline or holdout."),
        _field("reason", "string", "Why that one answered, in words."),
        _field("model", "string", "name@definition#trained_on of what answered."),
        _field(
            "shadows",
            {"type": "map", "values": ["null", _AVRO_SHADOW[kind]]},
            "What each model would have predicted; null without a usable number.",
        ),
        _optional("contributions", _NUMBERS, "The largest, in the model's own unit."),
        _optional("reference", "double", "What contributions and rest are added to."),
        _optional("rest", "double", "All smaller contributions together."),
        _field("seq", "long", "The journal entry that holds it."),
        _field("step", "long", "Records that the partition had applied, this one included."),
        _field("partition", "int", "The Kafka partition of its event."),
    ]
    schema = {
        "type": "record",
        "name": name_of(kind),
        "namespace": "riverrun",
        "doc": "The prediction of one event, the model that made it, and why that one.",
        "fields": fields,
    }
    return orjson.dumps(schema).decode()


def _field(name: str, type: Any, doc: str | None = None) -> dict[str, Any]:
    field = {"name": name, "type": type}
    return field if doc is None else field | {"doc": doc}


def _optional(name: str, type: Any, doc: str) -> dict[str, Any]:
    return _field(name, ["null", type], doc) | {"default": None}


def proto_text(kind: str) -> str:
    """Return the .proto file of predictions of that kind; its first message is the record's."""
    name = name_of(kind)
    return f"""syntax = "proto3";

package riverrun;

import "google/protobuf/timestamp.proto";

// The prediction of one event, the model that made it, and why that one.
message {name} {{
  message Interval {{
    double lower = 1;
    double upper = 2;
  }}
  message Classes {{
    repeated string names = 1;
  }}
  message Shadow {{
    {_PROTO_SHADOW[kind]}
  }}
  message Contribution {{
    string feature = 1;
    double amount = 2;
  }}

  string event_id = 1;
  // The event's own time, UTC.
  google.protobuf.Timestamp event_time = 2;
  // The answer, in the label's unit; or the class.
{_PROTO_VALUE[kind]}
  // Class (as text) to probability.
  map<string, double> probabilities = 4;
  // In the label's unit.
  optional Interval interval = 5;
  // The classes not ruled out at the declared level.
  optional Classes classes = 6;
  optional string segment = 7;
  // champion, challenger, pooled, baseline or holdout.
  string served_by = 8;
  // Why that one answered, in words.
  string reason = 9;
  // name@definition#trained_on of what answered.
  string model = 10;
  // What each model would have predicted; empty without a usable number.
  map<string, Shadow> shadows = 11;
  // The largest first, in the model's own unit.
  repeated Contribution contributions = 12;
  // What contributions and rest are added to.
  optional double reference = 13;
  // All smaller contributions together.
  optional double rest = 14;
  // The journal entry that holds it.
  int64 seq = 15;
  // Records that the partition had applied, this one included.
  int64 step = 16;
  // The Kafka partition of its event.
  int32 partition = 18;
}}
"""
