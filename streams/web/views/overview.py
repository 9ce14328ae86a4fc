"""All use cases, one row each: state, worth, trust."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import RiverrunError
from streams.monitor.store import event_queries, queries
from streams.monitor.store.board import redis_errors
from streams.monitor.store.view_models import Overview
from streams.web.charts.gain_chart import gain_chart
from streams.web.charts.verdict_sentences import PlainVerdict, group_alerts, trust, worth
from streams.web.render.chart import Chart
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest

STATES = {
    "live": ("good", "live"),
    "recovering": ("warn", "recovering"),
    "degraded": ("bad", "degraded"),
    "stopped": ("bad", "stopped"),
    "unknown": ("", "unknown"),
}


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """One use case in the overview; `trouble` if nothing is known of it."""

    case: Case
    trouble: str = ""
    overview: Overview | None = None
    monitored: bool = True
    state: tuple[str, str] = ("", "")
    worth: PlainVerdict | None = None
    trust: PlainVerdict | None = None
    trend: Chart | None = None
    alerts: Sequence[Mapping[str, Any]] = ()


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return every use case of the page."""
    rows = await asyncio.gather(*(overview_row(context, case) for case in context.cases.values()))
    charts = [row.trend for row in rows if row.trend is not None]
    return PageModel("overview.html", "Overview", {"rows": rows}, charts)


async def overview_row(context: PageContext, case: Case) -> OverviewRow:
    """Return one use case; an unreachable server is reported in the row, not raised."""
    try:
        opened = await context.board(case)
        with redis_errors(case.settings):
            overview = await queries.overview(opened.board)
            quality = await queries.quality(opened.board)
            standings = await event_queries.standings(opened.board.source)
    except RiverrunError as error:
        return OverviewRow(case, trouble=str(error))
    standing = next((s for s in standings if s["question"] == "worth" and not s["segment"]), None)
    return OverviewRow(
        case,
        overview=overview,
        monitored=opened.monitored,
        state=STATES[overview.state],
        worth=worth(case, overview, standing),
        trust=trust(overview),
        alerts=group_alerts(overview.alerts),
        trend=gain_chart(case, quality, id=f"gained-{case.name}", height=130),
    )
