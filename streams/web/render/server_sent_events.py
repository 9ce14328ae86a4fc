"""Live views: one event stream for each open page; HTML is sent only when it has changed.

    event: main    the content of <main>, whenever it differs from what was sent last
    event: beat    no change, and the connection works
    event: leave   the session has ended

Equal requests of several browsers are computed once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiohttp import web

from streams.web.state.request_limits import RequestSlots, Visitor

REFRESH_S, REFRESH_S_MAX, BEAT_S = 0.5, 1.2, 2.0
"""The shortest and longest interval between two renderings; the longest silence of a stream."""

REST_FACTOR = 12
"""A slow rendering is followed by a pause of so many times its duration."""

EACH_MAX, STREAMS_MAX = 12, 48
"""Open streams of one visitor; of all signed-in visitors, and of all others."""

SEND_S_MAX = 30.0
"""A browser that takes no data for so long is disconnected."""


FRESH_S = REFRESH_S * 0.8
"""Age up to which an answer is given to others, too."""


class SharedAnswers:
    """Recent answers, shared by equal requests.

    Memory: one answer for each request of the last second.
    """

    def __init__(self) -> None:
        self._answers: dict[Any, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, key: Any, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return a recent answer, the one being computed, or a new one of `work`."""
        now = monotonic()
        self._answers = {
            key: (at, task)
            for key, (at, task) in self._answers.items()
            if now - at < FRESH_S or not task.done()
        }
        if key not in self._answers:
            task: asyncio.Task[Any] = asyncio.ensure_future(work())
            self._answers[key] = now, task
        return await asyncio.shield(self._answers[key][1])


@dataclass(frozen=True, slots=True)
class Stream:
    """One open event stream; `response` is what its handler returns in the end."""

    response: web.StreamResponse

    async def send(self, event: str, text: str = "") -> None:
        """Send one event; raises `ConnectionError` if the browser takes no data."""
        lines = "".join(f"data: {line}\n" for line in text.split("\n"))
        try:
            async with asyncio.timeout(SEND_S_MAX):
                await self.response.write(f"event: {event}\n{lines}\n".encode())
        except TimeoutError:
            raise ConnectionError("the browser takes no data") from None


class Streams:
    """The open event streams; `close` ends them, so that the server can stop."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._slots = RequestSlots("live views", each=EACH_MAX, together=STREAMS_MAX)

    @contextlib.asynccontextmanager
    async def open(
        self,
        request: web.Request,
        visitor: Visitor,
        welcome: Callable[[web.StreamResponse], None] = lambda _: None,
    ) -> AsyncIterator[Stream]:
        """Open a stream to a browser; its disconnection is no error. Raises `Busy`.

        `welcome` gets the response before its headers are sent.
        """
        with self._slots.hold(visitor):
            async with self._opened(request, welcome) as stream:
                yield stream

    @contextlib.asynccontextmanager
    async def _opened(
        self, request: web.Request, welcome: Callable[[web.StreamResponse], None]
    ) -> AsyncIterator[Stream]:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        stream = Stream(web.StreamResponse(headers=headers))
        welcome(stream.response)
        try:
            try:
                await stream.response.prepare(request)
            except ConnectionError:  # it has disconnected already; nobody reads the response
                raise web.HTTPServiceUnavailable(text="disconnected\n") from None
            with contextlib.suppress(ConnectionError):
                yield stream
        finally:
            self._open.discard(task)

    async def close(self, _: web.Application) -> None:
        """End all streams."""
        for task in tuple(self._open):
            task.cancel()


async def keep_current(
    send: Callable[..., Awaitable[None]],
    content: Callable[[], Awaitable[str]],
    allowed: Callable[[], bool],
) -> None:
    """Render repeatedly and send changes, until `allowed` returns False."""
    last_html, sent_at = "", 0.0
    while allowed():
        started = monotonic()
        html = await content()
        rest = (monotonic() - started) * REST_FACTOR
        if html != last_html:
            await send("main", html)
            last_html, sent_at = html, monotonic()
        elif monotonic() - sent_at > BEAT_S:
            await send("beat")
            sent_at = monotonic()
        await asyncio.sleep(min(max(REFRESH_S, rest), REFRESH_S_MAX))
    await send("leave")
