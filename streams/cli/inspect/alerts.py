"""`riverrun alerts`: open alerts, and closed ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streams.cli.shared.board_command import BoardAnswer, print_answer
from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Watch


def alerts(
    usecase: UseCaseName,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    watch: Watch = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show open alerts: cause, since when, and the command that shows more.

    Exit code 1 while one is open. Alerts are raised by `riverrun monitor` (or `ops`). Example:
    `riverrun alerts flight_eta --all`
    """
    from streams.cli.shared import text_tables
    from streams.monitor.store import event_queries, queries

    async def query(board: queries.Board) -> BoardAnswer:
        rows = await event_queries.alerts(board.source, open_only=not everything)
        ok = all(alert.state != "open" for alert in rows)
        return BoardAnswer([asdict(alert) for alert in rows], [text_tables.alerts(rows)], ok)

    print_answer(usecase, prefix, json, watch, query)
