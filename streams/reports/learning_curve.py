"""The report of a learning curve: the gain from further outcomes."""

from __future__ import annotations

from markupsafe import Markup

from models.replay.learning_curve import Curve
from streams.reports import rendered, report_texts, svg_charts
from streams.reports.worth import WIDTHS


def page(curve: Curve) -> str:
    """Return the whole HTML file."""
    return rendered(
        "learning",
        curve=curve,
        verdict=report_texts.learning_verdict(curve),
        names=_names(curve),
        drawn=_charts(curve),
        between=report_texts.between,
    )


def _names(curve: Curve) -> list[str]:
    return list(curve.rungs[-1].kpi)[:6] if curve.rungs else []


def _charts(curve: Curve) -> dict[str, Markup]:
    if not curve.labelled:
        return {}
    counts = [float(rung.learnt) for rung in curve.rungs]
    lines = [
        svg_charts.Line(name, [rung.kpi.get(name) for rung in curve.rungs])
        for name in _names(curve)
    ]
    title = f"{curve.unit} an event by the number of outcomes learnt"
    return {
        name: svg_charts.over_count(counts, lines, width=width, title=title)
        for name, width in WIDTHS.items()
    }
