"""The report of worth: charts and sentences around `models.worth.worth`."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from models.worth.breakdown import Answerer, GainPoint
from models.worth.worth import Worth
from streams.reports import rendered, report_texts, svg_charts

WIDTHS = {"wide": 680, "narrow": 340}
BLOCKS_MAX = 130


def page(worth: Worth) -> str:
    """Return the whole HTML file."""
    return rendered(
        "worth",
        worth=worth,
        name=report_texts.subject(worth),
        headline=report_texts.headline(worth),
        confidence=report_texts.confidence(worth.net, worth.unit, worth.alpha),
        worst_case=report_texts.worst_case(worth.net, worth.unit),
        outlook=report_texts.outlook(worth),
        price=report_texts.price(worth),
        span=report_texts.days(report_texts.span_days(worth)),
        total=_total_chart(worth),
        course=_kpi_chart(worth),
        segments=_segments_chart(worth),
        segment_rows=sorted(worth.segments, key=_by_total),
        between=report_texts.between,
        verdict=report_texts.verdict,
        answerers=_line_names(worth),
    )


def _line_names(worth: Worth) -> list[str]:
    """Return the lines of the chart of KPI over time."""
    return ["served", "baseline", *(row.name for row in worth.models)][:6]


def _total_chart(worth: Worth) -> dict[str, Markup]:
    points = worth.points
    if not points:
        return {}
    times = [point.start for point in points]
    band = [point.lower for point in points], [point.upper for point in points]
    line = svg_charts.Line("total", [point.total for point in points])
    title = f"Running total of the gain over the baseline, in {worth.unit}, with its interval"
    return {
        name: svg_charts.over_time(times, [line], width=width, band=band, zero=True, title=title)
        for name, width in WIDTHS.items()
    }


def _kpi_chart(worth: Worth) -> dict[str, Markup]:
    groups = _grouped(worth.points)
    if not groups:
        return {}
    times = [group[0].start for group in groups]
    lines = [
        svg_charts.Line(name, [_mean(group, name) for group in groups])
        for name in _line_names(worth)
    ]
    title = f"{worth.unit} an event over time, by who would have answered"
    return {
        name: svg_charts.over_time(times, lines, width=width, title=title)
        for name, width in WIDTHS.items()
    }


def _segments_chart(worth: Worth) -> dict[str, Markup]:
    rows = [
        svg_charts.Range(row.name, row.gain.mean, row.gain.lower, row.gain.upper)
        for row in sorted(worth.segments, key=_by_total)
        if row.gain.labelled
    ]
    title = f"Gain over the baseline an event, in {worth.unit}, by segment, with its interval"
    return {
        name: svg_charts.ranges(rows, width=width, title=title) for name, width in WIDTHS.items()
    }


def _by_total(row: Answerer) -> float:
    return -row.gain.total


def _grouped(points: Sequence[GainPoint]) -> list[Sequence[GainPoint]]:
    """Return the blocks in at most `BLOCKS_MAX` groups, so that lines stay readable."""
    size = max(1, -(-len(points) // BLOCKS_MAX))
    return [points[i : i + size] for i in range(0, len(points), size)]


def _mean(points: Sequence[GainPoint], name: str) -> float | None:
    weighted = [(point.kpi[name], point.labelled) for point in points if name in point.kpi]
    count = sum(n for _, n in weighted)
    return sum(value * n for value, n in weighted) / count if count else None
