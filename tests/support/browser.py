"""A real headless Chromium, and the page of a small use case on the real servers."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loop import Loop

SCREENS = Path(__file__).parents[1] / "build" / "screens"
"""Where screenshots are kept as CI's output; git ignores it."""

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium() -> str:
    """The path of a Chromium; skips the test where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium: apt-get install chromium (.ci/run does)")
    return found


@contextmanager
def launched() -> Iterator[Any]:
    """A browser (playwright's), without a sandbox where this is root, as CI is."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield browser
        browser.close()


def waited(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives; in a thread, since playwright's own loop runs in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class Page:
    """The process of `riverrun ops` on one use case's topics. start → stop, again and again."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.address = self.sign_in = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-P", "-m", "streams.cli", "ops", str(self.loop.file), "--json"]
        with (self.loop.folder / "ops.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(port)],
                env=self.loop.environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.address, self.sign_in = told["address"], told["sign_in"]

    def freeze(self) -> None:
        """Stop it from answering without closing a connection."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(15)
            assert self._process.stdout is not None
            self._process.stdout.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rstrip("/").rpartition(":")[2])
