"""All use cases, one row each: is it working, is it worth having, can it be trusted?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from schemas.errors import RiverrunError
from streams.monitor import changes, views
from streams.monitor.figures import Overview
from streams.ops.boards import unreachable
from streams.ops.charts import Chart
from streams.ops.desk import Desk
from streams.ops.gaining import gained
from streams.ops.scene import Ask, Case, Scene
from streams.ops.words import Verdict, alike, trust, worth

STATES = {
    "live": ("good", "working"),
    "recovering": ("warn", "catching up"),
    "degraded": ("bad", "partly down"),
    "stopped": ("bad", "stopped"),
    "unknown": ("", "not known"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One use case as the overview shows it; `trouble` if nothing can be said of it."""

    case: Case
    trouble: str = ""
    told: Overview | None = None
    monitored: bool = True
    state: tuple[str, str] = ("", "")
    worth: Verdict | None = None
    trust: Verdict | None = None
    trend: Chart | None = None
    alerts: Sequence[Mapping[str, Any]] = ()


async def view(desk: Desk, ask: Ask) -> Scene:
    """Every use case that the page was started with."""
    rows = await asyncio.gather(*(row_of(desk, case) for case in desk.cases.values()))
    charts = [row.trend for row in rows if row.trend is not None]
    return Scene("overview.html", "Overview", {"rows": rows}, charts)


async def row_of(desk: Desk, case: Case) -> Row:
    """One use case; what cannot be reached is said and not raised."""
    try:
        opened = await desk.board(case)
        told = await views.overview(opened.board)
        found = await views.quality(opened.board)
        standings = await changes.standings(opened.board.source)
    except RiverrunError as error:
        return Row(case, trouble=str(error))
    except (RedisError, OSError) as error:
        return Row(case, trouble=str(unreachable(case, error)))
    standing = next((s for s in standings if s["question"] == "worth" and not s["segment"]), None)
    return Row(
        case,
        told=told,
        monitored=opened.monitored,
        state=STATES[told.state],
        worth=worth(case, told, standing),
        trust=trust(told),
        alerts=alike(told.alerts),
        trend=gained(case, found, id=f"gained-{case.name}", height=130),
    )
