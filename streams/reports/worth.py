"""The report of worth: drawings and sentences around what `models.worth` found."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from models.accounts import Answerer, Point
from models.worth import Worth
from streams.reports import charts, rendered, wording

WIDTHS = {"wide": 680, "narrow": 340}
BLOCKS_MAX = 130


def page(found: Worth) -> str:
    """The whole HTML file."""
    return rendered(
        "worth",
        worth=found,
        name=wording.named(found),
        headline=wording.headline(found),
        certainty=wording.certainty(found.net, found.unit, found.alpha),
        worst_case=wording.worst_case(found.net, found.unit),
        outlook=wording.outlook(found),
        price=wording.price(found),
        span=wording.days(wording.span_days(found)),
        total=_total(found),
        course=_course(found),
        segments=_segments(found),
        segment_rows=sorted(found.segments, key=_by_total),
        between=wording.between,
        answerers=_answerers(found),
    )


def _answerers(found: Worth) -> list[str]:
    """The lines of the chart of KPI over time."""
    return ["served", "baseline", *(row.name for row in found.models)][:6]


def _total(found: Worth) -> dict[str, Markup]:
    points = found.points
    if not points:
        return {}
    times = [point.start for point in points]
    band = [point.lower for point in points], [point.upper for point in points]
    line = charts.Line("total", [point.total for point in points])
    title = f"Running total of the gain over the baseline, in {found.unit}, with its interval"
    return {
        name: charts.over_time(times, [line], width=width, band=band, zero=True, title=title)
        for name, width in WIDTHS.items()
    }


def _course(found: Worth) -> dict[str, Markup]:
    groups = _grouped(found.points)
    if not groups:
        return {}
    times = [group[0].start for group in groups]
    lines = [
        charts.Line(name, [_mean(group, name) for group in groups]) for name in _answerers(found)
    ]
    title = f"{found.unit} an event over time, by who would have answered"
    return {
        name: charts.over_time(times, lines, width=width, title=title)
        for name, width in WIDTHS.items()
    }


def _segments(found: Worth) -> dict[str, Markup]:
    rows = [
        charts.Range(row.name, row.gain.mean, row.gain.lower, row.gain.upper)
        for row in sorted(found.segments, key=_by_total)
        if row.gain.labelled
    ]
    title = f"Gain over the baseline an event, in {found.unit}, by segment, with its interval"
    return {name: charts.ranges(rows, width=width, title=title) for name, width in WIDTHS.items()}


def _by_total(row: Answerer) -> float:
    return -row.gain.total


def _grouped(points: Sequence[Point]) -> list[Sequence[Point]]:
    """So many blocks together that a line can be followed by eye."""
    size = max(1, -(-len(points) // BLOCKS_MAX))
    return [points[i : i + size] for i in range(0, len(points), size)]


def _mean(points: Sequence[Point], name: str) -> float | None:
    told = [(point.kpi[name], point.labelled) for point in points if name in point.kpi]
    count = sum(n for _, n in told)
    return sum(value * n for value, n in told) / count if count else None
