"""The servers that integration tests run on, and how tests are spread over processes."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from _pytest.logging import LogCaptureHandler
from xdist.scheduler import LoadScopeScheduling

from streams.cli.shared import terminal
from streams.config.process_env import recurse_deeply
from streams.embedded import Endpoints, Stack
from streams.embedded.free_ports import LOOPBACK, free_ports
from streams.embedded.kafka_probe import METADATA_REQUEST, brokers_in
from streams.telemetry.log_format import CLIENT
from tests.support.commands import Command
from tests.support.servers.programs import summary

LONGEST_FIRST = (
    "faults/test_chaos.py",
    "faults/test_simulation.py",
    "loop/test_monitor.py",
    "loop/test_page.py",
)
"""Files that take longest: they begin first, so that at the end none is waited for alone."""

SPREAD = (
    "faults/test_simulation.py",
    "faults/test_snapshots.py",
    "loop/test_demo.py",
    "loop/test_worker.py",
    "operators/test_redefine.py",
)
"""Files whose tests share nothing and take long: each test may run in another process. All other
files stay whole, for the sake of their fixtures."""

SERVERS = pytest.StashKey[Path]()
FRONT = "front"
"""File in their folder that names the port of the listener without a password."""


class Spreading(LoadScopeScheduling):
    """A file at a time to each process of pytest-xdist, or a test at a time of those in SPREAD."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file.endswith(SPREAD) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading:
    """Spread tests by file."""
    config.option.loadscopereorder = False  # the order is that of the items
    return Spreading(config, log)


SOAK_S_MAX = 3_600
"""What a soak may take that has no limit of its own; other tests have pyproject.toml's."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; then files that wait for servers and files that
    compute take turns, in proportion, so that neither cores nor servers are ever idle.
    """
    files: dict[bool, dict[Path, None]] = {True: {}, False: {}}
    for item in items:
        if item.get_closest_marker("soak") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SOAK_S_MAX))
        files[item.get_closest_marker("integration") is None].setdefault(item.path)
    turns = {
        path: (len(LONGEST_FIRST), number / len(paths))
        for paths in files.values()
        for number, path in enumerate(paths)
    }
    for path in turns:
        for rank, name in enumerate(LONGEST_FIRST):
            if path.as_posix().endswith(name):
                turns[path] = (rank, 0.0)
    items.sort(key=lambda item: turns[item.path])


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of the servers that all processes of this run share; start those
    processes as riverrun starts its own (`python -P`), or a command run in one would start over.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    if not hasattr(config, "workerinput"):
        config.stash[SERVERS] = folder = Path(tempfile.mkdtemp(prefix="riverrun-tests-"))
        (folder / FRONT).write_text(str(free_ports(1)[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist that folder."""
    node.workerinput["servers"] = str(node.config.stash[SERVERS])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, if any test has started them."""
    if folder := config.stash.get(SERVERS, None):
        Stack(folder / "home").down(purge=True)
        shutil.rmtree(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """Print the figures that tests measured (`record_property`), and last what was skipped."""
    reports = terminalreporter.stats.get("passed", [])
    figures = [figure for report in reports for figure in report.user_properties]
    if figures:
        terminalreporter.section("figures")
    for name, value in figures:
        terminalreporter.write_line(f"{name}: {value}")
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    for line in summary([report.longrepr[2] for report in skipped]):
        terminalreporter.write_line(line, yellow=True)


ROOT = Path(__file__).parents[1]
DOCKER_SOCKET = "/var/run/docker.sock"


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Endpoints]:
    """A real Kafka and Redis: those that are given, else containers, else the embedded ones.

    All tests of a run share them, in whatever process: a test has topics and keys of its own.
    """
    addresses = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), os.environ.get("REDIS_URL")
    if addresses[0] and addresses[1]:
        yield Endpoints(addresses[0], addresses[1])
    elif _docker_answers():
        with ExitStack() as running:
            yield _containers(running)
    else:
        config = request.config
        folder = getattr(config, "workerinput", {}).get("servers") or config.stash[SERVERS]
        # Clients of the tests' own take a listener that asks for no password.
        front = int((Path(folder) / FRONT).read_text())
        embedded = Stack(Path(folder) / "home", fronts={1: (front, front)})
        yield Endpoints(f"{LOOPBACK}:{front}", embedded.up().redis_url, True)


@pytest.fixture
def riverrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """The command line in this process, in an empty folder."""
    return Command(monkeypatch, capsys, tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that changes what the tests after it in this process meet."""
    before = _surroundings()
    yield
    assert _surroundings() == before


def _surroundings() -> dict[str, object]:
    """Return what a process has only one of: its folder, environment, log and consoles."""
    # scikit-learn sets KMP_… when it is imported, which a test of all of River does.
    ours = ("PYTEST_CURRENT_TEST", "KMP_")
    environment = {name: v for name, v in os.environ.items() if not name.startswith(ours)}
    return {
        "folder": Path.cwd(),
        "environment": environment,
        "recursion limit": sys.getrecursionlimit(),
        "log": [h for h in logging.getLogger().handlers if not isinstance(h, LogCaptureHandler)],
        "level of the client's log": logging.getLogger(CLIENT).level,
        # A console takes `sys.stdout` as it is at the time, unless somebody has set its file.
        "consoles": (terminal.data._file, terminal.talk._file),
    }


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
