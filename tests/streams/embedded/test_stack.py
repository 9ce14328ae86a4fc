"""The embedded servers. Those marked `integration` start real ones, in folders of their own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Incompatible, Unavailable
from streams.embedded import Endpoints, Stack, jars, lock, record
from streams.embedded.doctor import doctor
from streams.embedded.metadata import brokers_in
from streams.embedded.ports import HIGHEST, LOOPBACK, LOWEST, free_ports, is_free
from streams.embedded.process import Identity, is_alive, servers_in
from streams.home import MARKER, make_home, remove_home
from streams.settings import Settings

integration = pytest.mark.integration
UP = """
import sys
from dataclasses import asdict
from pathlib import Path
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


async def create_topic(servers: str, name: str, replicas: int = 1) -> None:
    """Make a topic of one partition that takes records up to 16 MB."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        settings = {"max.message.bytes": str(16 << 20)}
        await admin.create_topics([NewTopic(name, 1, replicas, topic_configs=settings)])
    finally:
        await admin.close()


async def produce(servers: str, topic: str, value: bytes, **settings: Any) -> None:
    """Write one record, in a transaction if `settings` name one."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", max_request_size=17 << 20, **settings
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


async def consume(servers: str, topic: str, count: int) -> list[bytes | None]:
    """The topic's first committed values."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
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
    found = own.find()
    assert found is not None
    assert found.bootstrap_servers == answers[0]["bootstrap_servers"]
    assert len(list(servers_in(own.home))) == 2
    assert own.up() == found


@integration
async def test_transactions_and_records_of_ten_megabytes_are_taken(own: Stack) -> None:
    """The broker is a real one: a committed transaction is read back, and so is a huge record."""
    servers = own.up().bootstrap_servers
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
    """SIGKILL to both: `find` misses them, `up` names and restarts them, nothing is lost."""
    endpoints = own.up()
    await create_topic(endpoints.bootstrap_servers, "kept")
    await produce(endpoints.bootstrap_servers, "kept", b"before")
    with redis.Redis.from_url(endpoints.redis_url) as client:
        client.set("kept", "before")
    own.broker(1).kill()
    own.redis().kill()
    assert own.broker(1).pid is None
    assert own.find() is None
    said: list[str] = []
    again = own.up(said.append)
    assert replace(again, started=False) == replace(endpoints, started=False)
    assert again.started
    assert any("kafka-1 (pid" in line and "had ended" in line for line in said)
    assert await consume(endpoints.bootstrap_servers, "kept", 1) == [b"before"]
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
    assert [f.check for f in findings] == ["embedded servers"]
    assert "redis (pid" in findings[0].cause
    assert "riverrun up" in findings[0].remedy


@integration
def test_a_server_without_a_record_is_named_and_down_ends_it(own: Stack) -> None:
    """With the record gone, `up` and the doctor name the orphan's pid; `down` stops it."""
    own.up()
    pid = own.broker(1).pid
    (own.home / record.RECORD_FILE).unlink()
    with pytest.raises(Incompatible, match=r"orphaned .* pid \d+.*riverrun down"):
        own.up()
    findings = doctor(embedded_in(own.home))
    assert any(f.check == "orphans" and str(pid) in f.remedy for f in findings)
    stopped = own.down(purge=True)
    assert any(f"(pid {pid})" in line for line in stopped)
    assert not own.home.exists()
    assert list(servers_in(own.home)) == []


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
async def test_three_brokers_go_on_when_one_dies(tmp_path: Path) -> None:
    """A stack of three replicates: with one killed, acknowledged writes go on; it comes back."""
    stack = Stack(tmp_path / "home", brokers=3)
    try:
        servers = stack.up().bootstrap_servers
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
    """On a fresh machine every jar is downloaded, told about and verified; nothing else is left."""
    monkeypatch.setenv("M2_REPO", str(tmp_path))
    said: list[str] = []
    classes = jars.class_path(said.append).split(":")
    count = len(lock.locked_jars())
    assert len(classes) == count
    assert said[0].endswith(f"0/{count} jars")
    assert said[-1].endswith(f"{count}/{count} jars")
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
    jar = lock.locked_jars()[0]
    (tmp_path / jar.path).parent.mkdir(parents=True)
    (tmp_path / jar.path).write_bytes(b"other")
    with pytest.raises(Incompatible, match="Delete the file") as refused:
        jars.verify([jar], tmp_path)
    assert str(jar) in str(refused.value)
    assert jar.sha256 in str(refused.value)


def test_the_lock_file_is_what_its_command_writes() -> None:
    """Every entry is complete, the file is in the command's form, and Kafka is the one we say."""
    entries = lock.locked_jars()
    text = Path(lock.__file__).with_name(lock.LOCK_FILE).read_text("utf-8")
    assert text == lock.render(entries)
    assert tomllib.loads(text)["kafka"] == lock.KAFKA_VERSION
    assert {str(entry) for entry in entries} >= set(lock.ROOTS)
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in entries)


def test_a_pid_that_is_somebody_elses_by_now_is_not_ours() -> None:
    """A process is known by pid and start time, so a reused pid is no running server."""
    me = psutil.Process()
    assert is_alive(Identity(me.pid, me.create_time()))
    assert not is_alive(Identity(me.pid, me.create_time() - 100))
    assert not is_alive(None)


def test_free_ports_are_different_and_outside_the_range_of_clients() -> None:
    """They can be had again after a restart: the system gives none of them to a client."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(LOWEST <= port < HIGHEST for port in ports)
    with socket.create_server((LOOPBACK, ports[0])):
        assert not is_free(ports[0])


@given(st.binary(max_size=200))
def test_any_bytes_for_a_metadata_answer_are_survived(answer: bytes) -> None:
    """Whatever listens on the port, asking it which brokers live raises nothing."""
    assert isinstance(brokers_in(answer), set)


def test_a_folder_that_was_there_before_keeps_what_is_not_ours(tmp_path: Path) -> None:
    """Purging a folder with other files removes the servers' data alone."""
    (tmp_path / "mine.txt").write_text("mine")
    (make_home(tmp_path) / "redis").mkdir()
    remove_home(tmp_path, ["redis"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.txt"]
    ours = make_home(tmp_path / "new")
    assert (ours / MARKER).exists()
    remove_home(ours, [])
    assert not ours.exists()


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
