"""Lines of scores over time, and the small multiples of segments and slices, the worst first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streams.monitor.store import queries
from streams.monitor.store.queries import Board
from streams.monitor.store.view_models import Group, Quality
from streams.web.render.chart import Chart, Series
from streams.web.render.formatting import number, seconds_of
from streams.web.state.page_model import Case


async def small_multiples(case: Case, board: Board, groups: Sequence[Group]) -> list[Chart]:
    """Return one small chart for each segment or slice, in their order."""
    qualities = await asyncio.gather(
        *(queries.quality(board, segment=g.segment, slice=g.slice) for g in groups)
    )
    charts = []
    for index, (group, quality) in enumerate(zip(groups, qualities, strict=True)):
        two = lines_of(quality, "value", only=("served", "baseline"))
        charts.append(
            Chart(
                id=f"group{index}",
                title=group.name,
                caption=_gap(group, quality.metric),
                x=[float(seconds_of(point.start) or 0) for point in quality.points],
                series=two,
                group="time",
                height=120,
                command=case.command("metrics", case.file, *group_options(quality)),
            )
        )
    return charts


def _gap(group: Group, metric: str) -> str:
    served = f"{metric} {number(group.served.value)} from {number(group.served.n)} outcomes"
    if group.gap is None:
        return served
    side = "worse" if group.gap > 0 else "better"
    return f"{served}; {number(abs(group.gap))} {side} than overall."


def lines_of(
    quality: Quality, name: str, *, banded: bool = False, only: Sequence[str] | None = None
) -> list[Series]:
    """Return one line for each model; with `banded` the interval of what was served."""
    lines = []
    others = [model for model in quality.models if model not in ("served", "baseline")]
    for model in quality.models if only is None else only:
        scores = [point.scores.get(model) for point in quality.points]
        series = Series(
            model,
            [None if score is None else getattr(score, name) for score in scores],
            tone=f"m{others.index(model) % 6}" if model in others else model,
            dashed=model == "baseline",
            bold=model == "served" and bool(others) and only is None,
        )
        if banded and model == "served":
            series.low = [None if s is None else s.lower for s in scores]
            series.high = [None if s is None else s.upper for s in scores]
        lines.append(series)
    return lines


def group_options(quality: Quality) -> tuple[str, ...]:
    """Return the options of `riverrun metrics` for the same group."""
    group: tuple[str, ...] = ()
    if quality.segment is not None:
        group = ("--segment", quality.segment)
    elif quality.slice is not None:
        group = ("--slice", quality.slice)
    return (*group, "--last", str(max(len(quality.points), 1)))
