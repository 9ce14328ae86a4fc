"""`riverrun drift`: what changed in features, predictions and errors."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streams.cli.shared.board_command import BoardAnswer, print_answer
from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Watch


def drift(
    usecase: UseCaseName,
    subject: Annotated[str | None, typer.Option(help="Only of this feature or model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest N.")] = 50,
    watch: Watch = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show changes of features, predictions and errors: before, now, and since when.

    Example: `riverrun drift flight_eta --limit 10`
    """
    from streams.cli.shared import text_tables
    from streams.monitor.store import event_queries, queries

    async def query(board: queries.Board) -> BoardAnswer:
        records = await event_queries.drift(board.source)
        changes = [each for each in records if subject in (None, each.subject)][-limit:]
        return BoardAnswer([asdict(change) for change in changes], [text_tables.drift(changes)])

    print_answer(usecase, prefix, json, watch, query)
