"""Foreign schemas, as only a real registry, a real Kafka and a worker show them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import fastavro
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka import Producer

from models.formats.payload import WriterSchema
from models.formats.protobuf import message_class
from streams.embedded import Endpoints
from streams.registry.proto_compiler import compiled
from streams.registry.schema_registry import SchemaRegistry
from tests.support.loop import SOURCE, Loop

pytestmark = pytest.mark.integration

IMPORTED = "UseCase, hours, over_outcomes"
SOURCES = """
def parcel(r):
    return None if r is None else {
        "event_id": r["id"], "event_time": "2024-05-01T00:00:00Z", "depot": r["to"]["depot"],
        "weight": r["weight"], "miles": 3,
    }


PARCELS = UseCase(
    sources=[
        Source("@PREFIX@avro", format=Avro(), event=parcel),
        Source("@PREFIX@protobuf", format=Protobuf(), event=parcel),
        Source("@PREFIX@json", format=JsonSchema(), event=parcel),
    ],
"""
ADDRESS = {
    "type": "record",
    "name": "Address",
    "namespace": "shop",
    "fields": [{"name": "depot", "type": "string"}],
}
ASKED = 8
"""Times that a registry which is away is asked: long beyond what else would be a stall."""
TEXT = "what this field is for, in the words of its owners, " * 4_000
PARCEL = {
    "type": "record",
    "name": "Parcel",
    "namespace": "shop",
    "doc": TEXT,
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "to", "type": "shop.Address"},
        {"name": "weight", "type": "double"},
    ],
}
ADDRESS_PROTO = 'syntax = "proto3"; package shop; message Address { string depot = 1; }'
PARCEL_PROTO = """
syntax = "proto3";
package shop;
import "address.proto";
message Parcel { string id = 1; Address to = 2; double weight = 3; }
"""
NO_FILE = (
    'syntax = "proto3"; import "google/type/date.proto"; message A { google.type.Date d = 1; }'
)


class Registry(SchemaRegistry):
    """A client that registers what refers to others, too."""

    async def add(self, subject: str, text: str, type: str, refers: tuple[str, str] | None) -> int:
        """Register a schema; `refers`: the name and the subject of one that it refers to."""
        body: dict[str, Any] = {"schema": text, "schemaType": type}
        if refers is not None:
            name, other = refers
            body["references"] = [{"name": name, "subject": other, "version": 1}]
        answer = await self._ask("POST", f"/subjects/{subject}/versions", body)
        return int(answer["id"])


class Trouble:
    """A registry behind a proxy that can be away, or slow."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.away = False
        self.delay_s = 0.0
        self.asked = 0
        self.long_away = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Pass the request on, late, or refuse it."""
        self.asked += 1
        if self.asked == ASKED:
            self.long_away.set()
        await asyncio.sleep(self.delay_s)
        if self.away:
            return web.Response(status=503)
        target = self.address + request.raw_path.removeprefix("/r")
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, target, data=await request.read()) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())


@asynccontextmanager
async def troubled(address: str) -> AsyncIterator[tuple[Trouble, str]]:
    """A registry that can be away, and its address."""
    trouble, app = Trouble(address), web.Application()
    app.router.add_route("*", "/r{path:.*}", trouble.answer)
    async with TestServer(app) as server:
        yield trouble, str(server.make_url("/r"))


async def create(servers: str, prefix: str) -> None:
    """Create the foreign topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(prefix + n, 2, 1) for n in ("avro", "protobuf", "json")])
    await admin.close()


def avro_value(id: int, event_id: str) -> bytes:
    """A parcel in Avro, whose schema refers to another."""
    named: dict[str, Any] = {}
    fastavro.parse_schema(ADDRESS, named_schemas=named)
    stream = BytesIO()
    row = {"id": event_id, "to": {"depot": "north"}, "weight": 1.5}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(PARCEL, named_schemas=named), row)
    return b"\x00" + id.to_bytes(4, "big") + stream.getvalue()


def proto_value(id: int, event_id: str) -> bytes:
    """A parcel in Protobuf, whose schema imports another."""
    schema = WriterSchema(id, "PROTOBUF", compiled(PARCEL_PROTO, {"address.proto": ADDRESS_PROTO}))
    message = message_class(schema, (0,))(id=event_id, weight=1.5)
    message.to.depot = "north"
    return b"\x00" + id.to_bytes(4, "big") + b"\x00" + message.SerializeToString()


async def test_odd_schemas_end_no_partition(
    stack: Endpoints, tmp_path: Path, registry: str
) -> None:
    """Schemas that refer to others, one of 200 kB, an id that is unknown, one that no protoc
    compiles, a registry that is away and then slow: all that can be read is answered once, and each
    of the others is a dead letter with its reason.
    """
    prefix = f"odd-{uuid4().hex[:8]}."
    await create(stack.bootstrap_servers, prefix)
    async with Registry(registry) as asked:
        subject = f"{prefix}address"
        await asked.add(subject, orjson.dumps(ADDRESS).decode(), "AVRO", None)
        text = orjson.dumps(PARCEL).decode()
        avro = await asked.add(f"{prefix}avro-value", text, "AVRO", ("shop.Address", subject))
        await asked.add(f"{subject}-proto", ADDRESS_PROTO, "PROTOBUF", None)
        refers = ("address.proto", f"{subject}-proto")
        proto = await asked.add(f"{prefix}protobuf-value", PARCEL_PROTO, "PROTOBUF", refers)
        no_file = await asked.add(f"{prefix}other-value", NO_FILE, "PROTOBUF", None)
    frame = b"\x00\x00\x0f\x42\x40"
    values = [
        ("avro", avro_value(avro, "a1")),
        ("avro", frame + b"x"),
        ("avro", avro_value(proto, "wrong")),
        ("protobuf", proto_value(proto, "p1")),
        ("protobuf", b"\x00" + no_file.to_bytes(4, "big") + b"\x00\x0a\x00"),
        ("json", frame + b'{"id": "j1", "to": {"depot": "north"}, "weight": 1.5}'),
        ("avro", avro_value(avro, "a2")),
        ("protobuf", proto_value(proto, "p2")),
    ]
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for topic, value in values:
        producer.produce(prefix + topic, value)
    assert producer.flush(30) == 0
    offered = "Avro, JsonSchema, Protobuf, Source, "
    source = SOURCE.replace(IMPORTED, offered + IMPORTED)
    text = SOURCES.replace("@PREFIX@", prefix)
    async with troubled(registry) as (trouble, address):
        loop = Loop(stack, tmp_path, source.replace("\nPARCELS = UseCase(\n", text))
        loop.environment["SCHEMA_REGISTRY_URL"] = address
        trouble.away = True
        try:
            await answered(loop, trouble)
        finally:
            loop.close()


async def letters_of(loop: Loop, count: int) -> list[dict[str, Any]]:
    """Wait for so many dead letters."""
    for _ in range(300):
        if len(letters := await loop.values("dead-letter")) >= count:
            return letters
        await asyncio.sleep(0.2)
    raise AssertionError(f"fewer than {count} dead letters: {loop.log()}")


async def answered(loop: Loop, trouble: Trouble) -> None:
    """Start while the registry is away; it comes back, slow."""
    loop.start()
    await trouble.long_away.wait()
    trouble.away, trouble.delay_s = False, 0.5
    events = ["a1", "a2", "p1", "p2", "j1"]
    await loop.wait_for("predictions", events)
    letters = await letters_of(loop, 3)
    assert sorted(row["event_id"] for row in await loop.values("predictions")) == sorted(events)
    told = sorted(letter["error"] for letter in letters)
    reasons = ("cannot be used", "is not in the Schema Registry", "is of type PROTOBUF, not AVRO")
    for reason in reasons:
        assert any(reason in text for text in told), told
    assert len(letters) == len(reasons)
    assert {letter["stage"] for letter in letters} == {"source"}
    assert loop.workers[-1].poll() is None
    assert "the relay stopped" not in loop.log()
