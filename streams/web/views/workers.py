"""Who works on what, how far and how fast; the topics; and a live tail of any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

import orjson
from redis.exceptions import RedisError

from models.personal import masking_of
from schemas.errors import RiverrunError
from schemas.topics import BY_KIND
from streams.monitor import workers as told
from streams.monitor.figures import Sample
from streams.monitor.views import samples
from streams.ops.boards import unreachable
from streams.ops.charts import Chart, Series, Shade
from streams.ops.desk import Desk
from streams.ops.scene import Ask, Case, Scene
from streams.ops.writing import seconds_of
from streams.tailing import filter_of, masked_row, row_of
from streams.tapes import Tapes

BEFORE = 12
"""Records that were there already, with which a tail begins."""

ROWS_S_MAX = 40
"""More rows a second than that nobody reads: they are counted instead."""

FILTERS_MAX = 8
VALUE_CHARACTERS_MAX = 20_000


async def view(desk: Desk, ask: Ask) -> Scene:
    """Workers, partitions, topics, and the tail that is asked for."""
    case = ask.case
    assert case is not None
    opened = await desk.board(case)
    source = opened.board.source
    try:
        rows = await told.partitions(source, opened.board.count)
        crew = await told.workers(source)
        measured = await samples(opened.board)
    except (RedisError, OSError) as error:
        raise unreachable(case, error) from error
    kind = ask.text("topic", 40)
    where = ask.text("where")
    facts: dict[str, Any] = {
        "partitions": rows,
        "workers": crew,
        "topics": await desk.ends(case).read(),
        "about": {kind: topic.about for kind, topic in BY_KIND.items()},
        "monitored": opened.monitored,
        "tail": kind if kind in BY_KIND else "",
        "where": where,
        "status": case.command("status", case.file),
        "tail_command": case.command(
            "tail",
            f"{case.name}.{kind}",
            *(word for text in _filters(where) for word in ("--where", text)),
        ),
    }
    charts = _charts(case, measured, opened.board.count)
    return Scene("workers.html", "Workers and topics", facts, charts)


def _charts(case: Case, measured: Sequence[Sample], count: int) -> list[Chart]:
    x = [seconds_of(sample.time) or 0.0 for sample in measured]
    shades = _not_whole(x, [sample.live < count for sample in measured])
    command = case.command("status", case.file, "--watch")
    made = (
        ("speed", "Events a second", "events/s", "events_per_s"),
        ("lag", "Waiting to be read", "records", "lag"),
        ("latency", "From event to committed answer", "ms", "latency_s"),
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
        for id, title, unit, name in made
    ]


def _not_whole(x: Sequence[float], missing: Sequence[bool]) -> list[Shade]:
    """The stretches in which a partition had no worker, or was recovering: starts and restarts."""
    found: list[Shade] = []
    for before, at, gone in zip(x, x[1:], missing[1:], strict=False):
        if not gone:
            continue
        if found and found[-1].end == before:
            found[-1].end = at
        else:
            found.append(Shade(before, at, "not all partitions live"))
    return found


def _scaled(value: float | None, unit: str) -> float | None:
    return value * 1000 if value is not None and unit == "ms" else value


def _filters(where: str) -> list[str]:
    return where.split()[:FILTERS_MAX]


async def tail(ask: Ask, send: Callable[..., Awaitable[None]]) -> None:
    """Send the newest records of a topic, then each as it is committed, as JSON rows.

    Personal fields are masked before the filter sees them. Rows beyond `ROWS_S_MAX` a second are
    counted and not sent.
    """
    case, kind = ask.case, ask.text("topic", 40)
    assert case is not None
    if kind not in BY_KIND:
        await send("failed", f"There is no topic {kind!r}.")
        return
    try:
        await _tail(case, kind, _filters(ask.text("where")), send)
    except RiverrunError as error:
        await send("failed", str(error))


async def _tail(
    case: Case, kind: str, filters: list[str], send: Callable[..., Awaitable[None]]
) -> None:
    tests, masking = [filter_of(text) for text in filters], masking_of(case.use_case)
    topic = case.names[kind]

    def passing(records: list[Any]) -> list[dict[str, Any]]:
        rows = (masked_row(row_of(record), kind, masking) for record in records)
        return [row for row in rows if all(test(row) for test in tests)]

    async with Tapes([topic], case.settings) as tapes:
        bounds = await tapes.bounds()
        before = [r for place in tapes.places for r in await tapes.last(place, BEFORE)]
        before.sort(key=lambda record: record.timestamp)
        await _send(passing(before)[-BEFORE:], 0, send)
        second, sent, left_out, told_at = monotonic(), 0, 0, monotonic()
        async for records in tapes.follow({place: end for place, (_, end) in bounds.items()}):
            now = monotonic()
            if now - second >= 1:
                second, sent = now, 0
            rows = passing(records)
            room = max(0, ROWS_S_MAX - sent)
            left_out += max(0, len(rows) - room)
            if rows[:room] or now - told_at > 2 or (left_out and now - told_at > 0.5):
                await _send(rows[:room], left_out, send)
                told_at, left_out = now, 0
            sent += min(len(rows), room)
            await asyncio.sleep(0)


async def _send(
    rows: list[dict[str, Any]], left_out: int, send: Callable[..., Awaitable[None]]
) -> None:
    shown = [
        row | {"value": orjson.dumps(row["value"]).decode()[:VALUE_CHARACTERS_MAX]} for row in rows
    ]
    await send("rows", orjson.dumps({"rows": shown, "leftOut": left_out}).decode())
