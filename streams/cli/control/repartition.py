"""`riverrun repartition`: the same inputs on another number of partitions."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from time import monotonic
from typing import Annotated

import typer

from streams.cli.options import AsJson, Prefix, UseCaseName
from streams.cli.progress import Progress
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.repartitioning import repartition as copy
from streams.servers import running
from streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this file's command."""
    app.command()(repartition)


def repartition(
    usecase: UseCaseName,
    partitions: Annotated[int, typer.Argument(metavar="N", min=1, help="How many partitions.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="PREFIX", help="Prefix of the new topics.")
    ] = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Replay a use case into a new set of topics with another number of partitions.

    Events, outcomes and history are copied in the order of time, key by key; workers that are
    started on the new prefix answer and learn all of it anew. Each partition has its own models, so
    predictions differ from the old ones. Commands are not copied. Stop the producers first, or copy
    before they move. Example: `riverrun repartition flight_eta 8 --to p8.`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    target = f"{settings.riverrun_topic_prefix}p{partitions}." if to is None else to
    moved = settings.model_copy(update={"riverrun_topic_prefix": target})
    progress, began = Progress("records copied"), monotonic()
    copied = asyncio.run(copy(use_case, settings, moved, partitions, progress))
    progress.done()
    result = {"prefix": target, "partitions": partitions, **asdict(copied)}
    result["seconds"] = round(monotonic() - began, 1)
    if json:
        as_json(result)
        return
    data.print(
        f"{copied.events:,} events, {copied.outcomes:,} outcomes and {copied.history:,} history "
        f"records are on {target}{use_case.name}.*, {partitions} partitions each",
        markup=False,
    )
    talk.print("\nThen:", style="bold")
    for line in (
        f"riverrun worker {usecase} --prefix {target}    # answers and learns all of it anew",
        f"riverrun status {usecase} --prefix {target}    # until there is no lag",
        f"riverrun history {usecase} --acts    # promotions to be given again",
        f"producers: publish to {target}{use_case.name}.events and .outcomes from now on",
    ):
        talk.print(f"  {line}", markup=False)
