"""Questions that take a while, asked by running the very command that is shown beside the answer.

A process of its own: folding the log keeps neither the page nor other questions waiting, and runs
under the hash seed and the import path that proof needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson

from streams.settings import Settings

AT_ONCE, KEPT_MAX, TIME_S_MAX = 2, 40, 600.0
FRESH_S, SETTLED_S = 30.0, 1_800.0
"""How long an answer is good for: what may still change, and what changes no more."""
TALK_MAX = 2_000


@dataclass(slots=True)
class Inquiry:
    """One question: `answer` when it is done; `progress` is the command's last word meanwhile."""

    words: tuple[str, ...]
    answer: dict[str, Any] | None = None
    failed: str = ""
    progress: str = ""
    done: bool = False
    began: float = field(default_factory=monotonic)
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or monotonic()) - self.began


class Inquiries:
    """Questions under way and answered. Memory: the last `KEPT_MAX`; `AT_ONCE` processes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, ...], Inquiry] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, settings: Settings, *words: str, fresh_s: float = FRESH_S) -> Inquiry:
        """The inquiry with these words: one that ended within `fresh_s`, else a new one.

        A view asks again whenever it is looked at, so what does not change is good for long.
        """
        known = self._known.get(words)
        if known is not None and (not known.done or monotonic() - known.ended < fresh_s):
            return known
        inquiry = self._known[words] = Inquiry(words)
        self._known.move_to_end(words)
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        task = asyncio.create_task(self._run(inquiry, settings))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return inquiry

    def known(self, *words: str) -> Inquiry | None:
        """The inquiry with these words, if there was one; none is begun."""
        return self._known.get(words)

    async def close(self) -> None:
        """End the processes that still run."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=3)

    async def _run(self, inquiry: Inquiry, settings: Settings) -> None:
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "streams.cli", *inquiry.words, "--json"),
                env=environment(settings),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(TIME_S_MAX):
                    out, talk = await asyncio.gather(_all(process), _talk(process, inquiry))
                    await process.wait()
                _conclude(inquiry, out, talk)
            except TimeoutError:
                inquiry.failed = f"It took more than {TIME_S_MAX:.0f} s. Run the command instead."
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
                inquiry.done, inquiry.ended = True, monotonic()


async def _all(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.read()


async def _talk(process: asyncio.subprocess.Process, inquiry: Inquiry) -> str:
    assert process.stderr is not None
    talk = ""
    async for line in process.stderr:
        inquiry.progress = line.decode("utf-8", "replace").strip()[:300]
        talk = (talk + "\n" + inquiry.progress)[-TALK_MAX:]
    return talk.strip()


def _conclude(inquiry: Inquiry, out: bytes, talk: str) -> None:
    try:
        inquiry.answer = orjson.loads(out)
    except orjson.JSONDecodeError:
        last = talk.rpartition("\n")[2].removeprefix("riverrun: ")
        inquiry.failed = last or "The command said nothing."


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a `riverrun` process on the same servers, prefix and home."""
    return {**os.environ, "NO_COLOR": "1", **settings.environment()}
