"""The page of some use cases, put together and run until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web

from schemas.errors import Misdeclared, Unavailable
from streams.loading import Loaded, known, load
from streams.monitor.agent import Monitor
from streams.ops.desk import Desk
from streams.ops.safety import Door
from streams.ops.scene import Case
from streams.ops.server import application
from streams.settings import Settings
from streams.tapes import Tapes
from streams.topics import names_of

log = logging.getLogger("riverrun.ops")

PORT = 8088
PASSWORD_MIN = 12
STOP_S_MAX, END_S_MAX = 2.0, 8.0


def desk_of(cases: Sequence[Loaded], settings: Settings, host: str, port: int) -> Desk:
    """The desk of a page that listens there; raises `Misdeclared` for a weak password."""
    password = settings.riverrun_ops_password
    secret = secrets.token_urlsafe(24) if password is None else password.get_secret_value()
    if len(secret) < PASSWORD_MIN:
        raise Misdeclared(
            f"RIVERRUN_OPS_PASSWORD has fewer than {PASSWORD_MIN} characters.",
            mend="Take a longer one, or none: a token is made then.",
        )
    names = [name.strip() for name in settings.riverrun_ops_names.split(",") if name.strip()]
    door = Door(secret, f"riverrun_ops_{port}", is_loopback(host), names)
    return Desk({one.use_case.name: Case(one, settings) for one in cases}, settings, door)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def running_cases(settings: Settings) -> list[Loaded]:
    """The known use cases whose topics are there under the prefix; others' files may be broken."""
    found = []
    for name in known():
        try:
            found.append(load(name))
        except Misdeclared:
            continue
    events = {names_of(one.use_case, settings)["events"]: one for one in found}
    async with Tapes(list(events), settings) as tapes:
        return [events[topic] for topic in sorted({place.topic for place in tapes.places})]


def bound(host: str, port: int | None) -> socket.socket:
    """A socket that listens on that port; with none on `PORT`, or else any that is free."""
    for wanted in (PORT, 0) if port is None else (port,):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, wanted))
            return listening
        except OSError as error:
            listening.close()
            problem = error
    raise Unavailable(f"The page cannot listen on {host} port {port}: {problem.strerror}.")


async def serve(
    cases: Sequence[Loaded] | None,
    settings: Settings,
    host: str,
    port: int | None,
    tell: Callable[[str, str | None], None],
    monitored: bool = True,
) -> None:
    """Serve until SIGINT or SIGTERM. `tell(address, address with the token)` once it listens.

    With a monitor inside, unless `monitored` is False; beside another one it does no harm.
    """
    chosen = await running_cases(settings) if cases is None else cases
    listening = bound(host, port)
    at = int(listening.getsockname()[1])
    desk = desk_of(chosen, settings, host, at)
    runner = web.AppRunner(
        application(desk), access_log=None, shutdown_timeout=STOP_S_MAX, handle_signals=False
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        address = f"http://{f'[{host}]' if ':' in host else host}:{at}/"
        known_to_all = settings.riverrun_ops_password is not None
        tell(address, None if known_to_all else f"{address}enter?token={desk.door.secret}")
        async with watched(chosen if monitored else (), settings):
            await _until_stopped()
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def watched(cases: Sequence[Loaded], settings: Settings) -> AsyncIterator[None]:
    """A monitor of these runs inside; if it cannot, that is logged, and the page reads topics."""
    if not cases or settings.redis_url is None:
        yield
        return
    monitor = Monitor(cases, settings)
    running = asyncio.create_task(_run(monitor))
    try:
        yield
    finally:
        monitor.stop()
        await asyncio.wait({running}, timeout=STOP_S_MAX)
        running.cancel()


async def _run(monitor: Monitor) -> None:
    try:
        await monitor.run()
    except Exception as error:  # the page is more than its monitor
        log.error("monitor: %s: %s", type(error).__name__, error)


async def _until_stopped() -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    # Faust's threads may outlive its app, and nothing here is worth waiting for.
    deadline = threading.Timer(END_S_MAX, os._exit, (0,))
    deadline.daemon = True
    deadline.start()


__all__ = ["PORT", "desk_of", "is_loopback", "serve", "watched"]
