"""The Schema Registry's client, against a server that answers as Confluent documents it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from models.formats.payload import WriterSchema
from models.formats.protobuf import Protobuf
from schemas.errors import Incompatible, Unavailable
from streams.config.settings import Settings
from streams.kafka.faust_transport import Batch
from streams.registry.known_schemas import KnownSchemas
from streams.registry.schema_registry import CONTENT, registry_of
from streams.sources.schema_gate import SchemaGate
from tests.support.memory import Record

ORDER = '{"type": "record", "name": "Order", "fields": []}'
PROTO = 'syntax = "proto3"; import "a.proto"; message Order { Address to = 1; }'
ADDRESS = 'syntax = "proto3"; message Address { string city = 1; }'
REFERENCE = {"name": "a.proto", "subject": "addresses/1", "version": 2}


class Registry:
    """What it holds, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = 0
        self.answers: dict[str, Any] = {
            "/schemas/ids/1": {"schema": ORDER},
            "/schemas/ids/2": {
                "schema": PROTO,
                "schemaType": "PROTOBUF",
                "references": [REFERENCE],
            },
            "/subjects/addresses%2F1/versions/2": {"schema": ADDRESS, "id": 9},
            "/subjects/orders-value/versions/latest": {"schema": ORDER, "id": 1, "version": 3},
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Answer as Confluent's."""
        self.asked.append(request.raw_path)
        assert request.headers["Authorization"].startswith("Basic ")
        if self.away:
            self.away -= 1
            return web.Response(status=503)
        if request.method == "POST":
            body = orjson.loads(await request.read())
            assert request.content_type == CONTENT
            if body["schema"] != ORDER:
                return self._json({"error_code": 409, "message": "incompatible"}, 409)
            return self._json({"id": 1}, 200)
        reply = self.answers.get(request.raw_path)
        missing = {"error_code": 40403, "message": "Schema not found"}
        return self._json(reply or missing, 200 if reply else 404)

    @staticmethod
    def _json(body: Any, status: int) -> web.Response:
        return web.Response(body=orjson.dumps(body), status=status, content_type=CONTENT)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Registry, Settings]]:
    """A registry that listens, and settings that name it."""
    registry, app = Registry(), web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    async with TestServer(app) as listening:
        settings = Settings(
            schema_registry_url=str(listening.make_url("/")),
            schema_registry_username="us",
            schema_registry_password=SecretStr("secret"),
        )
        yield registry, settings


async def test_schemas_are_found_by_their_id(server: tuple[Registry, Settings]) -> None:
    """With what they refer to; one that there is not is none."""
    registry = registry_of(server[1])
    assert registry is not None
    async with registry as asked:
        assert await asked.schema(1) == WriterSchema(1, "AVRO", ORDER)
        assert await asked.schema(7) is None
        assert await asked.latest("orders-value") == WriterSchema(1, "AVRO", ORDER)
        proto = await asked.schema(2)
        assert proto is not None
    value = b"\x00\x00\x00\x00\x02\x00" + b"\x0a\x05\x0a\x03Ulm"
    assert Protobuf().decode(value, {2: proto}) == {"to": {"city": "Ulm"}}


async def test_a_schema_is_registered_or_refused(server: tuple[Registry, Settings]) -> None:
    """The registry's own words are passed on."""
    registry = registry_of(server[1])
    assert registry is not None
    async with registry as asked:
        assert await asked.register("predictions-value", "AVRO", ORDER) == 1
        with pytest.raises(Incompatible, match="incompatible"):
            await asked.register("predictions-value", "AVRO", "{}")


async def test_a_registry_that_does_not_answer_is_unavailable() -> None:
    """By its address, and the setting's name."""
    registry = registry_of(Settings(schema_registry_url="http://127.0.0.1:9"))
    assert registry is not None
    async with registry as asked:
        with pytest.raises(Unavailable, match="SCHEMA_REGISTRY_URL"):
            await asked.schema(1)


def batch(start: int, *ids: int) -> Batch:
    """Records that name these schemas."""
    values = [b"\x00" + id.to_bytes(4, "big") + b"x" for id in ids]
    records = [Record("orders", 0, start + n, value) for n, value in enumerate(values)]
    return Batch("orders", 0, start, start + len(ids), None, records)


async def test_batches_wait_for_their_schemas(
    server: tuple[Registry, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, through an outage; each schema is asked for once, and one that there is not
    lets its records pass.
    """
    monkeypatch.setattr("streams.sources.schema_gate.RETRY_S", 0.01)
    registry, settings = server
    registry.away = 2
    known, accepted = KnownSchemas(registry_of(settings)), []
    gate = SchemaGate(["orders"], known.by_id, known.fetch, accepted.append)
    gate.give(batch(0, 1, 1))
    gate.give(batch(2, 1, 7))
    gate.give(Batch("plain", 0, 0, 1, None, [Record("plain", 0, 0, b"{}")]))
    assert accepted == []
    for _ in range(1_000):
        if len(accepted) == 3:
            break
        await asyncio.sleep(0.01)
    assert [each.start for each in accepted] == [0, 2, 0]
    gate.give(batch(4, 7, 1))
    assert len(accepted) == 4
    assert registry.asked == ["/schemas/ids/1"] * 3 + ["/schemas/ids/7"]
    assert gate.error is None
    gate.close()


async def test_without_a_registry_the_setting_is_named() -> None:
    """A record that names a schema waits, and the relay's error says why."""
    with pytest.raises(Unavailable, match="Set SCHEMA_REGISTRY_URL"):
        await KnownSchemas(None).fetch(1)
