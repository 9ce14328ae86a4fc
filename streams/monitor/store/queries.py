"""The queries: one for each view, shared by the page, the command line and the alerts.

Each takes a `Board` (a use case and its store) and returns figures. Nothing is written. Bounds:
what the tables hold (record_rows.py). Errors of the store's client are passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import orjson

from models.metrics.targets import TargetStatus, judged
from models.spec.problem_types import BETTER
from models.spec.use_case import UseCase
from streams.monitor.store import aggregation
from streams.monitor.store.aggregation import Windows
from streams.monitor.store.event_queries import alerts, definitions, muted, states
from streams.monitor.store.record_rows import WHOLE, evidence_table, group_name, metrics_table
from streams.monitor.store.table_store import MetricsSource
from streams.monitor.store.view_models import (
    RECENT,
    ClosedBlock,
    Group,
    Overview,
    Point,
    Quality,
    Sample,
    Score,
)
from streams.monitor.store.worker_queries import partitions, state_of


@dataclass(frozen=True, slots=True)
class Board:
    """One use case and its store; `count` is the number of its partitions."""

    use_case: UseCase
    count: int
    source: MetricsSource


async def quality(
    board: Board,
    *,
    segment: str | None = None,
    slice: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Quality:
    """Return metric and KPI of windows that start in [since, until), ISO 8601, UTC."""
    use_case = board.use_case
    windows, window_s = await _windows(board, group_name(segment, slice))
    begin, end = _comparable(since), _comparable(until)
    chosen = {
        start: cells
        for start, cells in windows.items()
        if (begin is None or start >= begin) and (end is None or start < end)
    }
    total = aggregation.scores(use_case, aggregation.total(chosen.values()))
    return Quality(
        use_case=use_case.name,
        segment=segment,
        slice=slice,
        metric=use_case.metric,
        better=BETTER[use_case.metric],
        kpi_unit=use_case.kpi.unit,
        kpi_better=use_case.kpi.better,
        level=use_case.interval,
        models=tuple(total),
        points=tuple(
            aggregation.point(use_case, start, window_s, cells) for start, cells in chosen.items()
        ),
        total=total,
    )


async def closed_blocks(board: Board) -> tuple[ClosedBlock, ...]:
    """Return the KPI of each closed block over all predictions, oldest first."""
    names = [evidence_table(number, WHOLE) for number in range(board.count)]
    sign = 1.0 if board.use_case.kpi.better == "higher" else -1.0
    return aggregation.closed_blocks(await board.source.tables(names), sign)


async def overview(board: Board, now_s: float | None = None) -> Overview:
    """Return one use case in one row; `now_s` is the caller's clock (Unix time)."""
    use_case = board.use_case
    (recent,) = await _newest(board, [WHOLE], RECENT)
    cells = aggregation.total(recent.values())
    scores = aggregation.scores(use_case, cells)
    rows = await partitions(board.source, board.count, now_s)
    champions, frozen = await states(board.source, board.count)
    defined = await definitions(board.source)
    speeds = [row.events_per_s for row in rows if row.events_per_s is not None]
    lags = [row.lag for row in rows if row.lag is not None]
    ages = [row.freshness_s for row in rows if row.freshness_s is not None]
    served, baseline = scores.get("served"), scores.get("baseline")
    freshness_s = min(ages, default=None)
    return Overview(
        use_case=use_case.name,
        owner=use_case.owner,
        state=state_of(rows),
        partitions_live=sum(row.state == "live" for row in rows),
        partitions=board.count,
        events_per_s=sum(speeds) if speeds else None,
        lag=sum(lags) if lags else None,
        freshness_s=freshness_s,
        metric=use_case.metric,
        kpi_unit=use_case.kpi.unit,
        kpi_better=use_case.kpi.better,
        windows=len(recent),
        until=max(recent, default=None),
        served=served,
        baseline=baseline,
        kpi_gain=kpi_gain(use_case, served, baseline),
        targets=tuple(_targets(use_case, cells, freshness_s)),
        champion=next(iter(champions)) if len(champions) == 1 else None,
        champions=champions,
        frozen=frozen,
        definition=defined[-1].definition if defined else None,
        alerts=await alerts(board.source, open_only=True),
        muted=await muted(board.source, time() if now_s is None else now_s),
        level=use_case.interval if use_case.kind == "regression" else None,
    )


async def recent(board: Board) -> dict[str, Score]:
    """Return the scores of each model over the newest windows, by name."""
    (windows,) = await _newest(board, [WHOLE], RECENT)
    return _scores(board.use_case, windows)


def kpi_gain(use_case: UseCase, served: Score | None, baseline: Score | None) -> float | None:
    """Return how much better `served` is than `baseline`, an event, in the KPI's unit.

    Above zero: better.
    """
    if served is None or baseline is None or served.kpi is None or baseline.kpi is None:
        return None
    return (
        baseline.kpi - served.kpi if use_case.kpi.better == "lower" else served.kpi - baseline.kpi
    )


async def segments(board: Board, windows: int | None = None) -> tuple[Group, ...]:
    """Return every segment over the newest windows (None: all stored), the worst first."""
    return await _groups(board, "segment:", windows)


async def slices(board: Board, windows: int | None = None) -> tuple[Group, ...]:
    """Return every slice over the newest windows (None: all stored), the worst first."""
    return await _groups(board, "slice:", windows)


async def samples(board: Board) -> tuple[Sample, ...]:
    """Return throughput, lag and freshness as the monitor measured them, oldest first."""
    (table,) = await board.source.tables(["samples"])
    return tuple(Sample(**orjson.loads(value)) for value in table.values())


async def _windows(board: Board, group: str) -> tuple[Windows, float]:
    names = [metrics_table(number, group) for number in range(board.count)]
    return aggregation.sum_windows(await board.source.tables(names))


async def _newest(board: Board, groups: Sequence[str], count: int | None) -> list[Windows]:
    """Return the newest windows (None: all stored) of several groups, in one read."""
    names = [metrics_table(n, group) for group in groups for n in range(board.count)]
    if count is None:
        tables = await board.source.tables(names)
    else:
        tables = await board.source.select(names, await _fields(board, count))
    by_group = [tables[start : start + board.count] for start in range(0, len(tables), board.count)]
    return [aggregation.sum_windows(windows)[0] for windows in by_group]


async def _fields(board: Board, count: int) -> list[str]:
    tables = await board.source.tables([f"windows:{number}" for number in range(board.count)])
    starts = sorted({start for table in tables for start in table})[-count:]
    models = ("served", "baseline", *board.use_case.models)
    return [f"{start}|{model}" for start in starts for model in models]


async def _groups(board: Board, beginning: str, count: int | None) -> tuple[Group, ...]:
    indexes = await board.source.tables([f"groups:{n}" for n in range(board.count)])
    names = sorted({name for index in indexes for name in index if name.startswith(beginning)})
    whole, *windows_by_group = await _newest(board, [WHOLE, *names], count)
    of_all = _scores(board.use_case, whole).get("served")
    groups = []
    for name, windows in zip(names, windows_by_group, strict=True):
        scores = _scores(board.use_case, windows)
        if "served" in scores:
            identity = next(orjson.loads(index[name]) for index in indexes if name in index)
            groups.append(_group(board.use_case, identity, scores, of_all))
    return tuple(sorted(groups, key=lambda group: -(group.gap or 0.0)))


def _scores(use_case: UseCase, windows: Windows) -> dict[str, Score]:
    return aggregation.scores(use_case, aggregation.total(windows.values()))


def _group(
    use_case: UseCase, identity: list[str | None], scores: dict[str, Score], of_all: Score | None
) -> Group:
    segment, slice, _ = identity
    served, gap = scores["served"], None
    if of_all is not None and served.value is not None and of_all.value is not None:
        gap = served.value - of_all.value
        gap = gap if BETTER[use_case.metric] == "lower" else -gap
    name = segment if segment is not None else slice
    return Group(str(name), segment, slice, served, scores.get("baseline"), gap)


def _targets(
    use_case: UseCase, cells: dict[str, aggregation.Cell], freshness_s: float | None
) -> list[TargetStatus]:
    served = cells.get("served")
    if served is None:
        return judged(use_case, {}, freshness_s=freshness_s)
    return judged(
        use_case,
        served.sums,
        kpi_sum=served.kpi_sum,
        kpi_n=served.counts["kpi_n"],
        freshness_s=freshness_s,
    )


def _comparable(text: str | None) -> str | None:
    """Return a time as records write it, so that text compares as time does."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat()


__all__ = [
    "Board",
    "Point",
    "closed_blocks",
    "kpi_gain",
    "overview",
    "quality",
    "samples",
    "segments",
    "slices",
]
