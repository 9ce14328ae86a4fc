"""The cumulative gain over the baseline, in the KPI's unit."""

from __future__ import annotations

from typing import Any

from streams.monitor.store.view_models import Quality
from streams.web.render.chart import Chart, Series
from streams.web.render.formatting import money, seconds_of
from streams.web.state.page_model import Case


def gain_chart(case: Case, quality: Quality, **overrides: Any) -> Chart:
    """Return the cumulative gain over the stored windows; `overrides` changes its fields."""
    gains = _running_gain(quality)
    word = "Saved" if quality.kpi_better == "lower" else "Earned"
    last = next((gain for gain in reversed(gains) if gain is not None), None)
    fields: dict[str, Any] = {
        "id": "saved",
        "title": f"{word} against the baseline so far: {money(last, quality.kpi_unit)}",
        "x": [float(seconds_of(point.start) or 0) for point in quality.points],
        "series": [Series(word.lower(), gains, tone="good")],
        "unit": quality.kpi_unit,
        "group": "time",
        "zero": True,
        "height": 180,
        "command": case.command("metrics", case.file, "--last", str(max(len(quality.points), 1))),
    }
    return Chart(**fields | overrides)


def _running_gain(quality: Quality) -> list[float | None]:
    sign = 1.0 if quality.kpi_better == "lower" else -1.0
    total, gains = 0.0, []
    for point in quality.points:
        served, baseline = point.scores.get("served"), point.scores.get("baseline")
        if served is not None and baseline is not None:
            total += sign * (baseline.kpi_sum - served.kpi_sum)
        gains.append(total)
    return list(gains)
