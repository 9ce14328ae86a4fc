"""`riverrun worker`: answer events and learn from outcomes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.shared.options import Prefix, WorkingUseCases
from streams.cli.shared.terminal import complain, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.telemetry.log_format import configure


def worker(
    usecases: WorkingUseCases,
    processes: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes for each use case.")
    ] = 1,
    prefix: Prefix = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Of /livez, /readyz, /metrics: RIVERRUN_HTTP_PORT; 0: any."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Answer events of use cases and learn from their outcomes, until stopped.

    Start it as often as there are cores or machines; Kafka spreads the partitions. Ends cleanly on
    SIGTERM and Ctrl-C; a worker that is killed is started again at once. Several use cases share
    the memory of common code, and nothing else. Example: `riverrun worker flight_eta --processes 2`
    """
    from streams.config.process_env import reexec_if_unsafe
    from streams.worker.several_use_cases import SeveralUseCases

    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    configure(settings, verbose=verbose)
    loaded = [load(name) for name in usecases]
    names = [one.use_case.name for one in loaded]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"{twice[0]} is named twice.",
            hint="`--processes` is how many processes work on each use case.",
        )
    for one in loaded:
        talk.print(f"worker of {one.use_case.name}, definition {one.definition}")
    port = settings.riverrun_http_port if health_port is None else health_port
    raise typer.Exit(SeveralUseCases(settings, port, complain).run(loaded, processes))
