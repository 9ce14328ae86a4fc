"""The page of one use case as a process beside another command, which ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.web.state.subprocess_queries import environment

STOP_S_MAX = 10.0


def overheard(process: subprocess.Popen[bytes], hear: Callable[[str], None]) -> None:
    """Give each line that a process says on stderr to `hear`, from a thread of its own."""

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            hear(line.decode("utf-8", "replace").rstrip())

    threading.Thread(target=listen, daemon=True).start()


@contextmanager
def page_beside(
    loaded: LoadedUseCase,
    settings: Settings,
    tell: Callable[[str], None],
    hear: Callable[[str], None] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the page within the block; `tell` gets the address to sign in, from another thread.

    `hear` is given what it says on stderr, line by line; None: it goes where this process' goes.
    """
    command = [sys.executable, "-P", "-m", "streams.cli", "ops", str(loaded.path), "--json"]
    process = subprocess.Popen(
        command,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=None if hear is None else subprocess.PIPE,
    )
    if hear is not None:
        overheard(process, hear)

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
