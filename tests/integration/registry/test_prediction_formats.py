"""Predictions written as Avro and Protobuf, with a real registry and a real Kafka."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from riverrun.client import read
from schemas.records.prediction_schema import TYPES, avro_text, name_of, schema_text
from streams.embedded import Endpoints
from streams.kafka.topic_reader import TopicReader
from streams.registry.proto_compiler import compiled
from streams.registry.schema_registry import SchemaRegistry
from tests.support.loop import SOURCE, Loop, parcels

pytestmark = pytest.mark.integration

COUNT = 120
ROWS = parcels(COUNT)
IDS = [f"p{n}" for n in range(COUNT)]
AWAY = "http://127.0.0.1:9"


def in_format(format: str) -> str:
    """The parcels, with predictions of that format."""
    return SOURCE.replace("warmup=20,", f'warmup=20,\n    prediction_format="{format}",')


class Written:
    """A loop whose predictions are not JSON."""

    def __init__(self, stack: Endpoints, folder: Path, registry: str, format: str) -> None:
        self.format = format
        self.servers = stack.bootstrap_servers
        self.registry = registry
        self.loop = Loop(stack, folder, in_format(format))
        self.loop.environment["SCHEMA_REGISTRY_URL"] = registry
        self.subject = f"{self.loop.names['predictions']}-value"

    async def raw(self) -> list[Any]:
        """The records of predictions as any consumer sees them."""
        topic = self.loop.names["predictions"]
        async with TopicReader([topic], self.loop.settings, as_written=True) as reader:
            return [r for tp in reader.topic_partitions async for r in reader.records(tp)]

    async def register(self, text: str, type: str, rule: str | None = None) -> None:
        """Register a schema under the subject of the predictions, and the rule for further ones."""
        async with SchemaRegistry(self.registry) as asked:
            await asked.register(self.subject, type, text)
            if rule is not None:
                await asked._ask("PUT", f"/config/{self.subject}", {"compatibility": rule})


@pytest.fixture(params=["avro", "protobuf"])
def written(
    request: pytest.FixtureRequest, stack: Endpoints, tmp_path: Path, registry: str
) -> Iterator[Written]:
    """One in each format."""
    written = Written(stack, tmp_path, registry, request.param)
    yield written
    written.loop.close()


async def killed_once(written: Written) -> None:
    """Answer all parcels; amid them the worker is killed, and its successor has no registry."""
    loop, half = written.loop, set(IDS[: COUNT // 2])
    loop.start()
    await loop.publish([row for row in ROWS if row[1]["event_id"] in half])
    await loop.wait_for("predictions", half)
    loop.workers[-1].kill()
    loop.workers[-1].wait()
    loop.environment["SCHEMA_REGISTRY_URL"] = AWAY
    loop.start()
    await loop.publish([row for row in ROWS if row[1]["event_id"] not in half])
    await loop.wait_for("predictions", IDS)
    await loop.wait_for("examples", IDS)


def decoded(format: str, value: bytes, text: str) -> dict[str, Any]:
    """Read a value with a consumer's own library, by the text that the registry gave it."""
    if format == "avro":
        schema = fastavro.parse_schema(orjson.loads(text))
        row = fastavro.schemaless_reader(BytesIO(value[5:]), schema)
        assert isinstance(row, dict)
        return {"event_id": row["event_id"], "value": row["value"], "time": row["event_time"]}
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(b64decode(compiled(text, {}))).file:
        pool.Add(file)
    name = f"riverrun.{name_of('regression')}"
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    assert value[5:6] == b"\x00"  # the first message of its file
    message.ParseFromString(value[6:])
    time = message.event_time.ToDatetime(UTC)
    return {"event_id": message.event_id, "value": message.value, "time": time}


async def test_predictions_are_written_in_a_format_through_a_kill(written: Written) -> None:
    """Each once; the id before each leads to the schema under the topic's subject; the proof, and
    every reader of riverrun's, have the same floats.
    """
    await killed_once(written)
    loop, raw = written.loop, await written.raw()
    values = await loop.values("predictions")
    assert sorted(value["event_id"] for value in values) == sorted(IDS)
    async with SchemaRegistry(written.registry) as asked:
        body = await asked._ask("GET", f"/subjects/{written.subject}/versions/latest")
    assert {record.value[:5] for record in raw} == {b"\x00" + body["id"].to_bytes(4, "big")}
    assert {dict(record.headers)["content-type"] for record in raw} == {
        f"application/{written.format}".encode()
    }
    for record, value in zip(raw, values, strict=True):
        row = decoded(written.format, record.value, body["schema"])
        assert (row["event_id"], row["value"]) == (value["event_id"], value["value"])
        assert row["time"].isoformat() == value["event_time"]
    await asyncio.to_thread(same_to_every_reader, written, values)


def same_to_every_reader(written: Written, values: list[dict[str, Any]]) -> None:
    """Proof, client library, tail and capture see the predictions that JSON would hold."""
    loop, file = written.loop, str(written.loop.file)
    proof = loop.run("verify", file, "--all", "--json")
    assert (proof["checked"], proof["different"], proof["proved"]) == (COUNT, 0, True)
    proof = loop.run("verify", file, "--sample", "20", "--json")
    assert (proof["checked"], proof["different"]) == (20, 0)
    batches = read(written.servers, "parcels", prefix=loop.prefix, to_end=True)
    taken = {p.event_id: p.value for batch in batches for p in batch.records}
    assert taken == {value["event_id"]: value["value"] for value in values}
    whole = ("--from-beginning", "--to-end", "--json")
    shown = loop.attempt("tail", "parcels.predictions", "--usecase", file, *whole)
    assert len(shown.stdout.splitlines()) == COUNT, shown.stderr
    assert orjson.loads(shown.stdout.splitlines()[0])["value"]["served_by"] == "baseline"
    life = loop.run("explain", file, "p7", "--json")
    assert life["prediction"]["event_id"] == "p7"
    loop.run("capture", file, "predictions", "--to", str(loop.folder / "captured"))
    import pandas

    frame = pandas.read_parquet(loop.folder / "captured" / loop.names["predictions"])
    assert dict(zip(frame.event_id, frame.value, strict=True)) == taken


async def test_a_schema_that_does_not_fit_is_told_before_anything_is_written(
    written: Written,
) -> None:
    """Another team's schema is under the subject, and the registry refuses ours: `check` and the
    worker say so, and what to do.
    """
    other = schema_text(written.format, "binary")
    await written.register(other, TYPES[written.format], "BACKWARD")
    checked = await asyncio.to_thread(written.loop.attempt, "check", str(written.loop.file))
    assert checked.returncode == 5
    assert written.subject in " ".join(checked.stdout.split()).replace(" ", "")
    started = await asyncio.to_thread(written.loop.attempt, "worker", str(written.loop.file))
    assert started.returncode not in (0, 70)
    told = " ".join(started.stderr.split())
    assert "does not fit what is registered" in told
    assert "topic of their own" in told
    for kind in ("definitions", "journal", "predictions", "schemas"):
        assert await written.loop.records(kind) == []


async def test_without_a_registry_the_setting_is_named(written: Written) -> None:
    """Tell it by `check` as a note, by a worker as an error."""
    loop = written.loop
    del loop.environment["SCHEMA_REGISTRY_URL"]
    checked = await asyncio.to_thread(loop.attempt, "check", str(loop.file))
    assert checked.returncode == 0
    started = await asyncio.to_thread(loop.attempt, "worker", str(loop.file))
    assert started.returncode != 0
    for told in (checked, started):
        assert "SCHEMA_REGISTRY_URL" in told.stderr


async def test_a_field_that_is_added_later_is_taken(written: Written) -> None:
    """The schema of an older riverrun is no hindrance: the rule BACKWARD takes ours."""
    if written.format == "avro":
        body = orjson.loads(avro_text("regression"))
        body["fields"] = [each for each in body["fields"] if each["name"] != "contributions"]
        older = orjson.dumps(body).decode()
    else:
        lines = schema_text("protobuf", "regression").splitlines()
        older = "\n".join(line for line in lines if "contributions = 12" not in line)
    await written.register(older, TYPES[written.format], "BACKWARD")
    written.loop.start()
    await written.loop.publish(ROWS[:20])
    await written.loop.wait_for("predictions", ["p0"])


async def test_a_running_use_case_may_change_the_format(
    stack: Endpoints, tmp_path: Path, registry: str
) -> None:
    """Redefine: one topic holds JSON, then Avro, and the proof goes through both."""
    loop, half = Loop(stack, tmp_path), IDS[: COUNT // 2]
    loop.environment["SCHEMA_REGISTRY_URL"] = registry
    try:
        loop.start()
        await loop.publish([row for row in ROWS if row[1]["event_id"] in half])
        await loop.wait_for("examples", half)
        await asyncio.to_thread(loop.stop)
        loop.file.write_text(in_format("avro"))
        how = ("--how", "keep", "--why", "a test", "--json")
        await asyncio.to_thread(loop.run, "redefine", str(loop.file), *how)
        loop.start()
        await loop.publish([row for row in ROWS if row[1]["event_id"] not in half])
        await loop.wait_for("predictions", IDS)
        proof = await asyncio.to_thread(loop.run, "verify", str(loop.file), "--all", "--json")
        assert (proof["checked"], proof["different"], proof["proved"]) == (COUNT, 0, True)
    finally:
        loop.close()
