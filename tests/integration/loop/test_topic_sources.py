"""A source that is a topic: read as committed, merged by time, measured like a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.config.use_case_loader import load
from streams.embedded import Endpoints
from streams.offline.backtest import backtest
from tests.support.commands import Command

pytestmark = pytest.mark.integration

PHISHING = str(Path(__file__).parents[3] / "usecases" / "phishing.py")
PARTITIONS = 3


@pytest.fixture
def riverrun(
    stack: Endpoints,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Command:
    """The command in an empty folder, beside real servers."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", stack.redis_url)
    return Command(monkeypatch, capsys, tmp_path)


@pytest.fixture
def topics(stack: Endpoints) -> tuple[str, str]:
    """Phishing's events and outcomes on two topics; beside them what must not be counted."""
    names = f"pages-{uuid4().hex[:8]}", f"verdicts-{uuid4().hex[:8]}"
    asyncio.run(_publish(stack.bootstrap_servers, names))
    return names


async def _publish(servers: str, names: tuple[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()
    use_case = load(PHISHING).use_case
    assert use_case.recorded is not None
    producer = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=names[0])
    await producer.start()
    try:
        async with producer.transaction():
            for kind, fields in use_case.recorded():
                key = fields["mailbox"].encode()
                await producer.send(names[kind == "outcome"], orjson.dumps(fields), key)
            await producer.send(names[0], b"\xff not JSON", b"mailbox-00")
            await producer.send(names[0], None, b"mailbox-00")
        await producer.begin_transaction()
        aborted: dict[str, Any] = {"event_id": "aborted", "event_time": "2016-03-01T00:00:00Z"}
        await producer.send_and_wait(names[0], json.dumps(aborted).encode(), b"mailbox-00")
        await producer.abort_transaction()
    finally:
        await producer.stop()


def test_a_backtest_of_topics_gives_the_floats_of_the_recording(
    riverrun: Command, topics: tuple[str, str], tmp_path: Path
) -> None:
    """The same partitions, the same order within each: the same numbers to the last bit.

    Each partition learns by itself: a model that learns from all has them in the order of time, and
    of pages of one instant on two partitions a file and topics have another first.
    """
    file = tmp_path / "phishing.py"
    source = (
        Path(PHISHING).read_text().replace("UseCase(\n", 'UseCase(\n    learning="partition",\n')
    )
    file.write_text(source)
    arguments = ("--source", topics[0], "--outcomes", topics[1], "--partitions", str(PARTITIONS))
    result = riverrun("backtest", str(file), *arguments, "--json")
    assert result.code == 0, result.err
    assert "Left out: 1 record" in result.err
    assert "it is not UTF-8" in result.err
    loaded = load(str(file))
    assert loaded.use_case.recorded is not None
    assert loaded.use_case.learning == "partition"
    own = backtest(loaded, loaded.use_case.recorded(), PARTITIONS).as_json()
    (run,) = result.json["runs"]
    assert run["scores"] == own["scores"]
    assert run["refused"] == 0


def test_a_topic_is_profiled_as_committed(riverrun: Command, topics: tuple[str, str]) -> None:
    """Aborted records, tombstones and broken values are no records."""
    report = riverrun("profile", topics[0], "--outcomes", topics[1], "--json").json
    assert report["records"] == 1250
    assert report["time"]["out_of_order"] == 0
    assert report["keys"][0]["field"] == "mailbox"
    assert report["delays"]["labelled"] == 1.0
    assert riverrun("profile", topics[0], "--limit", "100", "--json").json["records"] == 100


def test_a_topic_that_is_not_there_is_told(riverrun: Command) -> None:
    """With exit code 5, and both things that the name could have been."""
    result = riverrun("profile", "no-such-topic")
    assert result.code == 5
    assert "neither a file nor a topic" in result.err
