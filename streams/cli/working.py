"""`riverrun worker` and `riverrun status`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import asdict
from typing import Annotated, Any

import typer

from schemas.errors import RiverrunError
from streams.cli.options import AsJson, Prefix, UseCaseName, Watch
from streams.cli.repeating import again
from streams.cli.terminal import as_json, complain, data, talk
from streams.loading import Loaded, load
from streams.servers import running
from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(worker)
    app.command()(status)


def worker(
    usecase: UseCaseName,
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many processes.")] = 1,
    prefix: Prefix = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Of /livez, /readyz, /metrics: RIVERRUN_HTTP_PORT; 0: any."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Answer a use case's events and learn from its outcomes, until stopped.

    Start it as often as there are cores or machines; Kafka spreads the partitions. Ends cleanly on
    SIGTERM and Ctrl-C; a worker that is killed is started again at once.
    Example: `riverrun worker flight_eta --processes 2`
    """
    from streams.operating import group_of, operate, prepare
    from streams.processes import claim_instance, reexec_if_unsafe
    from streams.supervising import Supervisor

    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    if not verbose:
        # What a client retries by itself is no news; what it gives up on is raised.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    talk.print(f"worker of {loaded.use_case.name}, definition {loaded.definition}", markup=False)
    port = settings.riverrun_http_port if health_port is None else health_port
    partitions = prepare(loaded, settings)
    with ExitStack() as claims:
        group = group_of(loaded, settings)
        members = [claims.enter_context(claim_instance(group)) for _ in range(processes)]

        def work(n: int) -> int:
            at = port + n if port else 0
            try:
                return operate(
                    loaded, settings, partitions=partitions, member=members[n], health_port=at
                )
            except RiverrunError as error:
                return complain(error)

        raise typer.Exit(Supervisor(work, processes).run())


def status(
    usecase: UseCaseName, watch: Watch = False, prefix: Prefix = None, json: AsJson = False
) -> None:
    """Show a use case at a glance, and each partition: owner, state, lag, freshness, last error.

    Exit code 1 if a partition has no owner or is not live. Example:
    `riverrun status flight_eta --watch`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    with contextlib.suppress(KeyboardInterrupt):
        for told in again(lambda: asyncio.run(_told(loaded, settings)), watch):
            _show(told, json)
            if not watch and any(row["state"] != "live" for row in told["partitions"]):
                raise typer.Exit(1)


async def _told(loaded: Loaded, settings: Settings) -> dict[str, Any]:
    from streams import statuses
    from streams.monitor import views, workers
    from streams.monitor.opening import board_of

    async with board_of(loaded, settings) as board:
        overview = await views.overview(board)
        rows = await workers.partitions(board.source, board.count)
        told = await board.source.workers()
        partitions = statuses.partitions(deepcopy(told), board.count)
    return {"overview": overview, "workers": told, "rows": rows, "partitions": partitions}


def _show(told: dict[str, Any], json: bool) -> None:
    if json:
        rows = [asdict(row) for row in told["rows"]]
        as_json(told | {"overview": asdict(told["overview"]), "rows": rows})
        return
    from streams.cli import tables

    data.print(tables.overview(told["overview"]))
    data.print()
    data.print(tables.partitions(told["rows"]))
