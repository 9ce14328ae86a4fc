"""A view kept current: one event stream for each open page, HTML sent only when it has changed.

    event: main    the inside of <main>, whenever it differs from what was sent last
    event: beat    nothing new, and the connection holds
    event: leave   the session has ended

The same question of several browsers is answered once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiohttp import web

LOOK_S, LOOK_S_MAX, BEAT_S = 0.5, 1.2, 2.0
"""How soon and how late a view is looked at again; the longest silence of a stream that lives."""

COST = 12
"""A look that takes long is followed by so many times that long of rest."""

STREAMS_MAX = 64


class Shared:
    """What was answered just now, so that the next one who asks the same is not new work.

    Memory: one answer a question of the last second.
    """

    def __init__(self, fresh_s: float = LOOK_S * 0.8) -> None:
        self._fresh_s = fresh_s
        self._answers: dict[Any, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, question: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        """The answer of the last moment, of work that is under way, or of new work."""
        now = monotonic()
        self._answers = {
            key: (at, task)
            for key, (at, task) in self._answers.items()
            if now - at < self._fresh_s or not task.done()
        }
        if question not in self._answers:
            task: asyncio.Task[Any] = asyncio.ensure_future(work())
            self._answers[question] = now, task
        return await asyncio.shield(self._answers[question][1])


@dataclass(frozen=True, slots=True)
class Stream:
    """One open event stream; `response` is what its handler returns in the end."""

    response: web.StreamResponse

    async def send(self, event: str, text: str = "") -> None:
        """Send one event; raises `ConnectionError` where nobody hears it any more."""
        lines = "".join(f"data: {line}\n" for line in text.split("\n"))
        await self.response.write(f"event: {event}\n{lines}\n".encode())


class Streams:
    """The open event streams; `close` ends them, so that the server can stop."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def open(self, request: web.Request) -> AsyncIterator[Stream]:
        """A stream to that browser, at most `STREAMS_MAX`; that it goes away is no error."""
        if len(self._open) >= STREAMS_MAX:
            raise web.HTTPServiceUnavailable(text="too many open pages\n")
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        stream = Stream(web.StreamResponse(headers=headers))
        try:
            try:
                await stream.response.prepare(request)
            except ConnectionError:  # it has left already; nobody reads what it is told
                raise web.HTTPServiceUnavailable(text="nobody is there\n") from None
            with contextlib.suppress(ConnectionError):
                yield stream
        finally:
            self._open.discard(task)

    async def close(self, _: web.Application) -> None:
        """End all of them."""
        for task in tuple(self._open):
            task.cancel()


async def keep_current(
    send: Callable[..., Awaitable[None]],
    look: Callable[[], Awaitable[str]],
    allowed: Callable[[], bool],
) -> None:
    """Look again and again, and send what has changed; ends when nothing may be seen any more."""
    before, told = "", 0.0
    while allowed():
        began = monotonic()
        html = await look()
        rest = (monotonic() - began) * COST
        if html != before:
            await send("main", html)
            before, told = html, monotonic()
        elif monotonic() - told > BEAT_S:
            await send("beat")
            told = monotonic()
        await asyncio.sleep(min(max(LOOK_S, rest), LOOK_S_MAX))
    await send("leave")
