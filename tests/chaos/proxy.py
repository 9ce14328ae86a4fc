"""A TCP proxy on loopback whose connections can be made to hang half open: alive, and silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from streams.embedded import Endpoints
from streams.embedded.free_ports import free_ports

REQUESTS, ANSWERS = "requests", "answers"
BOTH = (REQUESTS, ANSWERS)


class Held(NamedTuple):
    """What does not pass: which ways, and whose (process ids; None: everybody's)."""

    ways: Collection[str] = BOTH
    pids: Collection[int] | None = None


@dataclass(eq=False)
class Link:
    """One connection: its client's port, and which ways are open."""

    port: int
    open: dict[str, asyncio.Event] = field(
        default_factory=lambda: {way: asyncio.Event() for way in BOTH}
    )

    def pass_on(self, ways: Collection[str]) -> None:
        """Open these ways and close the others."""
        for way, event in self.open.items():
            (event.set if way in ways else event.clear)()


class Proxy:
    """start → (hang | go_on)* → close. `to` is the port behind it, and may be set late."""

    def __init__(self, to: int = 0) -> None:
        self.to = to
        self.port = 0
        self._held: Held | None = None
        self._links: set[Link] = set()
        self._flows: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on that port, or a free one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    def hang(self, held: Held | None = None) -> None:
        """Keep every connection, old or new, and pass nothing of what is held."""
        self._held = held or Held()
        for link in self._links:
            self._hold(link, self._held)

    def go_on(self) -> None:
        """Pass on again, what had come meanwhile first."""
        self._held = None
        for link in self._links:
            link.pass_on(BOTH)

    def cut(self, pids: Collection[int], draw: Callable[[], bool]) -> int:
        """Let drawn connections of these never pass anything again, as a firewall does that has
        forgotten them; new ones pass. Gives how many.
        """
        links = [link for link in self._links if _is_of(link, pids) and draw()]
        for link in links:
            link.pass_on(())
            self._links.discard(link)
        return len(links)

    async def close(self) -> None:
        """End it."""
        if self._server is not None:
            self._server.close()
        for flow in list(self._flows):
            flow.cancel()

    def _hold(self, link: Link, held: Held) -> None:
        if held.pids is None or _is_of(link, held.pids):
            link.pass_on([way for way in BOTH if way not in held.ways])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        link = Link(writer.get_extra_info("peername")[1])
        link.pass_on(BOTH)
        if self._held is not None:
            self._hold(link, self._held)
        self._links.add(link)
        for flow in (
            self._flow(reader, back, link, REQUESTS),
            self._flow(there, writer, link, ANSWERS),
        ):
            task = asyncio.create_task(flow)
            self._flows.add(task)
            task.add_done_callback(self._flows.discard)

    async def _flow(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link, way: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await link.open[way].wait()
                writer.write(data)
                await writer.drain()
        await link.open[way].wait()
        writer.close()
        self._links.discard(link)


class Proxies:
    """Before Redis, and before each broker on a listener of its own; the workers use no other way.

    start → before → close
    """

    def __init__(self, brokers: int) -> None:
        self.redis = Proxy()
        self.brokers = [Proxy() for _ in range(brokers)]

    async def start(self) -> dict[int, tuple[int, int]]:
        """Listen; gives what `Stack` is to have as fronts."""
        for proxy in (self.redis, *self.brokers):
            await proxy.start()
        ports = free_ports(len(self.brokers))
        for proxy, port in zip(self.brokers, ports, strict=True):
            proxy.to = port
        return {n: (proxy.to, proxy.port) for n, proxy in enumerate(self.brokers, 1)}

    def before(self, endpoints: Endpoints) -> tuple[str, str]:
        """The bootstrap servers and Redis URL that workers are given."""
        behind = urlsplit(endpoints.redis_url)
        assert behind.port is not None
        self.redis.to = behind.port
        servers = ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.brokers)
        return servers, f"redis://:{behind.password}@127.0.0.1:{self.redis.port}/0"

    async def close(self) -> None:
        """End them."""
        for proxy in (self.redis, *self.brokers):
            await proxy.close()


def _is_of(link: Link, pids: Collection[int]) -> bool:
    return any(link.port in ports_of(pid) for pid in pids)


def ports_of(pid: int) -> set[int]:
    """Local TCP ports of a process's sockets."""
    sockets = set()
    with contextlib.suppress(OSError):
        for name in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(str(name.readlink()))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in sockets}
