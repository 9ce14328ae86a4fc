"""A parent and its workers, with real processes and no server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FAMILY = """
import os, signal, sys, time
from pathlib import Path
from streams.worker import supervisor
supervisor.DELAY_S = 0.05
room = Path(sys.argv[1])
def work(n):
    life = len(list(room.glob(f"{n}.*")))
    (room / f"{n}.{life}").write_text(str(os.getpid()))
    if sys.argv[3:]:
        return int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        time.sleep(0.05)
sys.exit(supervisor.Supervisor(work, int(sys.argv[2])).run())
"""


class Family:
    """A supervisor in a process of its own; each life of a worker leaves its pid in a file."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.parent: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`arguments`: how many, and the code with which they end at once."""
        command = [sys.executable, "-P", "-c", FAMILY, str(self.room), *arguments]
        self.parent = subprocess.Popen(command, cwd=Path(__file__).parents[3])
        return self.parent

    def pid(self, life: str) -> int:
        """Of that life, once it began."""
        path = self.room / life
        until(lambda: path.exists() and path.read_text() != "")
        return int(path.read_text())


def until(true: Callable[[], bool]) -> None:
    """Wait for it, at most 60 s."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Whether no such process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    """Killed at the end."""
    group = Family(tmp_path)
    yield group
    if group.parent is not None and group.parent.poll() is None:
        group.parent.kill()
        group.parent.wait()


def test_a_killed_worker_is_there_again_at_once(family: Family) -> None:
    """kill -9 of one of two: it is started again, in a fraction of a second on an idle machine; the
    other one is left alone.
    """
    family.start("2")
    first, other = family.pid("0.0"), family.pid("1.0")
    began = time.monotonic()
    os.kill(first, signal.SIGKILL)
    assert family.pid("0.1") != first
    assert time.monotonic() - began < 5
    assert not has_ended(other)
    assert not (family.room / "1.1").exists()


def test_one_signal_ends_all(family: Family) -> None:
    """SIGTERM to the parent ends its workers cleanly, and it ends with their code."""
    parent = family.start("2")
    pids = [family.pid("0.0"), family.pid("1.0")]
    parent.terminate()
    assert parent.wait(60) == 0
    assert all(has_ended(pid) for pid in pids)


def test_no_worker_outlives_its_parent(family: Family) -> None:
    """kill -9 of the parent: nobody is left who would work without supervision."""
    parent = family.start("2")
    pids = [family.pid("0.0"), family.pid("1.0")]
    parent.kill()
    parent.wait()
    until(lambda: all(has_ended(pid) for pid in pids))


@pytest.mark.parametrize("code", ["3", "70", "75", "78", "0"])
def test_what_cannot_begin_is_not_tried_for_ever(family: Family, code: str) -> None:
    """A worker that ends before it was ever well gives its exit code to whoever started it."""
    assert family.start("1", code).wait(60) == int(code)
    assert not (family.room / "0.1").exists()
