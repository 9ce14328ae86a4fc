"""A real headless Chromium, and the page of a small use case on the real servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil

from tests.support.loop import Loop, Process
from tests.support.servers.programs import CHROMIUM, path_of

SCREENS = Path(__file__).parents[3] / "build" / "screens"
"""Where screenshots are kept as CI's output; git ignores it."""

SIZES = {"wide": (1440, 900), "phone": (390, 844)}
STARTED_S_MAX = 60.0


def chromium() -> str:
    """Return the path of a Chromium; skip the test if there is none."""
    return path_of(*CHROMIUM, package="chromium")


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
        self.address = self.sign_in = self.secret = ""
        self._process: Process | None = None

    def start(self, port: int = 0) -> None:
        """Start it and wait until it listens."""
        command = ("ops", str(self.loop.file), "--json", "--port", str(port))
        out, err = self.loop.folder / "ops.json", self.loop.folder / "ops.log"
        out.unlink(missing_ok=True)
        self._process = self.loop.process(*command, out=out, err=err)
        deadline = monotonic() + STARTED_S_MAX
        while not (out.exists() and out.read_text().endswith("\n")):
            assert monotonic() < deadline, err.read_text()
            sleep(0.05)
        told = json.loads(out.read_text())
        self.address, self.sign_in = told["address"], told["sign_in"]
        self.secret = told["secret"]

    def enter(self, tab: Any) -> None:
        """Sign in by the form."""
        tab.goto(f"{self.address}enter")
        tab.locator("[name=secret]").fill(self.secret)
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_role("button", name="Sign out").wait_for()

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
            self._process.wait(60)

    @property
    def memory_bytes(self) -> int:
        """What its process and the processes that it started hold."""
        assert self._process is not None
        whole = psutil.Process(self._process.pid)
        return sum(each.memory_info().rss for each in (whole, *whole.children(recursive=True)))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rstrip("/").rpartition(":")[2])
