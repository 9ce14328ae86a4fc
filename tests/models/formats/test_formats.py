"""Values as others write them, by the libraries that write them."""

from __future__ import annotations

import importlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from models.formats.avro import Avro
from models.formats.converters import epoch_ms, epoch_ns, epoch_s, epoch_us, local_time, number
from models.formats.envelopes import CloudEvents, Connect, Debezium
from models.formats.json_format import Json
from models.formats.json_schema import JsonSchema
from models.formats.payload import Format, WriterSchema, missing_package
from models.formats.protobuf import Protobuf
from schemas.errors import Incompatible, Malformed
from streams.registry.proto_compiler import compiled

ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "to", "type": ["null", "shop.Address"], "default": None},
    ],
}
ADDRESS = {
    "type": "record",
    "name": "Address",
    "namespace": "shop",
    "fields": [{"name": "city", "type": "string"}],
}
AT = datetime(2024, 3, 1, 8, tzinfo=UTC)
ROW = {"id": "a", "at": AT, "price": Decimal("12.50"), "to": {"city": "Ulm"}}
REFERRING = WriterSchema(
    300, "AVRO", orjson.dumps(ORDER).decode(), (("shop.Address", orjson.dumps(ADDRESS).decode()),)
)
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "address.proto";
message Ignored { string id = 1; }
message Order {
  message Line { string sku = 1; int32 count = 2; }
  enum State { NEW = 0; PAID = 1; }
  string id = 1;
  google.protobuf.Timestamp at = 2;
  int64 cents = 3;
  repeated Line lines = 4;
  map<string, double> weights = 5;
  State state = 6;
  optional string note = 7;
  Address to = 8;
}
"""
ADDRESS_PROTO = 'syntax = "proto3"; package shop; message Address { string city = 1; }'


def framed(id: int, payload: bytes) -> bytes:
    """A value in Confluent's wire format."""
    return b"\x00" + id.to_bytes(4, "big") + payload


def avro_bytes() -> bytes:
    """An order as Avro."""
    named: dict[str, Any] = {}
    fastavro.parse_schema(ADDRESS, named_schemas=named)
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(ORDER, named_schemas=named), ROW)
    return stream.getvalue()


def test_avro_is_read_by_the_schema_that_its_id_names() -> None:
    """With what that schema refers to; times are in UTC, decimals exact."""
    assert Avro().decode(framed(300, avro_bytes()), {300: REFERRING}) == ROW


def test_bare_avro_is_read_by_a_fixed_schema() -> None:
    """Without a registry."""
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(ADDRESS), {"city": "Ulm"})
    bare = Avro(schema=orjson.dumps(ADDRESS).decode())
    assert not bare.uses_registry
    assert bare.decode(stream.getvalue(), {}) == {"city": "Ulm"}
    with pytest.raises(Malformed, match="goes on after the end"):
        bare.decode(stream.getvalue() + b"x", {})


@pytest.fixture(scope="module")
def proto() -> WriterSchema:
    """A schema as the registry's client makes it of .proto text."""
    return WriterSchema(7, "PROTOBUF", compiled(PROTO, {"address.proto": ADDRESS_PROTO}))


def order_class(schema: WriterSchema) -> Any:
    """The class that protoc would generate."""
    files = descriptor_pb2.FileDescriptorSet.FromString(b64decode(schema.text))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def test_protobuf_is_read_by_the_message_that_its_index_names(proto: WriterSchema) -> None:
    """The second of the file; nested, repeated, mapped and absent fields, by their names."""
    message = order_class(proto)(id="a", cents=2**53 + 1, state=1, weights={"kg": 1.5})
    message.at.FromDatetime(AT)
    message.lines.add(sku="x", count=3)
    message.to.city = "Ulm"
    expected = {
        "id": "a",
        "at": AT,
        "cents": 2**53 + 1,
        "lines": [{"sku": "x", "count": 3}],
        "weights": {"kg": 1.5},
        "state": "PAID",
        "note": None,
        "to": {"city": "Ulm"},
    }
    payload = message.SerializeToString()
    assert Protobuf().decode(framed(7, b"\x02\x02" + payload), {7: proto}) == expected
    assert Protobuf(message=type(message)).decode(payload, {}) == expected
    line = type(message).DESCRIPTOR.nested_types_by_name["Line"]
    nested = message_factory.GetMessageClass(line)(sku="y", count=1)
    decoded = Protobuf().decode(framed(7, b"\x04\x02\x00" + nested.SerializeToString()), {7: proto})
    assert decoded == {"sku": "y", "count": 1}


def test_a_schema_may_be_registered_as_its_descriptor(proto: WriterSchema) -> None:
    """Do as Confluent's serializer for Python does: in base64, and what it imports likewise."""
    files = descriptor_pb2.FileDescriptorSet.FromString(b64decode(proto.text)).file
    by_name = {file.name: b64encode(file.SerializeToString()).decode() for file in files}
    *_, main = by_name.values()
    references = {"address.proto": by_name["address.proto"]}
    again = WriterSchema(7, "PROTOBUF", compiled(main, references))
    message = order_class(proto)(id="a")
    message.at.FromDatetime(AT)
    message.to.city = "Ulm"
    value = framed(7, b"\x02\x02" + message.SerializeToString())
    assert Protobuf().decode(value, {7: again}) == Protobuf().decode(value, {7: proto})
    with pytest.raises(Incompatible, match=r"address\.proto"):
        compiled(main, {})


WRONG: list[tuple[Format, bytes, str]] = [
    (Json(), b"{", "not JSON"),
    (JsonSchema(), b'{"a": 1}', "does not begin with the id of a schema"),
    (Avro(), b"\x00\x00", "does not begin with the id of a schema"),
    (Avro(), framed(5, b"x"), "schema 5 is not in the Schema Registry"),
    (Avro(), framed(300, b"\xff"), "no Avro of its schema"),
    (Protobuf(), framed(300, b"\x00"), "of type AVRO, not PROTOBUF"),
    (Debezium(), b'{"id": 1}', "no change event"),
    (Debezium(), b'{"op": "u", "after": null}', "has no row"),
    (Connect(), b'{"id": 1}', "no payload"),
    (CloudEvents(), b'{"specversion": "1.0", "id": "a", "type": "t"}', "source is missing"),
]


@pytest.mark.parametrize(("format", "value", "why"), WRONG)
def test_what_is_no_value_of_the_format_says_why(format: Format, value: bytes, why: str) -> None:
    """Each becomes a dead letter with these words."""
    with pytest.raises(Malformed, match=why):
        format.decode(value, {300: REFERRING})


def test_debezium_gives_the_row_after_the_change() -> None:
    """With and without Connect's schema; deletions only where they are wanted."""
    change = {
        "before": {"id": 7, "paid": False},
        "after": {"id": 7, "paid": True},
        "source": {"version": "2.7.0.Final", "connector": "postgresql", "ts_ms": 5, "table": "o"},
        "op": "u",
        "ts_ms": 6,
        "transaction": None,
    }
    row = {"id": 7, "paid": True, "__op": "u", "__source_ts_ms": 5, "__ts_ms": 6}
    assert Debezium().decode(orjson.dumps(change), {}) == row
    wrapped = {"schema": {"type": "struct", "fields": []}, "payload": change}
    assert Debezium().decode(orjson.dumps(wrapped), {}) == row
    deletion = orjson.dumps({**change, "op": "d", "after": None})
    assert Debezium().decode(deletion, {}) is None
    record = Debezium(deletes=True).decode(deletion, {})
    assert (record["paid"], record["__op"]) == (False, "d")
    assert Debezium().decode(orjson.dumps({"op": "t", "source": {}}), {}) is None


def test_a_cloud_event_s_data_is_decoded() -> None:
    """As an object, as JSON in base64, or as bytes."""
    event = {"specversion": "1.0", "id": "a", "type": "t", "source": "s"}
    packed = b64encode(b'{"n": 1}').decode()
    as_json = {**event, "datacontenttype": "application/json", "data_base64": packed}
    assert CloudEvents().decode(orjson.dumps(as_json), {})["data"] == {"n": 1}
    as_bytes = orjson.dumps({**event, "data_base64": packed})
    assert CloudEvents().decode(as_bytes, {})["data"] == b'{"n": 1}'


def test_times_are_read_exactly() -> None:
    """To the microsecond, from numbers and from text, before 1970, too."""
    assert epoch_s(1709280000) == epoch_ms("1709280000000") == epoch_us(1709280000000000) == AT
    assert epoch_ns(1709280000000001999).microsecond == 1
    assert epoch_s(0.1 + 0.2).microsecond == 300000
    assert epoch_ms(-1).isoformat() == "1969-12-31T23:59:59.999000+00:00"
    assert local_time("2024-03-01T03:00-05:00", "Europe/Berlin") == AT
    for wrong in (True, "soon", float("nan"), None):
        with pytest.raises(ValueError, match="no time since 1970"):
            epoch_ms(wrong)
    with pytest.raises(ValueError, match="has no zone"):
        local_time("2024-03-01T03:00")


def test_numbers_are_read_as_they_are_written() -> None:
    """As text, as Decimal, with a comma; nothing that is not finite."""
    assert [number(x) for x in ("12.5", Decimal("12.5"), 12, " 7 ")] == [12.5, 12.5, 12.0, 7.0]
    assert number("1.234,5", decimal=",") == 1234.5
    for wrong in ("nan", "1_000", True, None, "1e999"):
        with pytest.raises(ValueError, match=r"number|could not convert"):
            number(wrong)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` and the worker say it before the first record."""
    assert missing_package(Debezium(Avro())) is None
    payload = importlib.import_module("models.formats.payload")
    monkeypatch.setattr(payload, "find_spec", lambda name: None)
    assert missing_package(Debezium(Avro())) == "fastavro"
    assert missing_package(Json()) is None
