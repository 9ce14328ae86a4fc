"""Long queries, answered by the command that is shown beside the answer, as a subprocess.

A separate process: replaying the log blocks neither the page nor other queries, and runs under the
hash seed and the import path that a proof needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import orjson

from streams.config.settings import Settings
from streams.web.state.request_limits import RequestSlots, Visitor

PROCESSES_MAX, ANSWERED_MAX, TIME_S_MAX = 2, 40, 600.0
FRESH_S, FINAL_S = 30.0, 1_800.0
"""How long an answer stays valid: one that may change, and one that is final."""
STDERR_MAX = 2_000
EACH_MAX, TOGETHER_MAX = 4, 16
"""Waiting and running queries of one visitor; of all signed-in visitors, and of all others."""


@dataclass(slots=True)
class SubprocessQuery:
    """One query: `answer` when it is done; `progress` is the command's last output."""

    args: tuple[str, ...]
    answer: dict[str, Any] | None = None
    failed: str = ""
    progress: str = ""
    done: bool = False
    started_at: float = field(default_factory=monotonic)
    started: bool = False
    ended_at: float = 0.0

    @property
    def seconds(self) -> float:
        """Return how long it took, or has taken so far."""
        return (self.ended_at or monotonic()) - self.started_at

    @property
    def age_s(self) -> float:
        """Return how long ago it ended."""
        return monotonic() - self.ended_at


class WaitingQuery(NamedTuple):
    """A query that no process runs yet."""

    query: SubprocessQuery
    visitor: Visitor
    settings: Settings


class SubprocessQueries:
    """Queries waiting, running and answered. Memory: the last `ANSWERED_MAX` answers.

    Visitors who are not signed in may use one of the `PROCESSES_MAX` processes less, so that one is
    always free for signed-in visitors, who also come first.
    """

    def __init__(self) -> None:
        self._queries: OrderedDict[tuple[str, ...], SubprocessQuery] = OrderedDict()
        self._waiting: list[WaitingQuery] = []
        self._slots = RequestSlots("queries", each=EACH_MAX, together=TOGETHER_MAX)
        self._running: dict[asyncio.Task[None], Visitor] = {}

    def ask(
        self, settings: Settings, visitor: Visitor, *args: str, fresh_s: float = FRESH_S
    ) -> SubprocessQuery:
        """Return the query with these arguments, started if it has no fresh answer.

        Raises `Busy` if the visitor, or all visitors, have too many running.
        """
        earlier = self._queries.get(args)
        if earlier is not None and (not earlier.done or monotonic() - earlier.ended_at < fresh_s):
            return earlier
        self._slots.take(visitor)
        query = self._queries[args] = SubprocessQuery(args)
        self._queries.move_to_end(args)
        self._waiting.append(WaitingQuery(query, visitor, settings))
        self._start_waiting()
        return query

    def known(self, *args: str) -> SubprocessQuery | None:
        """Return the query with these arguments, if any; start none."""
        return self._queries.get(args)

    def _start_waiting(self) -> None:
        """Start waiting queries: signed-in visitors first, then by time."""
        self._waiting.sort(key=lambda waiting: not waiting.visitor.signed_in)  # stable
        while self._waiting and len(self._running) < PROCESSES_MAX:
            query, visitor, settings = self._waiting[0]
            readers = sum(not other.signed_in for other in self._running.values())
            if not visitor.signed_in and readers >= PROCESSES_MAX - 1:
                return
            self._waiting.pop(0)
            task = asyncio.create_task(self._run(query, settings))
            self._running[task] = visitor
            task.add_done_callback(self._finish)
        self._forget()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._slots.leave(self._running.pop(task))
        if not task.cancelled():
            self._start_waiting()

    def _forget(self) -> None:
        answered = [args for args, query in self._queries.items() if query.done]
        for args in answered[: max(0, len(self._queries) - ANSWERED_MAX)]:
            del self._queries[args]

    async def close(self) -> None:
        """End the running processes."""
        self._waiting.clear()
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=3)

    async def _run(self, query: SubprocessQuery, settings: Settings) -> None:
        query.started, query.started_at = True, monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "streams.cli", *query.args),
            env=environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TIME_S_MAX):
                stdout, stderr = await asyncio.gather(
                    _read_stdout(process), _read_stderr(process, query)
                )
                await process.wait()
            _conclude(query, stdout, stderr)
        except TimeoutError:
            query.failed = f"It took more than {TIME_S_MAX:.0f} s. Run the command instead."
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            query.done, query.ended_at = True, monotonic()


async def _read_stdout(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.read()


async def _read_stderr(process: asyncio.subprocess.Process, query: SubprocessQuery) -> str:
    assert process.stderr is not None
    stderr = ""
    async for line in process.stderr:
        query.progress = line.decode("utf-8", "replace").strip()[:300]
        stderr = (stderr + "\n" + query.progress)[-STDERR_MAX:]
    return stderr.strip()


def _conclude(query: SubprocessQuery, stdout: bytes, stderr: str) -> None:
    try:
        query.answer = orjson.loads(stdout)
    except orjson.JSONDecodeError:
        last = stderr.rpartition("\n")[2].removeprefix("riverrun: ")
        query.failed = last or "The command printed no answer."


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a `riverrun` process on the same servers, prefix and home."""
    return {**os.environ, "NO_COLOR": "1", **settings.environment()}
