"""A TCP proxy on loopback whose connections can be made to hang half open: alive, and silent."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """start → (hang | go_on)* → close."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._flows: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang(self) -> None:
        """Keep every connection, pass nothing on."""
        self._open.clear()

    def go_on(self) -> None:
        """Pass on again, what had come meanwhile first."""
        self._open.set()

    async def close(self) -> None:
        """End it."""
        assert self._server is not None
        self._server.close()
        for flow in list(self._flows):
            flow.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        for flow in (self._flow(reader, back), self._flow(there, writer)):
            task = asyncio.create_task(flow)
            self._flows.add(task)
            task.add_done_callback(self._flows.discard)

    async def _flow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
