"""`riverrun ops`: the page for operations."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import webbrowser
from typing import Annotated

import orjson
import typer

from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix
from streams.cli.terminal import data, talk
from streams.loading import load
from streams.servers import running
from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(ops)


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

    Whoever acts needs the secret: RIVERRUN_OPS_PASSWORD, or the token in the address that is
    printed. A monitor keeps the figures live. Example: `riverrun ops flight_eta`
    """
    if importlib.util.find_spec("jinja2") is None:
        raise Misdeclared("The page is not installed.", mend="pip install 'riverrun[ops]'.")
    from streams.ops.opening import is_loopback, serve

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    cases = [load(name) for name in usecases] if usecases else None

    def tell(address: str, with_token: str | None) -> None:
        if json:
            shown = {"address": address, "sign_in": with_token}
            typer.echo(orjson.dumps(shown).decode())
        else:
            data.print(with_token or address, markup=False, soft_wrap=True)
            talk.print("Ctrl-C stops the page; nothing else stops with it.", markup=False)
        if not is_loopback(host):
            talk.print(
                "It speaks plain HTTP: put a proxy with TLS before it on any network that is not "
                "yours alone.",
                style="yellow",
            )
        if browse or (talk.is_terminal and has_display()):
            webbrowser.open(with_token or address)

    asyncio.run(serve(cases, settings, host, port, tell, monitor))


def has_display() -> bool:
    """Whether there is a desktop to open a browser on."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
