"""Lines of scores over time, and the small multiples of segments and slices, the worst first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from streams.monitor import views
from streams.monitor.figures import Group, Quality
from streams.monitor.views import Board
from streams.ops.charts import Chart, Series
from streams.ops.scene import Case
from streams.ops.writing import number, seconds_of


async def small_multiples(case: Case, board: Board, groups: Sequence[Group]) -> list[Chart]:
    """One small chart a segment or slice, as they come: the worst first."""
    found = await asyncio.gather(
        *(views.quality(board, segment=g.segment, slice=g.slice) for g in groups)
    )
    charts = []
    for place, (group, quality) in enumerate(zip(groups, found, strict=True)):
        two = lines_of(quality, "value", only=("served", "baseline"))
        charts.append(
            Chart(
                id=f"group{place}",
                title=group.name,
                say=_gap(group, quality.metric),
                x=[float(seconds_of(point.start) or 0) for point in quality.points],
                series=two,
                group="time",
                height=120,
                command=case.command("metrics", case.file, *group_words(quality)),
            )
        )
    return charts


def _gap(group: Group, metric: str) -> str:
    served = f"{metric} {number(group.served.value)} from {number(group.served.n)} outcomes"
    if group.gap is None:
        return served
    side = "worse" if group.gap > 0 else "better"
    return f"{served}; {number(abs(group.gap))} {side} than all."


def lines_of(
    found: Quality, name: str, *, banded: bool = False, only: Sequence[str] | None = None
) -> list[Series]:
    """A line for what was served, the baseline dashed, one for each model."""
    lines = []
    others = [model for model in found.models if model not in ("served", "baseline")]
    for model in found.models if only is None else only:
        scores = [point.scores.get(model) for point in found.points]
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


def group_words(found: Quality) -> tuple[str, ...]:
    """The options of `riverrun metrics` for the same group."""
    group: tuple[str, ...] = ()
    if found.segment is not None:
        group = ("--segment", found.segment)
    elif found.slice is not None:
        group = ("--slice", found.slice)
    return (*group, "--last", str(max(len(found.points), 1)))
