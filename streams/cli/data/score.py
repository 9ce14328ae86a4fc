"""`riverrun score`: the stream's models on a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import ConfigError
from streams.cli.shared.option_groups import spread_options
from streams.cli.shared.options import Prefix, UseCaseName
from streams.cli.shared.recording_options import FormatOptions, print_report
from streams.cli.shared.terminal import as_json_line, talk
from streams.config.process_env import reexec_if_unsafe
from streams.config.settings import Settings
from streams.config.use_case_loader import check_has, load
from streams.embedded.server_discovery import running
from streams.recordings import events_of
from streams.topics.topic_admin import names_of, partitions_of

AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="POSITION",
        help="A time, or PARTITION/STEP as predictions have them. Default: now.",
    ),
]


@spread_options
def score(
    usecase: UseCaseName,
    file: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files or folders of events.")
    ],
    options: FormatOptions,
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
    from streams.offline.batch_scoring import WRITTEN, write
    from streams.offline.batch_scoring import score as score_events
    from streams.replay.archived_states import starts_of
    from streams.replay.past_states import Checkpoints, places_of

    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loaded = load(usecase)
    case, names = loaded.use_case, names_of(loaded.use_case, settings)
    if model is not None:
        check_has(case, model)
    if to is not None and to.suffix not in WRITTEN:
        raise ConfigError(f"{to} cannot be written.", hint=f"End it in {', '.join(WRITTEN)}.")
    events, report = events_of(case, file, options.format)
    print_report(report)

    async def work() -> Any:
        partitions = await partitions_of(case, settings)
        positions = await places_of(as_of, names["journal"], settings)
        starts = starts_of(loaded, settings)
        checkpoints = Checkpoints(loaded, settings, names, partitions, starts, newest=as_of is None)
        return await score_events(events, case, checkpoints, positions, partitions, model)

    done = asyncio.run(work())
    if to is None:
        for row in done.rows:
            as_json_line(row)
    else:
        write(done.rows, to)
    talk.print(f"{len(events) - done.refused:,} answered, {done.refused:,} refused")
    if done.refused:
        raise typer.Exit(1)
