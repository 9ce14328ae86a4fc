"""`riverrun repartition`: the same inputs on another number of partitions."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from time import monotonic
from typing import Annotated

import typer

from schemas.command_line import command_line
from streams.cli.shared.options import AsJson, Prefix, UseCaseName
from streams.cli.shared.progress import ProgressLine
from streams.cli.shared.terminal import as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded.server_discovery import running
from streams.operations.repartition import repartition as copy_inputs


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

    Events, outcomes and history are copied in the order of time, key by key; workers started on
    the new prefix predict and learn all of it again. Examples are learnt in another order, so
    predictions differ a little from the old ones; where each partition has models of its own, a
    lot. Commands are not copied. Stop the producers first, or copy before they move. What was set
    aside (`riverrun skip`) is left out. Example:
    `riverrun repartition flight_eta 8 --to p8.`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    use_case = load(usecase).use_case
    target = f"{settings.riverrun_topic_prefix}p{partitions}." if to is None else to
    moved = settings.model_copy(update={"riverrun_topic_prefix": target})
    progress, began = ProgressLine("records copied"), monotonic()
    copied = asyncio.run(copy_inputs(use_case, settings, moved, partitions, progress))
    progress.done()
    result = {"prefix": target, "partitions": partitions, **asdict(copied)}
    result["seconds"] = round(monotonic() - began, 1)
    if json:
        as_json(result)
        return
    data.print(
        f"{copied.events:,} events, {copied.outcomes:,} outcomes and {copied.history:,} history "
        f"records are on {target}{use_case.name}.*, {partitions} partitions each",
    )
    if copied.set_aside:
        listed = command_line("dead-letters", "list", usecase, "--class", "skipped")
        talk.print(f"left out: {copied.set_aside:,} that were set aside, see {listed}")
    talk.print("\nThen:", style="bold")
    moved_to = ("--prefix", target)
    for line in (
        f"{command_line('worker', usecase, *moved_to)}    # predicts and learns all of it again",
        f"{command_line('status', usecase, *moved_to)}    # until there is no lag",
        f"{command_line('history', usecase, '--acts')}    # promotions to repeat",
        f"producers: publish to {target}{use_case.name}.events and .outcomes from now on",
    ):
        talk.print(f"  {line}")
