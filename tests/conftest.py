"""The servers that integration tests run on."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.embedded import Endpoints, Stack
from streams.embedded.metadata import METADATA_REQUEST, brokers_in
from streams.embedded.ports import LOOPBACK, free_ports
from streams.processes import recurse_deeply


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures that tests measured (`record_property`), so that a run shows them."""
    reports = terminalreporter.stats.get("passed", [])
    figures = [figure for report in reports for figure in report.user_properties]
    if figures:
        terminalreporter.section("figures")
    for name, value in figures:
        terminalreporter.write_line(f"{name}: {value}")


ROOT = Path(__file__).parents[1]
DOCKER_SOCKET = "/var/run/docker.sock"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A real Kafka and Redis: those that are given, else containers, else the embedded ones."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("REDIS_URL")
    if given[0] and given[1]:
        yield Endpoints(given[0], given[1])
    elif _docker_answers():
        with ExitStack() as running:
            yield _containers(running)
    else:
        embedded = Stack(tmp_path_factory.mktemp("servers"))
        try:
            yield embedded.up()
        finally:
            embedded.down(purge=True)


@pytest.fixture
def as_deep_as_a_worker() -> Iterator[None]:
    """River's trees take their depth from the process that makes them, and are pickled in it."""
    recursion = sys.getrecursionlimit()
    recurse_deeply()
    yield
    sys.setrecursionlimit(recursion)


def _docker_answers() -> bool:
    import docker  # type: ignore[import-untyped]  # it ships no types

    if "DOCKER_HOST" not in os.environ and not _listens(DOCKER_SOCKET):
        return False
    try:
        client = docker.from_env(timeout=5)
    except docker.errors.DockerException:
        return False
    try:
        return bool(client.ping())
    except docker.errors.DockerException:
        return False
    finally:
        client.close()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _containers(running: ExitStack) -> Endpoints:
    """The images of docker-compose.yml, with their settings, on free ports."""
    from testcontainers.core.container import DockerContainer

    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    kafka_port, redis_port = free_ports(2)
    settings: dict[str, Any] = services["kafka"]["environment"]
    advertised = f"INSIDE://localhost:19092,HOST://{LOOPBACK}:{kafka_port}"
    kafka = DockerContainer(services["kafka"]["image"]).with_bind_ports(9092, kafka_port)
    for name, value in {**settings, "KAFKA_ADVERTISED_LISTENERS": advertised}.items():
        kafka.with_env(name, value)
    redis = DockerContainer(services["redis"]["image"]).with_bind_ports(6379, redis_port)
    running.enter_context(kafka)
    running.enter_context(redis)
    _wait_for(kafka_port, METADATA_REQUEST, lambda answer: bool(brokers_in(answer)))
    _wait_for(redis_port, b"PING\r\n", lambda answer: answer.startswith(b"+PONG"))
    return Endpoints(f"{LOOPBACK}:{kafka_port}", f"redis://{LOOPBACK}:{redis_port}/0", True)


def _wait_for(port: int, request: bytes, ready: Any, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((LOOPBACK, port), 2) as connection:
                connection.sendall(request)
                if ready(connection.recv(65_536)):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")
