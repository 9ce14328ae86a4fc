from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from models.replay.backtest import run as run_backtest
from models.task.partition_task import PartitionTask
from models.worth.worth import worth
from schemas.partitioner import partition_of
from schemas.topics import INPUTS
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.demo.counts import READ, Count
from streams.demo.loop import Workers
from streams.embedded import Endpoints
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.offline.evidence import assess
from streams.replay.journal_fold import fold
from streams.replay.kafka_log import KafkaLog
from streams.topics import topic_admin
from usecases.data import nycflights

pytestmark = pytest.mark.integration

FLIGHTS = 3_000


def settings_of(stack: Endpoints, home: Path) -> Settings:
    """Settings with topics of their own."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    settings = Settings.load(riverrun_topic_prefix=prefix, riverrun_home=home)
    return settings.at(stack.bootstrap_servers, stack.redis_url)


@pytest.fixture
def settings(stack: Endpoints, tmp_path: Path) -> Settings:
    """Those of one test."""
    return settings_of(stack, tmp_path)


@pytest.fixture
def crew(settings: Settings) -> Iterator[Workers]:
    """Workers of the flights; ended with the test."""
    workers = Workers(load("flight_eta"), settings)
    yield workers
    workers.stop()


async def counted(loaded: LoadedUseCase, settings: Settings, events: int, crew: Workers) -> Count:
    """Everything on the topics, once that many events are answered and all due is learnt."""
    names = topic_admin.names_of(loaded.use_case, settings)
    count = Count(loaded.use_case, names)
    async with TopicReader([names[kind] for kind in READ], settings) as reader:
        async with asyncio.timeout(180):
            while count.records["events"] < events or not count.complete:
                count.take(await reader.some())
                crew.check()
    await asyncio.to_thread(crew.stop)
    async with TopicReader([names["metrics"]], settings) as reader:
        async for records in reader.to_the_end():
            count.take(records)
    return count


def backtested(loaded: LoadedUseCase, flights: int) -> float:
    """The served error of the same flights without a broker."""
    test = run_backtest(
        loaded.use_case,
        nycflights.flights(limit=flights),
        partitions=loaded.use_case.partitions,
        definition=loaded.definition,
    )
    rows = [task.metrics.total().scores["served"] for task in test.tasks.values()]
    return sum(row[2] for row in rows) / sum(row[0] for row in rows)


@pytest.mark.smoke
def test_the_demo_answers_every_flight_once(stack: Endpoints, tmp_path: Path) -> None:
    """As a user runs it: one JSON object that adds up, exit code 0, the backtest's own error."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "REDIS_URL": stack.redis_url,
        "RIVERRUN_HOME": str(tmp_path),
    }
    command = [sys.executable, "-P", "-m", "streams.cli", "demo", "--json"]
    done = subprocess.run(
        [*command, "--events", str(FLIGHTS)], env=environment, capture_output=True, timeout=240
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert report["events"] == report["predictions"] == FLIGHTS
    assert report["duplicates"] == report["dead_letters"] == 0
    assert report["examples"] == report["outcomes_due"] == report["outcomes"] > 0.99 * FLIGHTS
    assert report["champion"] < report["baseline"]
    assert report["kpi_unit"] == "USD"
    assert report["champion"] == pytest.approx(backtested(load("flight_eta"), FLIGHTS), rel=0.01)
    # Its words are for people; what workers and page log is in a file.
    told = done.stderr.decode().splitlines()
    assert not [line for line in told if re.match(r"\d{4}-\d\d-\d\d \d\d:|worker of ", line)]
    assert "worker of flight_eta" in (tmp_path / "demo.log").read_text()


async def test_three_workers_err_as_the_backtest_does(settings: Settings, crew: Workers) -> None:
    """Outcomes are learnt in time however many workers share the partitions: within 1 %."""
    loaded = crew.loaded
    await topic_admin.ensure(loaded.use_case, settings)
    crew.start(3)
    names = topic_admin.names_of(loaded.use_case, settings)
    await OrderedProducer(loaded.use_case, settings, names).run(nycflights.flights(limit=FLIGHTS))
    count = await counted(loaded, settings, FLIGHTS, crew)
    assert count.duplicates == 0
    assert count.scores()["served"]["metric"] == pytest.approx(
        backtested(loaded, FLIGHTS), rel=0.01
    )
    # What it is worth is told from the topic as from a backtest of the same flights.
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers or "",
        "REDIS_URL": settings.redis_url.get_secret_value() if settings.redis_url else "",
        "RIVERRUN_TOPIC_PREFIX": settings.riverrun_topic_prefix,
    }
    command = [sys.executable, "-P", "-m", "streams.cli", "worth", "flight_eta", "--json"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, timeout=180
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    due = worth(loaded.use_case, assess(loaded, nycflights.flights(limit=FLIGHTS), 4).closed)
    assert (report["labelled"], report["missing"]) == (due.labelled, due.missing)
    assert due.labelled > 1_000
    assert report["kpi"]["baseline"] == pytest.approx(due.kpi["baseline"])
    assert report["kpi"]["served"] == pytest.approx(due.kpi["served"], rel=0.02)
    assert report["cost"]["cpu_us"]["adagrad"] > 0


async def test_a_backlog_gives_the_floats_of_the_journal_s_order(
    settings: Settings, crew: Workers
) -> None:
    """What one worker wrote is what the pure task says of the same records in that order."""
    loaded = crew.loaded
    await topic_admin.ensure(loaded.use_case, settings)
    names = topic_admin.names_of(loaded.use_case, settings)
    await OrderedProducer(loaded.use_case, settings, names).run(nycflights.flights(limit=FLIGHTS))
    crew.start(1)
    await counted(loaded, settings, FLIGHTS, crew)
    for kind in ("features", "predictions", "examples"):
        published = await read_all(names[kind], settings)
        for partition in range(4):
            again = [
                (output.key, output.value)
                for output in await refolded(loaded, settings, partition)
                if output.kind == kind
            ]
            assert published.get(partition, []) == again


async def read_all(topic: str, settings: Settings) -> dict[int, list[tuple[bytes, bytes]]]:
    """Partition → key and value of every committed record, in order."""
    records_by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
    async with TopicReader([topic], settings) as reader:
        async for records in reader.to_the_end():
            for record in records:
                records_by_partition.setdefault(record.partition, []).append(
                    (record.key, record.value)
                )
    return records_by_partition


async def refolded(loaded: LoadedUseCase, settings: Settings, partition: int) -> list[Any]:
    """What a fresh task says of the inputs in the journal's order."""
    names = topic_admin.names_of(loaded.use_case, settings)
    log = KafkaLog(
        settings.kafka_client(),
        journal=names["journal"],
        inputs=tuple(names[kind] for kind in INPUTS),
        partition=partition,
    )
    task = PartitionTask(
        loaded.use_case, partition=partition, partitions=4, definition=loaded.definition
    )
    outputs: list[Any] = []
    await log.start()
    try:
        await fold(task, log, on_outputs=outputs.extend)
    finally:
        await log.close()
    return outputs


def nonsense() -> list[tuple[bytes | None, bytes | None]]:
    """Return keys and values that are no flight."""
    return [
        (b"EWR", b"\xff\xfe garbage"),
        (b"EWR", b"{}"),
        (b"EWR", None),
        (None, orjson.dumps(next(nycflights.departures()) | {"event_id": "without a key"})),
        (b"EWR", b"[" * 50_000),
        (b"EWR", b'"' + b"x" * 10_000_000 + b'"'),
    ]


async def test_nonsense_stops_nobody(settings: Settings, crew: Workers) -> None:
    """Garbage between flights, ten megabytes too: all flights are answered, all garbage parked."""
    loaded = crew.loaded
    await topic_admin.ensure(loaded.use_case, settings)
    names = topic_admin.names_of(loaded.use_case, settings)
    crew.start(2)
    garbage, sent = nonsense(), 0
    producer = AIOKafkaProducer(**settings.kafka_client(), max_request_size=12_000_000)
    await producer.start()
    try:
        flights = nycflights.flights(limit=400)
        sender = OrderedProducer(loaded.use_case, settings, names)
        for block in iter(lambda: list(itertools.islice(flights, 100)), []):
            await sender.run(block)
            for kind, (key, value) in itertools.product(("events", "outcomes"), garbage):
                partition = partition_of(key or b"EWR", 4)
                await producer.send_and_wait(names[kind], value, key=key, partition=partition)
                sent += value is not None
    finally:
        await producer.stop()
    count = Count(loaded.use_case, names)
    kinds = ("predictions", "examples", "dead-letter")
    async with TopicReader([names[kind] for kind in kinds], settings) as reader:
        async with asyncio.timeout(180):
            while count.answered < 400 or count.records["dead-letter"] < sent:
                count.take(await reader.some())
                crew.check()
    assert count.duplicates == 0
    assert count.records["dead-letter"] == sent
    letters = await read_all(names["dead-letter"], settings)
    words = {orjson.loads(value)["error"] for batch in letters.values() for _, value in batch}
    assert any("10000002 bytes" in text for text in words)
    assert any("send 'origin' as its key" in text for text in words)


async def test_several_processes_under_one_command_end_on_one_signal(
    settings: Settings, stack: Endpoints, tmp_path: Path
) -> None:
    """`riverrun worker --processes 2` shares the partitions; SIGTERM ends all, cleanly, soon."""
    loaded = load("flight_eta")
    await topic_admin.ensure(loaded.use_case, settings)
    names = topic_admin.names_of(loaded.use_case, settings)
    await OrderedProducer(loaded.use_case, settings, names).run(nycflights.flights(limit=300))
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "REDIS_URL": stack.redis_url,
        "RIVERRUN_HOME": str(tmp_path),
    }
    command = [sys.executable, "-P", "-m", "streams.cli", "worker", "flight_eta"]
    command += ["--processes", "2", "--prefix", settings.riverrun_topic_prefix]
    workers = subprocess.Popen(command, env=environment)  # noqa: ASYNC220 - it is waited for
    try:
        count = Count(loaded.use_case, names)
        async with TopicReader([names["predictions"]], settings) as reader:
            async with asyncio.timeout(180):
                while count.answered < 300:
                    count.take(await reader.some())
                    assert workers.poll() is None
        workers.terminate()
        assert await asyncio.to_thread(workers.wait, 60) == 0
    finally:
        if workers.poll() is None:
            workers.kill()
    assert count.duplicates == 0
