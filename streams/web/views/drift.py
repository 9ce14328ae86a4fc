"""Drift: each feature before and now, since when, and the reaction."""

from __future__ import annotations

from collections import Counter
from typing import Any

from models.spec.personal_data import masking_of
from streams.monitor.store import event_queries
from streams.monitor.store.board import redis_errors
from streams.monitor.store.view_models import DriftRow
from streams.web.charts.histogram import FeatureComparison, compare_feature
from streams.web.render.chart import Chart, Mark, Series
from streams.web.render.formatting import number, seconds_of
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest

DAY_S = 86_400
SHOWN = 60


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return the timeline, the newest changes, and one subject before and now."""
    case = view_request.case
    board = (await context.board(case)).board
    with redis_errors(case.settings):
        rows = list(await event_queries.drift(board.source))
        lifecycle = await event_queries.lifecycle(board.source)
    shown = [_masked(case, row) for row in reversed(rows)]
    subject = view_request.text("subject") or (shown[0]["subject"] if shown else "")
    newest = next((d for d in reversed(rows) if d.subject == subject), None)
    charts = [timeline_chart(case, rows)] if rows else []
    comparison = None
    recorded = None if newest is None else _recorded_histogram(case, newest)
    if recorded is not None:
        charts.append(recorded)
    elif subject in case.use_case.features and subject not in masking_of(case.use_case).features:
        since = None if newest is None else newest.since
        key = "feature", case.name, subject, since
        comparison = context.sample_cache.latest(key, lambda: compare_feature(case, subject, since))
        if comparison.answer is not None:
            charts.append(histogram_chart(case, comparison.answer))
    facts: dict[str, Any] = {
        "rows": shown[:SHOWN],
        "subject": subject,
        "newest": None if newest is None else _masked(case, newest),
        "comparison": comparison,
        "features": list(case.use_case.features),
        "reactions": [
            c for c in reversed(lifecycle) if c.cause in ("safeguard", "rule", "operator")
        ][:8],
        "command_line": case.command("drift", case.file),
    }
    return PageModel("drift.html", "Drift", facts, charts)


def _masked(case: Case, row: DriftRow) -> dict[str, Any]:
    record = masking_of(case.use_case).value("drift", row.record)
    return {
        "time": row.time,
        "partition": row.partition,
        "subject": row.subject,
        "was": record["was"],
        "now": record["now"],
        "since": row.since,
        "severity": row.severity,
        "done": record.get("done", "alert"),
    }


def timeline_chart(case: Case, rows: list[DriftRow]) -> Chart:
    """Return how many changes began on each day of event time."""
    days = [int((seconds_of(row.since) or 0) // DAY_S) for row in rows]
    first, last = min(days), max(days)
    x = [day * DAY_S for day in range(first, last + 1)]
    tones = {"alarm": "bad", "warning": "warn", "notice": "quiet"}
    counts = Counter(days)
    series = [Series("changes", [counts[int(at // DAY_S)] for at in x], "bars", "quiet")]
    marks = [
        Mark(
            float(seconds_of(d.since) or 0),
            f"{d.subject}: {d.was} → {d.now}"[:120],
            tones[d.severity],
        )
        for d in rows[-40:]
    ]
    return Chart(
        id="timeline",
        title="Changes over time",
        caption="Detected changes by the day of event time on which they began.",
        x=x,
        series=series,
        marks=marks,
        height=170,
        command=case.command("drift", case.file),
    )


def _recorded_histogram(case: Case, row: DriftRow) -> Chart | None:
    """Return the distributions in the drift record itself; None without any."""
    record = row.record
    if row.subject in masking_of(case.use_case).features or not record.get("then"):
        return None
    bins = record.get("names") or _bin_names(record["edges"])
    comparison = FeatureComparison(row.subject, list(bins), record["then"], record["now_shares"])
    comparison.then_words, comparison.now_words = "before the change", f"since {row.since[:10]}"
    return histogram_chart(case, comparison)


def _bin_names(edges: list[float]) -> list[str]:
    return [f"< {number(edges[0])}", *(f"≥ {number(edge)}" for edge in edges)]


def histogram_chart(case: Case, comparison: FeatureComparison) -> Chart:
    """Return one feature's values before and now, as shares of each."""
    return Chart(
        id="histogram",
        title=f"{comparison.feature}: before and now",
        caption=f"Before: {comparison.then_words}. Now: {comparison.now_words}.",
        x=comparison.edges,
        scale="category",
        x_name=comparison.feature,
        series=[
            Series("before", [100 * n for n in comparison.then], "bars", "quiet"),
            Series("now", [100 * n for n in comparison.now], "bars", "served"),
        ],
        unit="% of events",
        zero=True,
        command=case.command("tail", f"{case.name}.features", "--from-beginning", "--to-end"),
    )
