"""Whether this worker lives and is ready, on loopback: `/livez`, `/readyz`, `/metrics`.

    /livez    every assigned partition moves            else 503
    /readyz   joined, and every partition is recovered  else 503
    /metrics  for Prometheus (streams/exposition.py)    404 without

Plain HTTP/1.0 over asyncio: three fixed paths, no input read but the request line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from schemas.errors import Unavailable

LINE_BYTES_MAX = 4_096
TEXT = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


class Health:
    """The server. start → close; `status` is asked at each request and never waits.

    `status()` gives `{"live": bool, "ready": bool, ...}`; `metrics()` the exposition's bytes.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        *,
        metrics: Callable[[], bytes] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.status = status
        self.metrics = metrics
        self.host, self.port = host, port
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; gives the port. Raises `Unavailable` if it is taken."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self.host, self.port, limit=LINE_BYTES_MAX
            )
        except OSError as error:
            raise Unavailable(
                f"health cannot be served on {self.host} port {self.port} ({error.strerror}). "
                "Give another --health-port; 0 takes a free one"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            async with asyncio.timeout(5):
                words = (await reader.readline()).split()
                path = words[1].decode("latin-1") if len(words) > 1 else ""
                code, kind, body = self.answer(path)
                head = (
                    f"HTTP/1.0 {code}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    def answer(self, path: str) -> tuple[str, str, bytes]:
        """Status line, content type and body for a path."""
        if path == "/metrics" and self.metrics is not None:
            return "200 OK", TEXT, self.metrics()
        status = self.status()
        good = {"/livez": status["live"], "/readyz": status["ready"]}.get(path)
        if good is None:
            return "404 Not Found", TEXT, b"/livez /readyz /metrics\n"
        return "200 OK" if good else "503 Service Unavailable", JSON, orjson.dumps(status) + b"\n"
