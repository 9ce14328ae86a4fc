"""`riverrun metrics`: quality and KPI, window by window."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from schemas.errors import ConfigError
from streams.cli.shared.board_command import BoardAnswer, print_answer
from streams.cli.shared.options import AsJson, Prefix, UseCaseName, Watch

GROUPINGS = ("segment", "slice", "feature", "probability")


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
    from streams.cli.shared import text_tables
    from streams.monitor.store import model_quality_queries, queries

    if by not in (None, *GROUPINGS):
        raise typer.BadParameter(f"--by takes {', '.join(GROUPINGS)}")
    times = {"since": _iso_time(since), "until": _iso_time(until)}

    async def query(board: queries.Board) -> BoardAnswer:
        if by == "feature":
            windows = await model_quality_queries.importance(board)
            return BoardAnswer(
                [asdict(window) for window in windows], [text_tables.importance(windows)]
            )
        if by == "probability":
            bins = await model_quality_queries.calibration(board, segment=segment, slice=slice)
            return BoardAnswer([asdict(bin) for bin in bins], [text_tables.calibration(bins)])
        if by is not None:
            groups = await (queries.segments if by == "segment" else queries.slices)(board, last)
            return BoardAnswer(
                [asdict(group) for group in groups], [text_tables.groups(board, groups)]
            )
        quality = await queries.quality(board, segment=segment, slice=slice, **times)
        points = quality.points[-last:]
        document = asdict(quality) | {"points": [asdict(point) for point in points]}
        return BoardAnswer(
            document, [text_tables.windows(quality, points), text_tables.total(quality)]
        )

    print_answer(usecase, prefix, json, watch, query)


def _iso_time(text: str | None) -> str | None:
    try:
        return text if text is None else datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(
            f"{text!r} is not a time.", hint="Write 2024-05-01 or 2024-05-01T08:00."
        ) from None
