"""The report of a learning curve: what further outcomes bring."""

from __future__ import annotations

from markupsafe import Markup

from models.learning_curve import Curve
from streams.reports import charts, rendered, wording
from streams.reports.worth import WIDTHS


def page(found: Curve) -> str:
    """The whole HTML file."""
    return rendered(
        "learning",
        curve=found,
        lesson=wording.lesson(found),
        names=_names(found),
        drawn=_drawn(found),
        between=wording.between,
    )


def _names(found: Curve) -> list[str]:
    return list(found.rungs[-1].kpi)[:6] if found.rungs else []


def _drawn(found: Curve) -> dict[str, Markup]:
    if not found.labelled:
        return {}
    counts = [float(rung.learnt) for rung in found.rungs]
    lines = [
        charts.Line(name, [rung.kpi.get(name) for rung in found.rungs]) for name in _names(found)
    ]
    title = f"{found.unit} an event by the number of outcomes learnt"
    return {
        name: charts.over_count(counts, lines, width=width, title=title)
        for name, width in WIDTHS.items()
    }
