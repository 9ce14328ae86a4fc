"""The page of one use case as a process beside another command, which ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from streams.loading import Loaded
from streams.ops.inquiries import environment
from streams.settings import Settings

STOP_S_MAX = 10.0


@contextmanager
def page_beside(
    loaded: Loaded, settings: Settings, tell: Callable[[str], None]
) -> Iterator[subprocess.Popen[bytes]]:
    """While it lasts the page runs; `tell` is given the address to sign in, from another thread."""
    command = [sys.executable, "-P", "-m", "streams.cli", "ops", str(loaded.path), "--json"]
    process = subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE)

    def listen() -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            told = orjson.loads(line)
            tell(told["sign_in"] or told["address"])

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
