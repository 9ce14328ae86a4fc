"""Predictions behind the id of their schema, and back again to the JSON that a task made of them.

A task writes JSON, whatever its topic holds: replay, proof and every reader compare and show that.
What is here is a pure function between both, and gives back the same fields and floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from io import BytesIO
from typing import Any

import orjson

from models.formats.avro import Avro, parsed_schema
from models.formats.payload import WriterSchema
from models.formats.protobuf import Protobuf, message_class
from models.formats.wire_format import HEADER_BYTES, find_schema_id, header_of
from schemas.errors import Malformed
from schemas.records.predictions import Prediction

FIRST_MESSAGE = b"\x00"
"""The index of a file's first message, as Confluent's wire format has it."""


def is_framed(value: bytes | None) -> bool:
    """Return whether a value begins as one behind a schema's id does; no JSON does."""
    return value is not None and len(value) > HEADER_BYTES and find_schema_id(value) is not None


def encoder_of(schema: WriterSchema) -> Callable[[bytes], bytes]:
    """Return what makes of a prediction's JSON the bytes for its topic, by a registered schema."""
    head = header_of(schema.id)
    if schema.type == "PROTOBUF":
        message = message_class(schema, (0,))
        return lambda value: head + FIRST_MESSAGE + _message(orjson.loads(value), message())
    write, parsed = _avro_writer(schema)

    def encoded(value: bytes) -> bytes:
        stream = BytesIO()
        stream.write(head)
        write(stream, parsed, _for_avro(orjson.loads(value)))
        return stream.getvalue()

    return encoded


def json_of(value: bytes, schema: WriterSchema) -> bytes:
    """Return the JSON of a prediction that was written by that schema.

    Fields that this riverrun does not know come last. Raises `Malformed` if the bytes are none.
    """
    schemas = {schema.id: schema}
    if schema.type == "PROTOBUF":
        row = _from_message(Protobuf().decode(value, schemas))
    else:
        row = _from_avro(Avro().decode(value, schemas))
    known = {name: row.pop(name, None) for name in Prediction.model_fields}
    try:
        return orjson.dumps(known | row, default=str)
    except TypeError as error:
        raise Malformed(f"the prediction cannot be shown as JSON: {error}.") from None


# Avro.


def _avro_writer(schema: WriterSchema) -> tuple[Any, Any]:
    import fastavro

    return fastavro.schemaless_writer, parsed_schema(schema)


def _for_avro(row: dict[str, Any]) -> dict[str, Any]:
    row["event_time"] = datetime.fromisoformat(row["event_time"])
    if row["interval"] is not None:
        row["interval"] = dict(zip(("lower", "upper"), row["interval"], strict=True))
    return row


def _from_avro(row: dict[str, Any]) -> dict[str, Any]:
    if row.get("interval") is not None:
        row["interval"] = list(row["interval"].values())
    return row


# Protobuf.


def _message(row: Mapping[str, Any], message: Any) -> bytes:
    """Return a prediction as an empty message, filled, has it."""
    message.event_time.FromDatetime(datetime.fromisoformat(row["event_time"]))
    value = row["value"]
    if "text" in message.DESCRIPTOR.fields_by_name:  # of classes: a text or a number
        setattr(message, "text" if isinstance(value, str) else "number", value)
    else:
        message.value = value
    message.probabilities.update(row["probabilities"] or {})
    if row["interval"] is not None:
        message.interval.lower, message.interval.upper = row["interval"]
    if row["classes"] is not None:
        message.classes.SetInParent()
        message.classes.names.extend(row["classes"])
    for name, shadow in row["shadows"].items():
        entry = message.shadows[name]
        if isinstance(shadow, dict):
            entry.probabilities.update(shadow)
        elif shadow is not None:
            entry.value = shadow
    for feature, amount in (row["contributions"] or {}).items():
        message.contributions.add(feature=feature, amount=amount)
    for name in _AS_THEY_ARE:
        if row[name] is not None:
            setattr(message, name, row[name])
    payload: bytes = message.SerializeToString(deterministic=True)
    return payload


_AS_THEY_ARE = (
    *("event_id", "segment", "served_by", "reason", "model"),
    *("reference", "rest", "seq", "step", "partition"),
)


def _from_message(row: dict[str, Any]) -> dict[str, Any]:
    """Return a decoded message as the row that it was made of; `value` says if a class is text."""
    if "text" in row:
        text, number = row.pop("text"), row.pop("number")
        row["value"] = number if text is None else text
    interval, classes = row.get("interval"), row.get("classes")
    row["interval"] = None if interval is None else [interval["lower"], interval["upper"]]
    row["classes"] = None if classes is None else classes["names"]
    row["probabilities"] = row.get("probabilities") or None
    row["shadows"] = {
        name: shadow["value"] if "value" in shadow else shadow["probabilities"] or None
        for name, shadow in row.get("shadows", {}).items()
    }
    amounts = {each["feature"]: each["amount"] for each in row.get("contributions", ())}
    row["contributions"] = None if row.get("reference") is None else amounts
    return row


__all__ = ["encoder_of", "is_framed", "json_of"]
