"""Redis refuses writes, or is gone: the loop goes on, acts are done, commands say what is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import redis

from streams.embedded import Endpoints
from streams.embedded.free_ports import LOOPBACK, free_ports
from streams.embedded.process import Identity, send, stop
from streams.embedded.redis_server import Redis
from streams.telemetry.partition_table import UNTOLD
from tests.support.loop import Loop, parcels

pytestmark = pytest.mark.integration

ROWS = parcels(60)
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]


class Own:
    """A Redis of this test's own, to be filled and killed."""

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self._server = Redis(folder / "redis", port, "password")
        self.identity: Identity = self._server.start(lambda _: None)
        self._server.wait(self.identity)
        self.url = f"redis://:password@{LOOPBACK}:{port}/0"

    def configure(self, name: str, value: str) -> None:
        """Change a setting."""
        with redis.Redis.from_url(self.url) as client:
            client.config_set(name, value)

    def follow(self, host: str, port: int) -> None:
        """Make it a replica, of nobody who answers."""
        with redis.Redis.from_url(self.url) as client:
            client.replicaof(host, str(port))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    """A Redis of one's own."""
    server = Own(tmp_path)
    yield server
    stop([server.identity], grace_s=5)


@pytest.fixture
def loop(stack: Endpoints, own: Own, tmp_path: Path) -> Iterator[Loop]:
    """A worker that has answered."""
    loop = Loop(Endpoints(stack.bootstrap_servers, own.url), tmp_path)
    try:
        asyncio.run(loop.publish(ROWS))
        loop.start()
        asyncio.run(loop.wait_for("predictions", IDS))
        yield loop
    finally:
        loop.close()


def until_untold(loop: Loop, why: str) -> None:
    """Wait until `status` says that workers work and do not tell, and why."""
    began = monotonic()
    while True:
        told = json.loads(loop.attempt("status", str(loop.file), "--json").stdout)
        rows = told["rows"]
        if all(row["state"] == UNTOLD for row in rows):
            break
        assert monotonic() - began < 60, rows
    assert told["overview"]["state"] == "unknown"
    for row in rows:
        assert row["worker"]
        assert "aiokafka" not in row["worker"]  # its own name, not that of the client's library
        assert why in row["error"]


def until_live(loop: Loop) -> None:
    """Wait until `status` says that all is well."""
    began = monotonic()
    while loop.attempt("status", str(loop.file)).returncode:
        assert monotonic() - began < 60


@pytest.mark.parametrize("trouble", ["full", "replica"])
def test_a_redis_that_takes_no_writes_is_told_by_status_and_doctor(
    loop: Loop, own: Own, trouble: str
) -> None:
    """A worker that answers is not nobody; why it does not tell is said, with the way on."""
    until_live(loop)
    doctor = loop.attempt("doctor", "--json").stdout
    assert "takes them" in doctor
    if trouble == "full":
        own.configure("maxmemory", "1")
        why = "its memory is full"
    else:
        own.follow(LOOPBACK, 1)
        why = "it is a replica"
    until_untold(loop, why)
    done = loop.attempt("doctor", "--json")
    assert done.returncode == 1
    assert why in done.stdout
    more = [("event", {**ROWS[0][1], "event_id": "more"})]
    asyncio.run(loop.publish(more))
    asyncio.run(loop.wait_for("predictions", ["more"]))
    if trouble == "full":
        own.configure("maxmemory", "0")
        until_live(loop)


def test_acts_need_kafka_only(loop: Loop, own: Own) -> None:
    """With Redis gone the loop goes on, a model is promoted, and `status` says what is away."""
    until_live(loop)
    send(own.identity, 9)
    until_untold(loop, "does not answer")
    done = loop.run("promote", str(loop.file), "brisk", "--why", "it is better", "--json")
    assert done["applied"] == [0, 1]
    told = json.loads(loop.attempt("status", str(loop.file), "--json").stdout)
    assert told["overview"]["champion"] == "brisk"
    assert loop.run("history", str(loop.file), "--json")
    asyncio.run(loop.publish([("event", {**ROWS[0][1], "event_id": "more"})]))
    asyncio.run(loop.wait_for("predictions", ["more"]))
