"""One use case: what it is worth and how good it is over time, where it is worst, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from models.kinds import BETTER
from streams.monitor import changes, views
from streams.monitor import reasons as told
from streams.monitor.figures import Change, DelayPoint, Drifted, Quality, Restart
from streams.ops import reasons
from streams.ops.boards import unreachable
from streams.ops.charts import Chart, Mark, Rule, Series, Shade
from streams.ops.desk import Desk
from streams.ops.gaining import gained
from streams.ops.groups import group_words, lines_of, small_multiples
from streams.ops.overview import row_of
from streams.ops.sampled import sampled
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import money, percent, seconds_of, span

MATURE = 0.9
"""A window in which less than this share of the predictions has its outcome is shaded."""

GROUPS_SHOWN = 8
MARKS_MAX = 60
TOGETHER_S = 10.0
"""Partitions that begin anew within so many seconds are one restart."""


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
        marks = marks_of(
            await changes.lifecycle(board.source),
            await changes.drift(board.source),
            await changes.restarts(board.source),
        )
        leans = () if segment or slice else await told.importance(board)
        bins = await told.calibration(board, segment=segment, slice=slice)
        delays = await changes.delays(board.source, board.count, segment)
        groups = () if segment or slice else (segments + slices)
        worst = await small_multiples(
            case, board, groups[: None if "all" in ask.query else GROUPS_SHOWN]
        )
    except (RedisError, OSError) as error:
        raise unreachable(case, error) from error
    charts = [*over_time(case, found, marks), delay_curve(case, delays), *worst]
    if case.use_case.kind == "regression" and not segment and not slice:
        known = desk.background.latest(("sampled", case.name), lambda: sampled(case))
        charts.append(reasons.of_numbers(case, known.answer or []))
    elif case.use_case.kind != "regression":
        charts.append(reasons.of_classes(case, bins))
    if leans:
        charts.append(reasons.importance(case, leans))
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
    command = case.command("metrics", case.file, *group_words(found))
    shared: dict[str, Any] = {"x": x, "group": "time", "command": command}
    kpi = Chart(
        id="kpi",
        title=f"{_word(found)} an answer, {found.kpi_unit} an event",
        say=_kpi_words(found),
        series=lines_of(found, "kpi"),
        unit=found.kpi_unit,
        marks=marks,
        shades=shades,
        **shared,
    )
    metric = Chart(
        id="quality",
        title=f"Quality: {found.metric}, {_better(found)} is better",
        say="The shaded band is the 95 % interval of what was served.",
        series=lines_of(found, "value", banded=True),
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
        command=case.command("delays", case.file),
    )


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


def marks_of(
    lifecycle: Sequence[Change], drift: Sequence[Drifted], restarts: Sequence[Restart] = ()
) -> list[Mark]:
    """What happened, at its event time: changes of models and definitions, drift, restarts."""
    marks, known = [], None
    for change in lifecycle:
        at = seconds_of(change.event_time)
        if change.cause == "definition" and change.segment is None:
            known, before = change.why, known
            if at is not None and before not in (None, change.why):
                marks.append(Mark(at, change.why[:160], "quiet"))
        if at is not None and change.segment is None and change.cause != "definition":
            tone = "bad" if change.cause == "safeguard" else "served"
            words = f"{change.model} → {change.to_state} ({change.cause}, {change.who})"
            marks.append(Mark(at, f"{words}: {change.why}"[:160], tone))
    for drifted in drift:
        at = seconds_of(drifted.since)
        if at is not None:
            words = f"drift of {drifted.subject}: {drifted.was} → {drifted.now}"
            marks.append(Mark(at, words[:160], "warn"))
    marks += map(_restart, _together(restarts))
    return sorted(marks, key=lambda mark: mark.x)[-MARKS_MAX:]


def _together(restarts: Sequence[Restart]) -> list[list[Restart]]:
    groups: list[list[Restart]] = []
    for restart in restarts:
        if groups and restart.time - groups[-1][0].time <= TOGETHER_S:
            groups[-1].append(restart)
        else:
            groups.append([restart])
    return groups


def _restart(group: Sequence[Restart]) -> Mark:
    numbers = ", ".join(str(number) for number in sorted({each.partition for each in group}))
    where = ", ".join(sorted({each.worker for each in group}))
    longest = max(each.seconds for each in group)
    words = f"restart: partition {numbers} began anew at {where}, recovered in {span(longest)}"
    return Mark(max(each.event_time for each in group), words[:160], "quiet")


def _kpi_words(found: Quality) -> str:
    served, baseline = found.total.get("served"), found.total.get("baseline")
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return ""
    mine, other = money(served.kpi, found.kpi_unit), money(baseline.kpi, found.kpi_unit)
    return f"Over all that is kept: {mine} served, {other} with the baseline."


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _word(found: Quality) -> str:
    return "Cost of" if found.kpi_better == "lower" else "Earned by"


def _better(found: Quality) -> str:
    return BETTER[found.metric]


def _targets(case: Case) -> list[tuple[str, float]]:
    return list(case.use_case.targets.items())
