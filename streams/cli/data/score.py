"""`riverrun score`: the stream's models on a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from schemas.errors import Misdeclared
from streams.cli.options import Prefix, UseCaseName
from streams.cli.terminal import talk
from streams.loading import check_has, load
from streams.processes import reexec_if_unsafe
from streams.servers import running
from streams.settings import Settings
from streams.topics import names_of, partitions_of

AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE", help="A time, or PARTITION/STEP as predictions have them. Default: now."
    ),
]


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(score)


def score(
    usecase: UseCaseName,
    file: Annotated[Path, typer.Argument(help="Events: .parquet, .csv, .jsonl, .json.")],
    model: Annotated[
        str | None, typer.Option(help="Only this model answers. Default: who answers the stream.")
    ] = None,
    as_of: AsOf = None,
    to: Annotated[
        Path | None, typer.Option(help="A .parquet, .csv or .jsonl file. Default: stdout, JSON.")
    ] = None,
    prefix: Prefix = None,
) -> None:
    """Answer the events of a file as the stream would, by its definition and its models.

    Nothing is learnt or published; the floats are the stream's own. Exit code 1 if some could not
    be answered: they have an `error`. Example:
    `riverrun score flight_eta departures.csv --to scored.parquet`
    """
    reexec_if_unsafe(["-m", "streams.cli", *sys.argv[1:]])
    from streams.batch_scoring import WRITTEN, events_of, write
    from streams.batch_scoring import score as answered
    from streams.places import Historian, places_of
    from streams.starting import starts_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    if model is not None:
        check_has(case, model)
    if to is not None and to.suffix not in WRITTEN:
        raise Misdeclared(f"{to} cannot be written.", mend=f"End it in {', '.join(WRITTEN)}.")
    if not file.is_file():
        raise Misdeclared(f"There is no file {file}.", mend="Give a file of events.")
    events = events_of(file, case)

    async def work() -> Any:
        partitions = await partitions_of(case, settings)
        places = await places_of(as_of, names["journal"], settings)
        historian = Historian(loaded, settings, names, partitions, starts_of(loaded, settings))
        return await answered(events, case, historian, places, partitions, model)

    done = asyncio.run(work())
    if to is None:
        for row in done.rows:
            sys.stdout.write(orjson.dumps(row).decode() + "\n")
    else:
        write(done.rows, to)
    talk.print(f"{len(events) - done.refused:,} answered, {done.refused:,} refused")
    if done.refused:
        raise typer.Exit(1)
