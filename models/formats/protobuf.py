"""Protobuf, with the writer's schema from a Schema Registry or a compiled one.

What a registry holds is the text of a .proto file. It is compiled where it is fetched
(streams/registry/proto_compiler.py), so a `WriterSchema` of type PROTOBUF has as its text the file
and all that it imports as a FileDescriptorSet, in base64.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import Any

from models.formats.payload import Schemas, WriterSchema, schema_of
from models.formats.wire_format import message_index
from schemas.errors import Malformed

WRAPPERS = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
"""Messages of google.protobuf that hold one value, so that it may be absent."""


@dataclass(frozen=True, slots=True)
class Protobuf:
    """Values that are Protobuf: in Confluent's wire format, or bare, of the type `message`.

    `message` is the class that protoc generated for it. A message is a dictionary of its fields by
    their names in the .proto file: a Timestamp is a datetime in UTC, a Duration its seconds, a
    wrapper (DoubleValue and its like) its value, a Struct a dictionary, an enumeration the name of
    its value, and a field that may be absent and is, None.
    """

    message: Any = None

    @property
    def uses_registry(self) -> bool:
        """Return whether values name their schema."""
        return self.message is None

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that decoding needs, and that fetching a schema does."""
        return ("google.protobuf", "grpc_tools") if self.uses_registry else ("google.protobuf",)

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the message as a dictionary; raise `Malformed` if the bytes are none."""
        if self.message is not None:
            return _parsed(self.message, value)
        schema = schema_of(value, schemas, "PROTOBUF")
        path, begin = message_index(value)
        return _parsed(message_class(schema, tuple(path)), value[begin:])


def _parsed(message_type: Any, data: bytes) -> dict[str, Any]:
    message = message_type()
    try:
        message.ParseFromString(data)
    except Exception:  # google.protobuf.message.DecodeError, which is not imported for this alone
        raise Malformed("the value is no Protobuf message of its schema.") from None
    return _fields(message)


def _fields(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            fields[field.name] = {key: _value(inner, value[key]) for key in value}
        elif field.is_repeated:
            fields[field.name] = [_value(field, each) for each in value]
        elif field.has_presence and not message.HasField(field.name):
            fields[field.name] = None
        else:
            fields[field.name] = _value(field, value)
    return fields


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        known = _KNOWN.get(field.message_type.full_name)
        return _fields(value) if known is None else known(value)
    if field.enum_type is not None:
        name = field.enum_type.values_by_number.get(value)
        return value if name is None else name.name
    return value


def _struct(value: Any) -> Any:
    from google.protobuf import json_format

    return json_format.MessageToDict(value)


_KNOWN: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": lambda value: value.ToDatetime(UTC),
    "google.protobuf.Duration": lambda value: value.seconds + value.nanos / 1e9,
    **dict.fromkeys((f"google.protobuf.{n}Value" for n in WRAPPERS), lambda each: each.value),
    **dict.fromkeys((f"google.protobuf.{n}" for n in ("Struct", "Value", "ListValue")), _struct),
}


@lru_cache(maxsize=1_000)
def message_class(schema: WriterSchema, path: Sequence[int]) -> Any:
    """Return the class of a schema's message; raise `Malformed` if it has none at that path."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    files = descriptor_pb2.FileDescriptorSet.FromString(b64decode(schema.text))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    name, messages = files.file[-1].package, files.file[-1].message_type
    try:
        if min(path) < 0:
            raise IndexError
        for index in path:
            name = f"{name}.{messages[index].name}".removeprefix(".")
            messages = messages[index].nested_type
    except IndexError:
        raise Malformed(f"schema {schema.id} has no message {list(path)}.") from None
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
