"""The embedded servers. Those marked `integration` start real ones, in folders of their own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from schemas.errors import ConfigError, Incompatible, Unavailable
from streams.config.project_dir import make_home
from streams.config.settings import Settings
from streams.doctor.doctor import doctor
from streams.embedded import Endpoints, Stack, jar_lock, jars, stack_file
from streams.embedded.free_ports import HIGHEST, LOOPBACK, LOWEST, free_ports, is_free
from streams.embedded.process import identity_of, is_alive, servers_in, stop
from streams.embedded.redis_server import Redis

integration = pytest.mark.integration
UP = """
import sys
from dataclasses import asdict
from pathlib import Path
import asyncio
import json
from streams.embedded import Stack
print(json.dumps(asdict(Stack(Path(sys.argv[1])).up())))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module alone, which its tests may kill."""
    stack = Stack(tmp_path_factory.mktemp("own") / "home")
    yield stack
    stack.down(purge=True)


def embedded_in(home: Path) -> Settings:
    """Settings without servers, whatever the caller's environment says."""
    return Settings(
        riverrun_home=home, kafka_bootstrap_servers=None, redis_url=None, _env_file=None
    )


async def create_topic(servers: Endpoints, name: str, replicas: int = 1) -> None:
    """Make a topic of one partition that takes records up to 16 MB."""
    admin = AIOKafkaAdminClient(**servers.kafka_client())
    await admin.start()
    try:
        settings = {"max.message.bytes": str(16 << 20)}
        await admin.create_topics([NewTopic(name, 1, replicas, topic_configs=settings)])
    finally:
        await admin.close()


async def produce(servers: Endpoints, topic: str, value: bytes, **settings: Any) -> None:
    """Write one record, in a transaction if `settings` name one."""
    producer = AIOKafkaProducer(
        **servers.kafka_client(), acks="all", max_request_size=17 << 20, **settings
    )
    await producer.start()
    try:
        if "transactional_id" in settings:
            async with producer.transaction():
                await producer.send_and_wait(topic, value)
        else:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(servers: Endpoints, topic: str, count: int) -> list[bytes | None]:
    """The topic's first committed values."""
    consumer = AIOKafkaConsumer(
        topic,
        **servers.kafka_client(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=17 << 20,
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@integration
def test_two_starts_at_once_make_one_pair_that_outlives_both(own: Stack) -> None:
    """Of two processes that start the same folder, one starts, both get the same addresses."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", UP, str(own.home)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [json.loads(starter.communicate(timeout=200)[0]) for starter in starters]
    assert sorted(answer.pop("started") for answer in answers) == [False, True]
    assert answers[0] == answers[1]
    endpoints = own.find()
    assert endpoints is not None
    assert endpoints.bootstrap_servers == answers[0]["bootstrap_servers"]
    assert len(list(servers_in(own.home))) == 2
    assert own.up() == endpoints


@integration
async def test_transactions_and_records_of_ten_megabytes_are_taken(own: Stack) -> None:
    """The broker is a real one: a committed transaction is read back, and so is a huge record."""
    servers = own.up()
    await create_topic(servers, "big")
    await produce(servers, "big", b"committed", transactional_id="t")
    await produce(servers, "big", b"x" * (10 << 20))
    assert await consume(servers, "big", 2) == [b"committed", b"x" * (10 << 20)]


@integration
def test_the_servers_listen_on_loopback_only_and_hold_none_of_our_secrets(
    own: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other machine can reach them, and the starter's environment is not theirs."""
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "of-the-starter")
    own.up()
    own.redis().kill()
    own.redis().start()
    for process in servers_in(own.home):
        listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {LOOPBACK}
        assert "KAFKA_SASL_PASSWORD" not in process.environ()


@integration
async def test_a_killed_server_comes_back_on_its_port_with_its_data(own: Stack) -> None:
    """SIGKILL to both: `find` misses Kafka, `up` names and restarts them, nothing is lost.

    Without Redis alone Kafka is found: acts need nothing else.
    """
    endpoints = own.up()
    await create_topic(endpoints, "kept")
    await produce(endpoints, "kept", b"before")
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.set("kept", "before")
    own.redis().kill()
    assert own.find() == replace(endpoints, started=False)
    own.broker(1).kill()
    assert own.broker(1).pid is None
    assert own.find() is None
    messages: list[str] = []
    again = own.up(messages.append)
    assert replace(again, started=False) == replace(endpoints, started=False)
    assert again.started
    assert any("kafka-1 (pid" in line and "had ended" in line for line in messages)
    assert await consume(endpoints, "kept", 1) == [b"before"]
    with redis.Redis.from_url(endpoints.redis_url) as client:
        assert client.get("kept") == b"before"


@integration
def test_the_doctor_names_cause_and_remedy_of_a_dead_server(own: Stack) -> None:
    """Nothing to say while both run; with Redis killed, the finding names it and what to do."""
    own.up()
    settings = embedded_in(own.home)
    assert [f for f in doctor(settings) if not f.ok] == []
    own.redis().kill()
    findings = [f for f in doctor(settings) if not f.ok]
    assert [f.check for f in findings] == ["embedded servers", "redis"]
    assert "redis (pid" in findings[0].cause
    assert "riverrun up" in findings[0].remedy


@integration
def test_a_server_without_a_record_is_named_and_down_ends_it(own: Stack) -> None:
    """With the record gone, `up` and the doctor name the orphan's pid; `down` stops it."""
    own.up()
    pid = own.broker(1).pid
    (own.home / stack_file.RECORD_FILE).unlink()
    with pytest.raises(Incompatible, match=r"orphaned .* pid \d+.*riverrun down"):
        own.up()
    findings = doctor(embedded_in(own.home))
    assert any(f.check == "orphans" and str(pid) in f.remedy for f in findings)
    stopped = own.down(purge=True)
    assert any(f"(pid {pid})" in line for line in stopped)
    assert not own.home.exists()
    assert list(servers_in(own.home)) == []


@integration
def test_a_server_that_its_record_does_not_know_is_not_started_beside_itself(own: Stack) -> None:
    """A second Kafka on the same folder would damage it before it finds that out."""
    own.up()
    record = stack_file.load(own.home)
    assert record is not None
    known = record.processes["kafka-1"]
    other = replace(known, started=known.started - 47)
    stack_file.save(own.home, record.running("kafka-1", other))
    with pytest.raises(Incompatible, match=rf"orphaned kafka-1 .* pid {known.pid}"):
        own.up()
    assert len(own.down()) == 2


@integration
def test_a_port_that_was_lost_meanwhile_is_replaced_and_a_hung_server_is_ended(own: Stack) -> None:
    """A stopped process (SIGSTOP) is ended too, and `up` moves off ports that others took."""
    endpoints = own.up()
    own.broker(1).signal(signal.SIGSTOP)
    assert len(own.down()) == 2
    taken = int(endpoints.bootstrap_servers.split(":")[1])
    with socket.create_server((LOOPBACK, taken)):
        again = own.up()
    assert again.bootstrap_servers != endpoints.bootstrap_servers
    assert again.redis_url == endpoints.redis_url


@integration
def test_a_start_that_fails_shows_the_end_of_the_log_and_what_to_do(tmp_path: Path) -> None:
    """Broken storage: the error holds Kafka's own words, the log's path and the remedy."""
    stack = Stack(tmp_path / "home")
    data = make_home(stack.home) / "kafka-1" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    try:
        with pytest.raises(Unavailable) as failed:
            stack.up()
    finally:
        stack.down(purge=True)
    text = str(failed.value)
    assert "ended while starting" in text
    assert "data directories" in text
    assert "kafka.log" in text
    assert "riverrun down --purge" in text


@integration
@pytest.mark.soak
async def test_three_brokers_go_on_when_one_dies(tmp_path: Path) -> None:
    """A stack of three replicates: with one killed, acknowledged writes go on; it comes back."""
    stack = Stack(tmp_path / "home", brokers=3)
    try:
        servers = stack.up()
        await create_topic(servers, "replicated", replicas=3)
        await produce(servers, "replicated", b"three")
        stack.broker(1).kill()
        await produce(servers, "replicated", b"two", transactional_id="t")
        assert stack.find() is None
        stack.broker(1).start()
        assert stack.find() is not None
        assert await consume(servers, "replicated", 2) == [b"three", b"two"]
        with pytest.raises(Incompatible, match="3 broker"):
            Stack(stack.home, brokers=1).up()
    finally:
        stack.down(purge=True)


@integration
def test_an_empty_maven_cache_is_filled_from_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fresh machine every jar is downloaded and verified; one line tells of it."""
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    messages: list[str] = []
    classes = jars.class_path(messages.append).split(":")
    count = len(jar_lock.locked_jars())
    assert len(classes) == count
    assert messages[0].endswith(f"{count} of {count} jars")
    assert len([line for line in messages if "have come" not in line]) == 1
    assert sorted(map(str, tmp_path.rglob("*.*ar"))) == sorted(classes)
    assert not list(tmp_path.glob(".riverrun-*"))


@integration
def test_the_shared_stack_answers(stack: Endpoints) -> None:
    """What the other integration tests run on is there."""
    settings = Settings(_env_file=None).at(stack.bootstrap_servers, stack.redis_url)
    essential = [f for f in doctor(settings) if not f.ok and f.essential]
    assert essential == []


def test_a_jar_with_other_bytes_is_refused_by_name(tmp_path: Path) -> None:
    """A jar that is not the locked one is never run; the error names file, hashes and remedy."""
    jar = jar_lock.locked_jars()[0]
    (tmp_path / jar.path).parent.mkdir(parents=True)
    (tmp_path / jar.path).write_bytes(b"other")
    with pytest.raises(Incompatible, match="Delete the file") as refused:
        jars.verify([jar], tmp_path)
    assert str(jar) in str(refused.value)
    assert jar.sha256 in str(refused.value)


def test_a_pid_that_is_somebody_elses_by_now_is_not_ours() -> None:
    """A process is known by pid and start time, so a reused pid is no running server."""
    me = identity_of(psutil.Process())
    assert is_alive(me)
    assert not is_alive(replace(me, started=me.started - 100))
    assert not is_alive(None)


def test_a_clock_that_is_set_does_not_make_a_server_look_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system tells when it was booted by the clock of today, and start times by that."""
    me, booted = identity_of(psutil.Process()), psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 47)
    assert is_alive(me)


def test_free_ports_are_different_and_outside_the_range_of_clients() -> None:
    """They can be had again after a restart: the system gives none of them to a client."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(LOWEST <= port < HIGHEST for port in ports)
    with socket.create_server((LOOPBACK, ports[0])):
        assert not is_free(ports[0])


def test_the_doctor_repeats_no_password() -> None:
    """Servers that do not answer are findings with a remedy and without the credentials."""
    port = free_ports(1)[0]
    settings = Settings(_env_file=None).at(
        f"{LOOPBACK}:{port}", f"redis://u:hidden-word@{LOOPBACK}:{port}/0"
    )
    findings = [f for f in doctor(settings) if not f.ok]
    assert {f.check for f in findings} == {"kafka", "redis"}
    assert all(f.remedy for f in findings)
    assert "hidden-word" not in repr(findings)


@integration
def test_redis_asks_for_a_password_that_only_its_owner_can_read(tmp_path: Path) -> None:
    """Without it, or with another, nothing is to be had; neither file is anybody else's to read."""
    stack = Stack(tmp_path / "home")
    secret = stack.password()
    assert len(secret) == 64
    assert stack.password() == secret
    server = Redis(tmp_path / "home" / "redis", free_ports(1)[0], secret)
    identity = server.start(lambda text: None)
    try:
        server.wait(identity)
        for url in (f"redis://{LOOPBACK}", f"redis://:wrong@{LOOPBACK}"):
            with (
                redis.Redis.from_url(f"{url}:{server.port}/0") as client,
                pytest.raises(redis.AuthenticationError),
            ):
                client.set("a", "b")
        with redis.Redis.from_url(f"redis://:{secret}@{LOOPBACK}:{server.port}/0") as client:
            assert client.set("a", "b")
    finally:
        stop([identity], grace_s=5.0)
    for file in ("server.password", "redis/redis.conf"):
        assert (tmp_path / "home" / file).stat().st_mode & 0o077 == 0
    (tmp_path / "home" / "server.password").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        stack.password()


@integration
async def test_kafka_asks_for_a_password_and_a_shell_finds_it(own: Stack) -> None:
    """Without it nobody gets in; with what `client.env` sets, kcat does, and so does a program."""
    endpoints = own.up()
    stranger = AIOKafkaAdminClient(
        bootstrap_servers=endpoints.bootstrap_servers, request_timeout_ms=3_000
    )
    with pytest.raises(KafkaError):
        await stranger.start()
    await stranger.close()
    wrong = replace(endpoints, kafka_password="wrong")
    intruder = AIOKafkaProducer(**wrong.kafka_client())
    with pytest.raises(KafkaError):
        await intruder.start()
    await intruder.stop()
    for name in ("client.env", "kcat.conf", "kafka-1/server.properties"):
        assert (own.home / name).stat().st_mode & 0o077 == 0
    await create_topic(endpoints, "shell")
    env = os.environ | {"RIVERRUN_HOME": str(own.home)}
    asked = [sys.executable, "-P", "-m", "streams.cli", "history", "flight_eta"]
    result = await asyncio.to_thread(
        subprocess.run, asked, env=env, check=False, capture_output=True
    )
    assert b"in the clear" not in result.stderr, result.stderr
    lines = f". {own.home / 'client.env'}; echo told | kcat -P -b $KAFKA -t shell"
    if shutil.which("kcat"):
        await asyncio.to_thread(subprocess.run, ["sh", "-c", lines], check=True, timeout=60)
        assert await consume(endpoints, "shell", 1) == [b"told"]
