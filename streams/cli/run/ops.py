"""`riverrun ops`: the page for operations."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import webbrowser
from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from schemas.errors import ConfigError
from streams.cli.shared.options import AsJson, Prefix
from streams.cli.shared.terminal import data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.telemetry.log_format import configure


def ops(
    usecases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[USECASE]...", help="Default: all whose topics are there."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Default: 8088, or else a free one.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where it listens. Beyond loopback reading needs the secret, too.")
    ] = "127.0.0.1",
    monitor: Annotated[
        bool, typer.Option(help="With a monitor inside; `--no-monitor` where one runs elsewhere.")
    ] = True,
    browse: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Serve the page for operations until stopped: is it working, right, worth it, what changed?

    Actions need a sign-in: with RIVERRUN_OPS_PASSWORD, with the printed address (once), or with the
    secret printed beside it. A monitor keeps the figures live. Example: `riverrun ops flight_eta`
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError("The page is not installed.", hint="pip install 'riverrun[ops]'.")
    from streams.web.app import PageAddress, is_loopback, serve

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    configure(settings)
    cases = [load(name) for name in usecases] if usecases else None

    def on_ready(page: PageAddress) -> None:
        if json:
            typer.echo(orjson.dumps(asdict(page)).decode())
        else:
            data.print(page.sign_in or page.address, soft_wrap=True)
            if page.secret is not None:
                talk.print(f"That address signs in once; the secret is {page.secret}")
            talk.print("Ctrl-C stops the page; nothing else stops with it.")
        if not is_loopback(host):
            talk.print(
                "The page is served over plain HTTP: on a shared network, put a TLS proxy in front "
                "of it.",
                style="yellow",
            )
        if browse or (talk.is_terminal and has_display()):
            webbrowser.open(page.sign_in or page.address)

    asyncio.run(serve(cases, settings, host, port, on_ready, monitor))


def has_display() -> bool:
    """Return whether there is a desktop to open a browser on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
