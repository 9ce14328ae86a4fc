"""The embedded servers of a benchmark: there while it runs, and gone however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.embedded import Endpoints, Stack
from streams.embedded.free_ports import LOOPBACK, free_ports

END_S = 60.0


@contextmanager
def servers(home: Path, *, purge: bool = False) -> Iterator[Endpoints]:
    """Of that folder; those that ran before are left running. SIGTERM ends as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _end)
    # The benchmarks' own clients take a listener that asks for no password.
    front = free_ports(1)[0]
    stack = Stack(home, fronts={1: (front, front)})
    ours = stack.find() is None
    try:
        endpoints = stack.up(lambda *_: None)
        yield Endpoints(f"{LOOPBACK}:{front}", endpoints.redis_url, True) if ours else endpoints
    finally:
        if ours:
            stack.down(purge=purge)


def output_of(command: list[str], environment: Mapping[str, str]) -> str:
    """What another benchmark prints; it is given the time to end its own servers."""
    signal.signal(signal.SIGTERM, _end)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        text, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait(END_S)
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return text


def _end(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what is begun now is taking down
    sys.exit(128 + number)
