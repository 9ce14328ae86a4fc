"""One use case: its worth and quality over time, its worst groups, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.spec.problem_types import BETTER
from streams.monitor.store import event_queries, model_quality_queries, queries
from streams.monitor.store.board import redis_errors
from streams.monitor.store.view_models import DelayPoint, DriftRow, Quality, Restart, StateChange
from streams.web.charts.calibration_chart import (
    class_calibration,
    regression_calibration,
    sample_groups,
)
from streams.web.charts.gain_chart import gain_chart
from streams.web.charts.importance_chart import importance_chart
from streams.web.charts.score_lines import group_options, lines_of, small_multiples
from streams.web.render.chart import Chart, Mark, ReferenceLine, Series, Shade
from streams.web.render.formatting import money, percent, seconds_of, span
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest
from streams.web.views.overview import overview_row

MATURE = 0.9
"""Windows in which a smaller share of the predictions has its outcome are shaded."""

GROUPS_SHOWN = 8
MARKS_MAX = 60
RESTART_GAP_S = 10.0
"""Recoveries within so many seconds are one restart."""


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return the whole use case, or the requested segment or slice."""
    case = view_request.case
    segment, slice = view_request.text("segment") or None, view_request.text("slice") or None
    opened = await context.board(case)
    board = opened.board
    with redis_errors(case.settings):
        quality = await queries.quality(board, segment=segment, slice=slice)
        segments, slices = await queries.segments(board), await queries.slices(board)
        marks = event_marks(
            await event_queries.lifecycle(board.source),
            await event_queries.drift(board.source),
            await event_queries.restarts(board.source),
        )
        importance = () if segment or slice else await model_quality_queries.importance(board)
        bins = await model_quality_queries.calibration(board, segment=segment, slice=slice)
        delays = await event_queries.delays(board.source, board.count, segment)
        groups = () if segment or slice else (segments + slices)
        small = await small_multiples(
            case, board, groups[: None if "all" in view_request.query else GROUPS_SHOWN]
        )
    charts = [*time_charts(case, quality, marks), delay_chart(case, delays), *small]
    if case.use_case.kind == "regression" and not segment and not slice:
        cached = context.sample_cache.latest(("sampled", case.name), lambda: sample_groups(case))
        charts.append(regression_calibration(case, cached.answer or []))
    elif case.use_case.kind != "regression":
        charts.append(class_calibration(case, bins))
    if importance:
        charts.append(importance_chart(case, importance))
    facts: dict[str, Any] = {
        "row": await overview_row(context, case),
        "quality": quality,
        "segment": segment,
        "slice": slice,
        "segments": segments,
        "slices": slices,
        "groups": groups,
        "all": "all" in view_request.query,
        "worst": [chart.id for chart in small],
    }
    return PageModel("use_case.html", case.name, facts, charts)


def time_charts(case: Case, quality: Quality, marks: list[Mark]) -> list[Chart]:
    """Return the charts over event time, which zoom together."""
    x = [float(seconds_of(point.start) or 0) for point in quality.points]
    shades = _immature(quality, x)
    command = case.command("metrics", case.file, *group_options(quality))
    shared: dict[str, Any] = {"x": x, "group": "time", "command": command}
    kpi = Chart(
        id="kpi",
        title=f"{_kpi_verb(quality)} a prediction, {quality.kpi_unit}",
        caption=_kpi_caption(quality),
        series=lines_of(quality, "kpi"),
        unit=quality.kpi_unit,
        marks=marks,
        shades=shades,
        **shared,
    )
    metric = Chart(
        id="quality",
        title=f"Quality: {quality.metric}, {_better(quality)} is better",
        caption="The shaded band is the 95 % interval of the served predictions.",
        series=lines_of(quality, "value", banded=True),
        marks=marks,
        shades=shades,
        rules=[
            ReferenceLine(b, f"target {b:g}", "good")
            for n, b in _targets(case)
            if n == quality.metric
        ],
        **shared,
    )
    volume = Chart(
        id="volume",
        title="Volume",
        caption="Predictions, and those that have their outcome by now.",
        series=[
            Series("predictions", [p.predictions for p in quality.points], "bars", "quiet"),
            Series("outcomes", [p.outcomes for p in quality.points], "bars", "served"),
        ],
        height=150,
        **shared,
    )
    return [gain_chart(case, quality), kpi, metric, volume, *_coverage(quality, shared)]


def _coverage(quality: Quality, shared: dict[str, Any]) -> list[Chart]:
    if quality.level is None:
        return []
    served = [point.scores.get("served") for point in quality.points]
    return [
        Chart(
            id="coverage",
            title="Interval coverage",
            caption=f"Share of outcomes in the interval; {percent(quality.level, 0)} is declared.",
            series=[Series("coverage", [_percent(s.coverage) if s else None for s in served])],
            unit="%",
            rules=[
                ReferenceLine(100 * quality.level, f"declared {percent(quality.level, 0)}", "good")
            ],
            **shared,
        ),
    ]


def delay_chart(case: Case, delays: Sequence[DelayPoint]) -> Chart:
    """Return the chart of label delays."""
    reached = [point for point in delays if point.at_risk]
    half = next((point.age_s for point in reached if point.labelled >= 0.5), None)
    return Chart(
        id="delays",
        title="Label delay",
        caption="" if half is None else f"Half of the outcomes arrive within {span(half)}.",
        x=[point.age_s for point in reached],
        series=[Series("share with an outcome", [_percent(p.labelled) for p in reached], "step")],
        scale="log",
        unit="%",
        x_name="age [s]",
        zero=True,
        command=case.command("delays", case.file),
    )


def _immature(quality: Quality, x: list[float]) -> list[Shade]:
    """Return the span of newest windows with outcomes still due."""
    first = None
    for point, at in zip(reversed(quality.points), reversed(x), strict=True):
        if point.maturity is not None and point.maturity >= MATURE:
            break
        first = at
    if first is None or not quality.points:
        return []
    return [Shade(first, x[-1] + quality.points[-1].window_s, "outcomes still due")]


def event_marks(
    lifecycle: Sequence[StateChange], drift: Sequence[DriftRow], restarts: Sequence[Restart] = ()
) -> list[Mark]:
    """Return marks at event times: changes of models and definitions, drift, restarts."""
    marks, definition = [], None
    for change in lifecycle:
        at = seconds_of(change.event_time)
        if change.cause == "definition" and change.segment is None:
            definition, before = change.why, definition
            if at is not None and before not in (None, change.why):
                marks.append(Mark(at, change.why[:160], "quiet"))
        if at is not None and change.segment is None and change.cause != "definition":
            tone = "bad" if change.cause == "safeguard" else "served"
            text = f"{change.model} → {change.to_state} ({change.cause}, {change.who})"
            marks.append(Mark(at, f"{text}: {change.why}"[:160], tone))
    for drifted in drift:
        at = seconds_of(drifted.since)
        if at is not None:
            text = f"drift of {drifted.subject}: {drifted.was} → {drifted.now}"
            marks.append(Mark(at, text[:160], "warn"))
    marks += map(_restart, _group_restarts(restarts))
    return sorted(marks, key=lambda mark: mark.x)[-MARKS_MAX:]


def _group_restarts(restarts: Sequence[Restart]) -> list[list[Restart]]:
    groups: list[list[Restart]] = []
    for restart in restarts:
        if groups and restart.time - groups[-1][0].time <= RESTART_GAP_S:
            groups[-1].append(restart)
        else:
            groups.append([restart])
    return groups


def _restart(group: Sequence[Restart]) -> Mark:
    numbers = ", ".join(str(number) for number in sorted({each.partition for each in group}))
    where = ", ".join(sorted({each.worker for each in group}))
    longest = max(each.seconds for each in group)
    text = f"restart: partition {numbers} restarted at {where}, recovered in {span(longest)}"
    return Mark(max(each.event_time for each in group), text[:160], "quiet")


def _kpi_caption(quality: Quality) -> str:
    served, baseline = quality.total.get("served"), quality.total.get("baseline")
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return ""
    served_text, baseline_text = (
        money(served.kpi, quality.kpi_unit),
        money(baseline.kpi, quality.kpi_unit),
    )
    return f"Over all stored windows: {served_text} served, {baseline_text} with the baseline."


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _kpi_verb(quality: Quality) -> str:
    return "Cost of" if quality.kpi_better == "lower" else "Earned by"


def _better(quality: Quality) -> str:
    return BETTER[quality.metric]


def _targets(case: Case) -> list[tuple[str, float]]:
    return list(case.use_case.targets.items())
