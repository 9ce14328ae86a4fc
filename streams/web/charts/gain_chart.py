"""What was gained against the baseline so far, in the KPI's unit: the first thing anybody asks."""

from __future__ import annotations

from typing import Any

from streams.monitor.figures import Quality
from streams.ops.charts import Chart, Series
from streams.ops.scene import Case
from streams.ops.writing import money, seconds_of


def gained(case: Case, found: Quality, **given: Any) -> Chart:
    """The running sum over the windows that are kept; `given` changes the chart."""
    gains = _running_gain(found)
    word = "Saved" if found.kpi_better == "lower" else "Earned"
    last = next((gain for gain in reversed(gains) if gain is not None), None)
    known: dict[str, Any] = {
        "id": "saved",
        "title": f"{word} against the baseline so far: {money(last, found.kpi_unit)}",
        "x": [float(seconds_of(point.start) or 0) for point in found.points],
        "series": [Series(word.lower(), gains, tone="good")],
        "unit": found.kpi_unit,
        "group": "time",
        "zero": True,
        "height": 180,
        "command": case.command("metrics", case.file, "--last", str(max(len(found.points), 1))),
    }
    return Chart(**known | given)


def _running_gain(found: Quality) -> list[float | None]:
    sign = 1.0 if found.kpi_better == "lower" else -1.0
    total, gained = 0.0, []
    for point in found.points:
        served, baseline = point.scores.get("served"), point.scores.get("baseline")
        if served is not None and baseline is not None:
            total += sign * (baseline.kpi_sum - served.kpi_sum)
        gained.append(total)
    return list(gained)
