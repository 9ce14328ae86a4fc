"""`riverrun worker` and `riverrun status`."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer
from rich.table import Table

from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
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
        int, typer.Option(help="Port of /livez, /readyz and /metrics; 0 takes a free one.")
    ] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Answer a use case's events and learn from its outcomes, until stopped.

    Start it as often as there are cores or machines; Kafka spreads the partitions. Ends cleanly on
    SIGTERM and Ctrl-C. Example: `riverrun worker flight_eta --processes 2`
    """
    from streams.operating import operate
    from streams.processes import reexec_if_unsafe, run_processes

    arguments = ["-m", "streams.cli", "worker", usecase]
    if prefix is not None:
        arguments += ["--prefix", prefix]
    arguments += ["--verbose"] if verbose else []
    if processes > 1:
        raise typer.Exit(run_processes(arguments, processes))
    reexec_if_unsafe([*arguments, "--health-port", str(health_port)])
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    if not verbose:
        # What a client retries by itself is no news; what it gives up on is raised.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    talk.print(f"worker of {loaded.use_case.name}, definition {loaded.definition}", markup=False)
    raise typer.Exit(operate(loaded, settings, health_port=health_port))


def status(usecase: UseCaseName, prefix: Prefix = None, json: AsJson = False) -> None:
    """Show each partition: who owns it, its state, lag, what it learnt, its last error.

    Exit code 1 if a partition has no owner or is not live. Example: `riverrun status flight_eta`
    """
    from streams import statuses
    from streams.operating import group_of
    from streams.topics import partitions_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    workers = asyncio.run(statuses.workers(group_of(loaded, settings), settings))
    count = asyncio.run(partitions_of(loaded.use_case, settings))
    rows = statuses.partitions(workers, count)
    if json:
        as_json({"workers": workers, "partitions": rows})
    else:
        table = Table("partition", "state", "owner", "lag", "events", "learnt", "error", box=None)
        for row in rows:
            table.add_row(*(str(row.get(c, "")) for c in statuses.COLUMNS))
        data.print(table)
    if any(row["state"] != "live" for row in rows):
        raise typer.Exit(1)
