"""`riverrun monitor`, and what it keeps: `metrics`, `drift`, `alerts`, with or without it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.errors import Misdeclared
from streams.cli.options import AsJson, Prefix, UseCaseName, UseCaseNames, Watch
from streams.cli.repeating import again
from streams.cli.terminal import as_json, data, talk
from streams.loading import Loaded, load
from streams.servers import running
from streams.settings import Settings

GROUPINGS = ("segment", "slice", "feature", "probability")
Answer = tuple[Any, list[Table], bool]
"""What --json prints, what people see, and whether all is well."""


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(monitor)
    app.command()(metrics)
    app.command()(drift)
    app.command()(alerts)


def monitor(
    usecases: UseCaseNames = None,
    prefix: Prefix = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Keep the figures that the page and the other commands show, and raise alerts.

    Runs until Ctrl-C or SIGTERM; `riverrun ops` has one inside. Several do no harm. Example:
    `riverrun monitor flight_eta`
    """
    from streams.monitor.agent import Monitor
    from streams.monitor.finding import found

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s: %(message)s")
    if not verbose:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = running(Settings.load(riverrun_topic_prefix=prefix))
    loadeds = [load(name) for name in usecases or ()] or _loadable(asyncio.run(found(settings)))
    talk.print(f"monitor of {', '.join(each.use_case.name for each in loadeds)}", markup=False)

    async def run() -> None:
        watching = Monitor(loadeds, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, watching.stop)
        await watching.run()

    asyncio.run(run())


def _loadable(names: Sequence[str]) -> list[Loaded]:
    # What has topics here may be another's, whose file is elsewhere.
    chosen = []
    for name in names:
        try:
            chosen.append(load(name))
        except Misdeclared as error:
            talk.print(f"{name} is left out: {error}", style="yellow", markup=False)
    if not chosen:
        raise Misdeclared("No use case is left to watch.", mend="Name one, or its file.")
    return chosen


def metrics(
    usecase: UseCaseName,
    segment: Annotated[str | None, typer.Option(help="Only this segment.")] = None,
    slice: Annotated[str | None, typer.Option(help="Only this slice, `name=value`.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="One row each: `segment` or `slice`, the worst first; `feature`, by importance; "
            "`probability`, against what came true."
        ),
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="The newest N windows.")] = 14,
    since: Annotated[str | None, typer.Option(help="Windows from this time on.")] = None,
    until: Annotated[str | None, typer.Option(help="Windows before this time.")] = None,
    watch: Watch = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show quality and KPI of what was served, the baseline and each model, window by window.

    All partitions are added up; `maturity` is the share that has its label. Example:
    `riverrun metrics flight_eta --by segment --last 7`
    """
    from streams.cli import tables
    from streams.monitor import reasons, views

    if by not in (None, *GROUPINGS):
        raise typer.BadParameter(f"--by takes {', '.join(GROUPINGS)}")
    times = {"since": _moment(since), "until": _moment(until)}

    async def look(board: views.Board) -> Answer:
        if by == "feature":
            moments = await reasons.importance(board)
            return [asdict(each) for each in moments], [tables.importance(moments)], True
        if by == "probability":
            bins = await reasons.calibration(board, segment=segment, slice=slice)
            return [asdict(bin) for bin in bins], [tables.calibration(bins)], True
        if by is not None:
            groups = await (views.segments if by == "segment" else views.slices)(board, last)
            return [asdict(group) for group in groups], [tables.groups(board, groups)], True
        found = await views.quality(board, segment=segment, slice=slice, **times)
        shown = found.points[-last:]
        told = asdict(found) | {"points": [asdict(point) for point in shown]}
        return told, [tables.windows(found, shown), tables.total(found)], True

    _answer(usecase, prefix, json, watch, look)


def drift(
    usecase: UseCaseName,
    subject: Annotated[str | None, typer.Option(help="Only of this feature or model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest N.")] = 50,
    watch: Watch = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show what changed in features, predictions and errors: what it was, what it is, since when.

    Example: `riverrun drift flight_eta --limit 10`
    """
    from streams.cli import tables
    from streams.monitor import changes, views

    async def look(board: views.Board) -> Answer:
        every = await changes.drift(board.source)
        found = [change for change in every if subject in (None, change.subject)][-limit:]
        return [asdict(change) for change in found], [tables.drift(found)], True

    _answer(usecase, prefix, json, watch, look)


def alerts(
    usecase: UseCaseName,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    watch: Watch = False,
    prefix: Prefix = None,
    json: AsJson = False,
) -> None:
    """Show what an operator should know: cause, since when, and the command that looks further.

    Exit code 1 while one is open. Alerts are raised by `riverrun monitor` (or `ops`). Example:
    `riverrun alerts flight_eta --all`
    """
    from streams.cli import tables
    from streams.monitor import changes, views

    async def look(board: views.Board) -> Answer:
        found = await changes.alerts(board.source, open_only=not everything)
        well = not any(alert.state == "open" for alert in found)
        return [asdict(alert) for alert in found], [tables.alerts(found)], well

    _answer(usecase, prefix, json, watch, look)


def _answer(
    usecase: str,
    prefix: str | None,
    json: bool,
    watch: bool,
    look: Callable[[Any], Awaitable[Answer]],
) -> None:
    settings, loaded = running(Settings.load(riverrun_topic_prefix=prefix)), load(usecase)
    with contextlib.suppress(KeyboardInterrupt):
        for told, shown, well in again(lambda: asyncio.run(_looked(loaded, settings, look)), watch):
            _show(told, shown, json)
            if not watch and not well:
                raise typer.Exit(1)


async def _looked(
    loaded: Loaded, settings: Settings, look: Callable[[Any], Awaitable[Answer]]
) -> Answer:
    from streams.monitor.opening import board_of

    async with board_of(loaded, settings) as board:
        return await look(board)


def _show(told: Any, shown: Sequence[Table], json: bool) -> None:
    if json:
        as_json(told)
        return
    for table in shown:
        data.print(table)


def _moment(text: str | None) -> str | None:
    from datetime import datetime

    try:
        return text if text is None else datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise Misdeclared(
            f"{text!r} is no time.", mend="Write 2024-05-01 or 2024-05-01T08:00."
        ) from None
