"""Predictions in Avro and Protobuf, back to the floats of the JSON that they were made of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.formats.payload import WriterSchema
from models.formats.prediction_codec import encoder_of, is_framed, json_of
from schemas.errors import Malformed
from schemas.records.prediction_schema import TYPES, avro_text, proto_text, schema_text
from schemas.records.predictions import Prediction
from streams.registry.proto_compiler import compiled

KINDS = ("regression", "binary", "multiclass")
FORMATS = ("avro", "protobuf")


def schema_of(format: str, kind: str) -> WriterSchema:
    """Return it as the registry's client gives it."""
    text = schema_text(format, kind)
    return WriterSchema(7, TYPES[format], compiled(text, {}) if format == "protobuf" else text)


SCHEMAS = {(format, kind): schema_of(format, kind) for format in FORMATS for kind in KINDS}

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
amounts = st.dictionaries(names, numbers, min_size=1, max_size=3)
whole = st.integers(0, 2**62)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "regression": numbers,
    "binary": st.booleans(),
    "multiclass": names | st.integers(-(2**63), 2**63 - 1),
}


@st.composite
def predictions(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Draw what a task may predict of an event."""
    is_number = kind == "regression"
    shadow = amounts if kind == "multiclass" else numbers
    reasons = draw(st.none() | st.dictionaries(names, numbers, max_size=3))
    times = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
    return {
        "event_id": draw(names),
        "event_time": draw(times),
        "value": draw(VALUES[kind]),
        "probabilities": None if is_number else draw(amounts),
        "interval": draw(st.none() | st.tuples(numbers, numbers)) if is_number else None,
        "classes": None if is_number else draw(st.none() | st.lists(names, max_size=3)),
        "segment": draw(st.none() | names),
        "served_by": draw(st.sampled_from(["champion", "baseline"])),
        "reason": draw(st.text(st.characters(exclude_categories=["Cs"]))),
        "model": draw(names),
        "shadows": draw(st.dictionaries(names, st.none() | shadow, max_size=3)),
        "contributions": reasons,
        "reference": None if reasons is None else draw(numbers),
        "rest": None if reasons is None else draw(numbers),
        "seq": draw(whole),
        "step": draw(whole),
        "partition": draw(st.integers(0, 10_000)),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_prediction_comes_back_to_the_last_bit(
    format: str, kind: str, data: st.DataObject
) -> None:
    """Whatever a task may say; Avro gives back the very bytes, Protobuf orders maps as it likes."""
    row = data.draw(predictions(kind))
    schema, value = SCHEMAS[format, kind], orjson.dumps(row)
    written = encoder_of(schema)(value)
    assert is_framed(written)
    assert not is_framed(value)
    again = json_of(written, schema)
    assert orjson.loads(again) == orjson.loads(value)
    assert list(orjson.loads(again)) == list(Prediction.model_fields)
    if format == "avro":
        assert again == value


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_prediction_has_a_place_in_both_schemas(kind: str) -> None:
    """A field that is added to the record and forgotten here would be lost without a word."""
    fields = {each["name"] for each in orjson.loads(avro_text(kind))["fields"]}
    assert fields == set(Prediction.model_fields)
    for name in fields:
        assert f" {name} = " in proto_text(kind) or f" {name} {{" in proto_text(kind)


def grown(schema: WriterSchema) -> WriterSchema:
    """The same with a field that a later riverrun may add."""
    if schema.type == "AVRO":
        body = orjson.loads(schema.text)
        body["fields"].append({"name": "note", "type": ["null", "string"], "default": None})
        return schema._replace(text=orjson.dumps(body).decode())
    text = proto_text("regression").rstrip().removesuffix("}") + "  optional string note = 19;\n}\n"
    return schema._replace(text=compiled(text, {}))


ROW = {
    **{"event_id": "a", "event_time": "2024-03-01T08:00:00+00:00", "value": 1.5},
    **{"probabilities": None, "interval": [1.0, 2.0], "classes": None, "segment": None},
    **{"served_by": "champion", "reason": "it is warm", "model": "m", "shadows": {"m": None}},
    **{"contributions": {"b": 2.0, "a": -1.0}, "reference": 0.5, "rest": 0.0},
    **{"seq": 3, "step": 4, "partition": 0},
}


@pytest.mark.parametrize("format", FORMATS)
def test_an_added_field_hinders_no_reader(format: str) -> None:
    """Neither an older one of the new, nor a newer one of the old."""
    old = SCHEMAS[format, "regression"]
    new = grown(old)
    by_old, by_new = (encoder_of(each)(orjson.dumps(ROW)) for each in (old, new))
    assert orjson.loads(json_of(by_new, new)) == {**ROW, "note": None}
    assert orjson.loads(json_of(by_old, old)) == ROW
    if format == "avro":
        # What a consumer's generated class does: writer's and reader's schema, resolved.
        from io import BytesIO

        reader, writer = (fastavro.parse_schema(orjson.loads(each.text)) for each in (new, old))
        resolved = fastavro.schemaless_reader(BytesIO(by_old[5:]), writer, reader)
        assert resolved["note"] is None
    else:
        assert orjson.loads(json_of(by_new, old)) == ROW


@pytest.mark.parametrize("format", FORMATS)
def test_junk_behind_an_id_says_why(format: str) -> None:
    """Refuse it as any format does."""
    with pytest.raises(Malformed, match=r"no (Avro|Protobuf)"):
        json_of(b"\x00\x00\x00\x00\x07\x00\xff\xff\xff", SCHEMAS[format, "regression"])
