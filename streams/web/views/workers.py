"""Workers, partitions and their throughput; the topics; and a live tail of any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import orjson

from schemas.errors import RiverrunError
from schemas.topics import BY_KIND
from streams.inspection.tail import filter_of
from streams.monitor.store import worker_queries
from streams.monitor.store.board import redis_errors
from streams.monitor.store.queries import samples
from streams.monitor.store.view_models import Sample
from streams.web.render.chart import Chart, Series, Shade
from streams.web.render.formatting import seconds_of
from streams.web.state.live_tails import LiveTails
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case, PageModel, ViewRequest

BEAT_S = 2.0
"""The longest interval between two messages of a silent tail."""

ROWS_S_MAX = 40
"""Most rows a second; further rows are counted instead."""

FILTERS_MAX = 8
VALUE_CHARACTERS_MAX = 20_000


async def view(context: PageContext, view_request: ViewRequest) -> PageModel:
    """Return workers, partitions, topics, and the requested tail."""
    case = view_request.case
    opened = await context.board(case)
    source = opened.board.source
    with redis_errors(case.settings):
        rows = await worker_queries.partitions(source, opened.board.count)
        workers = await worker_queries.workers(source)
        shared = opened.board.use_case.is_shared(opened.board.count)
        learner = await worker_queries.learner(source, shared=shared)
        sampled = await samples(opened.board)
    kind = view_request.text("topic", 40)
    where = view_request.text("where")
    facts: dict[str, Any] = {
        "partitions": rows,
        "learner": learner,
        "workers": workers,
        "topics": await context.topic_offsets(case).read(),
        "about": {kind: topic.about for kind, topic in BY_KIND.items()},
        "monitored": opened.monitored,
        "tail": kind if kind in BY_KIND else "",
        "where": where,
        "status": case.command("status", case.file),
        "tail_command": case.command(
            "tail",
            f"{case.name}.{kind}",
            *(arg for text in _filters(where) for arg in ("--where", text)),
        ),
    }
    charts = _charts(case, sampled, opened.board.count)
    return PageModel("workers.html", "Workers and topics", facts, charts)


def _charts(case: Case, measured: Sequence[Sample], count: int) -> list[Chart]:
    x = [seconds_of(sample.time) or 0.0 for sample in measured]
    shades = _incomplete(x, [sample.live < count for sample in measured])
    command = case.command("status", case.file, "--watch")
    measures = (
        ("speed", "Events a second", "events/s", "events_per_s"),
        ("lag", "Lag", "records", "lag"),
        ("latency", "Latency from event to committed prediction", "ms", "latency_s"),
    )
    return [
        Chart(
            id=id,
            title=title,
            x=x,
            series=[Series(title.lower(), [_scaled(getattr(s, name), unit) for s in measured])],
            unit=unit,
            x_name="time",
            group="clock",
            zero=True,
            height=170,
            command=command,
            shades=shades,
        )
        for id, title, unit, name in measures
    ]


def _incomplete(x: Sequence[float], missing: Sequence[bool]) -> list[Shade]:
    """Return the spans in which a partition had no worker, or was recovering."""
    shades: list[Shade] = []
    for before, at, missing_now in zip(x, x[1:], missing[1:], strict=False):
        if not missing_now:
            continue
        if shades and shades[-1].end == before:
            shades[-1].end = at
        else:
            shades.append(Shade(before, at, "not all partitions live"))
    return shades


def _scaled(value: float | None, unit: str) -> float | None:
    return value * 1000 if value is not None and unit == "ms" else value


def _filters(where: str) -> list[str]:
    return where.split()[:FILTERS_MAX]


async def tail(
    tails: LiveTails, view_request: ViewRequest, send: Callable[..., Awaitable[None]]
) -> None:
    """Send the newest records of a topic, then each as it is committed, as JSON rows.

    Personal fields are masked before the filter sees them. Rows beyond `ROWS_S_MAX` a second are
    counted and not sent.
    """
    case, kind = view_request.case, view_request.text("topic", 40)
    if kind not in BY_KIND:
        await send("failed", f"There is no topic {kind!r}.")
        return
    try:
        tests = [filter_of(text) for text in _filters(view_request.text("where"))]
        async with tails.follow(case, kind, tests) as follower:
            while True:
                began = monotonic()
                rows, left_out = await follower.take(ROWS_S_MAX, BEAT_S)
                await _send(rows, left_out, send)
                await asyncio.sleep(max(0.0, len(rows) / ROWS_S_MAX - (monotonic() - began)))
    except RiverrunError as error:
        await send("failed", str(error))


async def _send(
    rows: list[dict[str, Any]], left_out: int, send: Callable[..., Awaitable[None]]
) -> None:
    shown = [
        row | {"value": orjson.dumps(row["value"]).decode()[:VALUE_CHARACTERS_MAX]} for row in rows
    ]
    await send("rows", orjson.dumps({"rows": shown, "leftOut": left_out}).decode())
