"""Which servers a command talks to: those of the settings, else the project's embedded ones."""

from __future__ import annotations

from collections.abc import Callable

from schemas.errors import Unavailable
from streams.embedded import Stack
from streams.settings import Settings


def running(settings: Settings) -> Settings:
    """The settings with addresses; raises `Unavailable` if no server was given or is started."""
    if settings.external:
        return settings
    found = Stack(settings.home).find()
    if found is None:
        raise Unavailable(
            f"No servers run for {settings.home}. Start them with `riverrun up`, or set "
            "KAFKA_BOOTSTRAP_SERVERS and REDIS_URL."
        )
    return settings.at(found.bootstrap_servers, found.redis_url)


def started(settings: Settings, progress: Callable[[str], None]) -> Settings:
    """The settings with addresses, the embedded servers started if there are no others."""
    if settings.external:
        return settings
    endpoints = Stack(settings.home).up(progress)
    return settings.at(endpoints.bootstrap_servers, endpoints.redis_url)
