"""`riverrun up` and `down`: the embedded servers."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from streams.cli.shared.options import AsJson
from streams.cli.shared.terminal import as_json, data, talk
from streams.config.settings import Settings
from streams.embedded.server_discovery import stack


def up(json: AsJson = False) -> None:
    """Start the embedded Kafka and Redis, or report those that run already.

    Example: `riverrun up`
    """
    settings = Settings.load()
    if settings.external:
        talk.print("KAFKA_BOOTSTRAP_SERVERS and REDIS_URL are set: those servers are used.")
        addresses: dict[str, Any] = {"kafka": settings.kafka_bootstrap_servers, "started": False}
    else:
        servers = stack(settings)
        from streams.embedded.stack import CLIENTS

        endpoints = servers.up(lambda text: talk.print(text))
        # A script gets the address as clients take it, a terminal where the password is.
        url = urlsplit(endpoints.redis_url)
        shown = f"{url.scheme}://{url.hostname}:{url.port}{url.path}"
        addresses = {
            "kafka": endpoints.bootstrap_servers,
            "redis": endpoints.redis_url if json else shown,
            "started": endpoints.started,
            "home": str(settings.home),
            "clients": str(settings.home / CLIENTS),
        }
    if json:
        as_json(addresses)
    else:
        for name, value in addresses.items():
            data.print(f"{name:8} {value}")


def down(
    purge: Annotated[bool, typer.Option("--purge", help="Also remove all their data.")] = False,
) -> None:
    """Stop the embedded servers.

    Example: `riverrun down --purge`
    """
    settings = Settings.load()
    stopped = stack(settings).down(purge, lambda text: talk.print(text))
    for name in stopped:
        data.print(f"stopped {name}")
    if not stopped:
        talk.print("nothing was running")
