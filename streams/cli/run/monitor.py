"""`riverrun monitor`: watch use cases and raise alerts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.shared.options import Prefix, UseCaseNames
from streams.cli.shared.terminal import talk
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded.server_discovery import running
from streams.telemetry.log_format import configure


def monitor(
    usecases: UseCaseNames = None,
    prefix: Prefix = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Keep the figures that the page and the other commands show, and raise alerts.

    Runs until Ctrl-C or SIGTERM; `riverrun ops` has one inside. Several do no harm. Example:
    `riverrun monitor flight_eta`
    """
    from streams.monitor.agent import Monitor
    from streams.monitor.store.use_case_discovery import use_case_names

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    configure(settings, verbose=verbose)
    use_cases = [load(name) for name in usecases or ()] or loadable(
        asyncio.run(use_case_names(settings))
    )
    talk.print(f"monitor of {', '.join(each.use_case.name for each in use_cases)}")

    async def run() -> None:
        monitor = Monitor(use_cases, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, monitor.stop)
        await monitor.run()

    asyncio.run(run())


def loadable(names: Sequence[str]) -> list[LoadedUseCase]:
    """Return the use cases whose files are here, and name the others on stderr."""
    # What has topics here may be another's, whose file is elsewhere.
    use_cases = []
    for name in names:
        try:
            use_cases.append(load(name))
        except ConfigError as error:
            talk.print(f"{name} is left out: {error}", style="yellow")
    if not use_cases:
        raise ConfigError("There is no use case to watch.", hint="Name one, or its file.")
    return use_cases
