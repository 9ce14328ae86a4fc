"""The common part of the commands that query a use case's board: `metrics`, `drift`, `alerts`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import typer

from streams.cli.shared.terminal import TerminalTable, as_json, data
from streams.cli.shared.watch_option import again
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded.server_discovery import running


@dataclass(frozen=True, slots=True)
class BoardAnswer:
    """The result of a query: `document` for --json, tables for people."""

    document: Any
    tables: list[TerminalTable]
    ok: bool = True


def print_answer(
    usecase: str,
    prefix: str | None,
    json: bool,
    watch: bool,
    query: Callable[[Any], Awaitable[BoardAnswer]],
) -> None:
    """Query the board and print the answer, once or repeatedly; exit code 1 if it is not ok."""
    settings, loaded = running(Settings.load(riverrun_topic_prefix=prefix)), load(usecase)
    with contextlib.suppress(KeyboardInterrupt):
        for answer in again(lambda: asyncio.run(_queried(loaded, settings, query)), watch):
            if json:
                as_json(answer.document)
            else:
                for table in answer.tables:
                    data.print(table)
            if not watch and not answer.ok:
                raise typer.Exit(1)


async def _queried(
    loaded: LoadedUseCase, settings: Settings, query: Callable[[Any], Awaitable[BoardAnswer]]
) -> BoardAnswer:
    from streams.monitor.store.board import board_of

    async with board_of(loaded, settings) as board:
        return await query(board)
