"""One use case: what it is worth and how good it is over time, where it is worst, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from models.kinds import BETTER
from streams.monitor import changes, views
from streams.monitor.figures import Change, DelayPoint, Drifted, Group, Quality
from streams.monitor.views import Board
from streams.ops.boards import unreachable
from streams.ops.charts import Chart, Mark, Rule, Series, Shade
from streams.ops.desk import Desk
from streams.ops.gaining import gained
from streams.ops.overview import row_of
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import money, number, percent, seconds_of, span

MATURE = 0.9
"""A window in which less than this share of the predictions has its outcome is shaded."""

GROUPS_SHOWN = 8
MARKS_MAX = 60


async def view(desk: Desk, ask: Ask) -> Scene:
    """The whole use case, or the segment or slice that is asked for."""
    case = ask.case
    assert case is not None
    segment, slice = ask.text("segment") or None, ask.text("slice") or None
    opened = await desk.board(case)
    board = opened.board
    try:
        found = await views.quality(board, segment=segment, slice=slice)
        segments, slices = await views.segments(board), await views.slices(board)
        marks = marks_of(await changes.lifecycle(board.source), await changes.drift(board.source))
        delays = await changes.delays(board.source, board.count, segment)
        groups = () if segment or slice else (segments + slices)
        worst = await _small(case, board, groups[: None if "all" in ask.query else GROUPS_SHOWN])
    except (RedisError, OSError) as error:
        raise unreachable(case, error) from error
    charts = [*over_time(case, found, marks), delay_curve(case, delays), *worst]
    facts: dict[str, Any] = {
        "row": await row_of(desk, case),
        "quality": found,
        "segment": segment,
        "slice": slice,
        "segments": segments,
        "slices": slices,
        "groups": groups,
        "all": "all" in ask.query,
        "worst": [chart.id for chart in worst],
    }
    return Scene("value.html", case.name, facts, charts)


def over_time(case: Case, found: Quality, marks: list[Mark]) -> list[Chart]:
    """What changes with event time, under one zoom."""
    x = [float(seconds_of(point.start) or 0) for point in found.points]
    shades = _unripe(found, x)
    command = case.command("metrics", case.file, *_group_words(found))
    shared: dict[str, Any] = {"x": x, "group": "time", "command": command}
    kpi = Chart(
        id="kpi",
        title=f"Cost of an answer, {found.kpi_unit} an event",
        say=_kpi_words(found),
        series=_lines(found, "kpi"),
        unit=found.kpi_unit,
        marks=marks,
        shades=shades,
        **shared,
    )
    metric = Chart(
        id="quality",
        title=f"Quality: {found.metric}, {_better(found)} is better",
        say="The shaded band is the 95 % interval of what was served.",
        series=_lines(found, "value", banded=True),
        marks=marks,
        shades=shades,
        rules=[Rule(b, f"target {b:g}", "good") for n, b in _targets(case) if n == found.metric],
        **shared,
    )
    volume = Chart(
        id="volume",
        title="Volume",
        say="Predictions and, of those, how many have their outcome by now.",
        series=[
            Series("predictions", [p.predictions for p in found.points], "bars", "quiet"),
            Series("outcomes", [p.outcomes for p in found.points], "bars", "served"),
        ],
        height=150,
        **shared,
    )
    return [gained(case, found), kpi, metric, volume, *_coverage(case, found, shared)]


def _coverage(case: Case, found: Quality, shared: dict[str, Any]) -> list[Chart]:
    if found.level is None:
        return []
    served = [point.scores.get("served") for point in found.points]
    return [
        Chart(
            id="coverage",
            title="Do intervals hold what they promise?",
            say=f"Share of outcomes inside the interval; {percent(found.level, 0)} is promised.",
            series=[Series("held", [_percent(s.coverage) if s else None for s in served])],
            unit="%",
            rules=[Rule(100 * found.level, f"promised {percent(found.level, 0)}", "good")],
            **shared,
        ),
        Chart(
            id="width",
            title="How wide intervals are",
            series=[Series("mean width", [s.width if s else None for s in served])],
            zero=True,
            **shared,
        ),
    ]


def delay_curve(case: Case, delays: Sequence[DelayPoint]) -> Chart:
    """How long labels take."""
    reached = [point for point in delays if point.at_risk]
    half = next((point.age_s for point in reached if point.labelled >= 0.5), None)
    return Chart(
        id="delays",
        title="How long outcomes take",
        say="" if half is None else f"Half of them are there within {span(half)}.",
        x=[point.age_s for point in reached],
        series=[Series("share with an outcome", [_percent(p.labelled) for p in reached], "step")],
        scale="log",
        unit="%",
        x_name="age [s]",
        zero=True,
        command=case.command("metrics", case.file, "--json"),
    )


async def _small(case: Case, board: Board, groups: Sequence[Group]) -> list[Chart]:
    """One small chart a segment or slice, as they come: the worst first."""
    found = await asyncio.gather(
        *(views.quality(board, segment=g.segment, slice=g.slice) for g in groups)
    )
    charts = []
    for place, (group, quality) in enumerate(zip(groups, found, strict=True)):
        lines = [
            series for series in _lines(quality, "value") if series.name in ("served", "baseline")
        ]
        charts.append(
            Chart(
                id=f"group{place}",
                title=group.name,
                say=_gap(group, quality.metric),
                x=[float(seconds_of(point.start) or 0) for point in quality.points],
                series=lines,
                group="time",
                height=120,
                command=case.command("metrics", case.file, *_group_words(quality)),
            )
        )
    return charts


def _gap(group: Group, metric: str) -> str:
    served = f"{metric} {number(group.served.value)} from {number(group.served.n)} outcomes"
    if group.gap is None:
        return served
    side = "worse" if group.gap > 0 else "better"
    return f"{served}; {number(abs(group.gap))} {side} than all."


def _lines(found: Quality, name: str, *, banded: bool = False) -> list[Series]:
    """A line for what was served, the baseline dashed, one for each model."""
    lines = []
    others = [model for model in found.models if model not in ("served", "baseline")]
    for model in found.models:
        scores = [point.scores.get(model) for point in found.points]
        series = Series(
            model,
            [None if score is None else getattr(score, name) for score in scores],
            tone=f"m{others.index(model) % 6}" if model in others else model,
            dashed=model == "baseline",
            bold=model == "served" and bool(others),
        )
        if banded and model == "served":
            series.low = [None if s is None else s.lower for s in scores]
            series.high = [None if s is None else s.upper for s in scores]
        lines.append(series)
    return lines


def _unripe(found: Quality, x: list[float]) -> list[Shade]:
    """The stretch of newest windows whose outcomes are still due."""
    first = None
    for point, at in zip(reversed(found.points), reversed(x), strict=True):
        if point.maturity is not None and point.maturity >= MATURE:
            break
        first = at
    if first is None or not found.points:
        return []
    return [Shade(first, x[-1] + found.points[-1].window_s, "outcomes still due")]


def marks_of(lifecycle: Sequence[Change], drift: Sequence[Drifted]) -> list[Mark]:
    """What happened, at its event time: changes of models and definitions, and drift."""
    marks = []
    for change in lifecycle:
        at = seconds_of(change.event_time)
        if at is not None and change.segment is None and change.cause != "definition":
            tone = "bad" if change.cause == "safeguard" else "served"
            words = f"{change.model} → {change.to_state} ({change.cause}, {change.who})"
            marks.append(Mark(at, f"{words}: {change.why}"[:160], tone))
    for drifted in drift:
        at = seconds_of(drifted.since)
        if at is not None:
            words = f"drift of {drifted.subject}: {drifted.was} → {drifted.now}"
            marks.append(Mark(at, words[:160], "warn"))
    return sorted(marks, key=lambda mark: mark.x)[-MARKS_MAX:]


def _kpi_words(found: Quality) -> str:
    served, baseline = found.total.get("served"), found.total.get("baseline")
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return ""
    mine, other = money(served.kpi, found.kpi_unit), money(baseline.kpi, found.kpi_unit)
    return f"Over all that is kept: {mine} served, {other} with the baseline."


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _better(found: Quality) -> str:
    return BETTER[found.metric]


def _targets(case: Case) -> list[tuple[str, float]]:
    return list(case.use_case.targets.items())


def _group_words(found: Quality) -> tuple[str, ...]:
    if found.segment is not None:
        return ("--segment", found.segment)
    return ("--slice", found.slice) if found.slice is not None else ()
