"""`riverrun tail`: the records of a topic as they are committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from streams.cli.shared.options import AsJson, Prefix, Reveal
from streams.cli.shared.terminal import as_json_line
from streams.config.settings import Settings
from streams.embedded.server_discovery import running
from streams.inspection.tail import filter_of, masked_row
from streams.inspection.tail import tail as matching_rows
from streams.operations.reveal import masking_for, owner_of


def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Such as flight_eta.predictions.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only records that match: field > 3 and other = UA; repeatable.",
        ),
    ] = None,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the records that exist already.")
    ] = False,
    end: Annotated[bool, typer.Option("--to-end", help="Stop at the present end.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after N records.")] = None,
    usecase: Annotated[
        str | None, typer.Option(help="The use case of the topic, if its name does not show it.")
    ] = None,
    reveal: Reveal = None,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Print the records of a topic as they are committed, one JSON object a line.

    A condition compares fields (= != < <= > >= in contains) and joins them by and, or, not and
    parentheses; a dot leads into a record, `key` is its key. With --json each comes with its key,
    headers and position. Example:
    `riverrun tail flight_eta.predictions --where "segment = UA and value<0" --limit 5`
    """
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    tests = [filter_of(text) for text in where or ()]
    owned = owner_of(topic, settings, usecase)
    masking = masking_for(owned.use_case, settings, why=reveal, subject=f"tail of {owned.topic}")
    rows = matching_rows(
        owned.topic,
        settings,
        tests,
        beginning=beginning,
        follow=not end,
        limit=limit,
        shown=lambda row: masked_row(row, owned.kind, masking),
    )
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_print(rows, json))


async def _print(rows: AsyncIterator[dict[str, Any]], json: bool) -> None:
    async for row in rows:
        as_json_line(row if json else row["value"])
