"""The page of some use cases: it is assembled here and runs until it is stopped."""

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
from dataclasses import dataclass

from aiohttp import web

from schemas.errors import ConfigError, Unavailable
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, known, load
from streams.kafka.topic_reader import TopicReader
from streams.monitor.agent import Monitor
from streams.topics.topic_admin import names_of
from streams.web.routes import application
from streams.web.state.auth import Auth
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case

log = logging.getLogger("riverrun.ops")

PORT = 8088
PASSWORD_MIN = 12
STOP_S_MAX, END_S_MAX = 2.0, 8.0


@dataclass(frozen=True, slots=True)
class PageAddress:
    """The page's address, the address that signs in once, and the generated secret.

    The last two are None where a password is set.
    """

    address: str
    sign_in: str | None
    secret: str | None


def page_context(
    cases: Sequence[LoadedUseCase], settings: Settings, host: str, port: int
) -> PageContext:
    """Return a page's context; raises `ConfigError` for a weak password."""
    password = settings.riverrun_ops_password
    secret = secrets.token_urlsafe(24) if password is None else password.get_secret_value()
    if len(secret) < PASSWORD_MIN:
        raise ConfigError(
            f"RIVERRUN_OPS_PASSWORD has fewer than {PASSWORD_MIN} characters.",
            hint="Set a longer one, or none: then a secret is generated.",
        )
    names = [name.strip() for name in settings.riverrun_ops_names.split(",") if name.strip()]
    proxies = [hop.strip() for hop in settings.riverrun_ops_proxies.split(",") if hop.strip()]
    auth = Auth(
        secret,
        f"riverrun_ops_{port}",
        open_to_read=is_loopback(host) and not proxies,  # a proxy forwards others' requests
        names=names,
        guessable=password is not None,
        proxies=proxies,
    )
    return PageContext({one.use_case.name: Case(one, settings) for one in cases}, settings, auth)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def running_cases(settings: Settings) -> list[LoadedUseCase]:
    """Return the known use cases that have topics under the prefix.

    Use cases whose file cannot be loaded are left out.
    """
    loaded = []
    for name in known():
        try:
            loaded.append(load(name))
        except ConfigError:
            continue
    events = {names_of(one.use_case, settings)["events"]: one for one in loaded}
    async with TopicReader(list(events), settings) as reader:
        return [
            events[topic]
            for topic in sorted({partition.topic for partition in reader.topic_partitions})
        ]


def listening_socket(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on `port`; without one on `PORT`, else any free port."""
    if not host:
        raise ConfigError(
            "The page's --host is empty, which is every address of this machine.",
            hint="Give 127.0.0.1, or 0.0.0.0 if that is meant.",
        )
    for wanted in (PORT, 0) if port is None else (port,):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
            return listener
        except OSError as error:
            listener.close()
            failure = error
    where = host if port is None else f"{host} port {port}"
    raise Unavailable(
        f"The page cannot listen on {where}: {failure.strerror}. Give another --port or --host."
    )


async def serve(
    cases: Sequence[LoadedUseCase] | None,
    settings: Settings,
    host: str,
    port: int | None,
    announce: Callable[[PageAddress], None],
    monitored: bool = True,
) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` once the page listens.

    A monitor runs inside, unless `monitored` is False; beside another one it does no harm.
    """
    use_cases = await running_cases(settings) if cases is None else cases
    listener = listening_socket(host, port)
    at = int(listener.getsockname()[1])
    context = page_context(use_cases, settings, host, at)
    runner = web.AppRunner(
        application(context), access_log=None, shutdown_timeout=STOP_S_MAX, handle_signals=False
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        address = f"http://{f'[{host}]' if ':' in host else host}:{at}/"
        auth = context.auth
        generated = settings.riverrun_ops_password is None
        sign_in = f"{address}enter?token={auth.ticket}" if generated else None
        announce(PageAddress(address, sign_in, auth.secret if generated else None))
        async with running_monitor(use_cases if monitored else (), settings):
            await _until_stopped()
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running_monitor(
    cases: Sequence[LoadedUseCase], settings: Settings
) -> AsyncIterator[None]:
    """Run a monitor of these use cases; log if it fails, then the page reads the topics."""
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
    except Exception as error:  # the page works without its monitor
        log.error("monitor: %s: %s", type(error).__name__, error)


async def _until_stopped() -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    # Faust's threads may outlive its app; nothing here needs to wait for them.
    deadline = threading.Timer(END_S_MAX, os._exit, (0,))
    deadline.daemon = True
    deadline.start()


__all__ = ["PORT", "PageAddress", "is_loopback", "page_context", "running_monitor", "serve"]
