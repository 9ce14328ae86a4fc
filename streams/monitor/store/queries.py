"""The reading functions: one a view, the same for the page, the command line and the alerts.

Each takes a `Board` (a use case and where its shelves are) and gives figures. Nothing is written.
Bounds: what shelves hold (rows.py). Errors of the shelves' client go through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from models.kinds import BETTER
from models.targets import Held, judged
from models.usecase import UseCase
from streams.monitor import summing
from streams.monitor.changes import alerts, definitions, states
from streams.monitor.figures import Group, Overview, Point, Quality, Sample, Score, Settled
from streams.monitor.rows import WHOLE, evidence_shelf, group_name, metrics_shelf
from streams.monitor.shelves import Source
from streams.monitor.summing import Windows
from streams.monitor.workers import partitions, state_of

RECENT = 7
"""Windows that the overview and the targets look at."""


@dataclass(frozen=True, slots=True)
class Board:
    """One use case and its shelves; `count` is the number of its partitions."""

    use_case: UseCase
    count: int
    source: Source


async def quality(
    board: Board,
    *,
    segment: str | None = None,
    slice: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Quality:
    """Metric and KPI over time; windows that start in [since, until), ISO 8601, UTC."""
    use_case = board.use_case
    windows, window_s = await _windows(board, group_name(segment, slice))
    begin, end = _comparable(since), _comparable(until)
    chosen = {
        start: cells
        for start, cells in windows.items()
        if (begin is None or start >= begin) and (end is None or start < end)
    }
    total = summing.scores(use_case, summing.total(chosen.values()))
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
            summing.point(use_case, start, window_s, cells) for start, cells in chosen.items()
        ),
        total=total,
    )


async def settled(
    board: Board, *, segment: str | None = None, slice: str | None = None
) -> tuple[Settled, ...]:
    """What each settled block of one group was worth, oldest first."""
    group = group_name(segment, slice)
    names = [evidence_shelf(number, group) for number in range(board.count)]
    sign = 1.0 if board.use_case.kpi.better == "higher" else -1.0
    return summing.settled(await board.source.shelves(names), sign)


async def overview(board: Board, now_s: float | None = None) -> Overview:
    """One use case in one row; `now_s` is the asker's clock (Unix time)."""
    use_case = board.use_case
    (recent,) = await _newest(board, [WHOLE], RECENT)
    cells = summing.total(recent.values())
    found = summing.scores(use_case, cells)
    rows = await partitions(board.source, board.count, now_s)
    champions, frozen = await states(board.source, board.count)
    defined = await definitions(board.source)
    speeds = [row.events_per_s for row in rows if row.events_per_s is not None]
    lags = [row.lag for row in rows if row.lag is not None]
    ages = [row.freshness_s for row in rows if row.freshness_s is not None]
    served, baseline = found.get("served"), found.get("baseline")
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
    )


def kpi_gain(use_case: UseCase, mine: Score | None, other: Score | None) -> float | None:
    """How much better `mine` is than `other`, an event, in the KPI's unit; above 0: better."""
    if mine is None or other is None or mine.kpi is None or other.kpi is None:
        return None
    return other.kpi - mine.kpi if use_case.kpi.better == "lower" else mine.kpi - other.kpi


async def segments(board: Board, windows: int | None = None) -> tuple[Group, ...]:
    """Every segment over the newest windows (None: all kept), the worst first."""
    return await _groups(board, "segment:", windows)


async def slices(board: Board, windows: int | None = None) -> tuple[Group, ...]:
    """Every slice over the newest windows (None: all kept), the worst first."""
    return await _groups(board, "slice:", windows)


async def samples(board: Board) -> tuple[Sample, ...]:
    """Throughput, lag and freshness over time, as the monitor measured them, oldest first."""
    (shelf,) = await board.source.shelves(["samples"])
    return tuple(Sample(**orjson.loads(value)) for value in shelf.values())


async def _windows(board: Board, group: str) -> tuple[Windows, float]:
    names = [metrics_shelf(number, group) for number in range(board.count)]
    return summing.windows_of(await board.source.shelves(names))


async def _newest(board: Board, groups: Sequence[str], count: int | None) -> list[Windows]:
    """The newest windows (None: all that are kept) of several groups, in one reading."""
    names = [metrics_shelf(n, group) for group in groups for n in range(board.count)]
    if count is None:
        shelves = await board.source.shelves(names)
    else:
        shelves = await board.source.picked(names, await _fields(board, count))
    each = [shelves[at : at + board.count] for at in range(0, len(shelves), board.count)]
    return [summing.windows_of(of_group)[0] for of_group in each]


async def _fields(board: Board, count: int) -> list[str]:
    kept = await board.source.shelves([f"windows:{number}" for number in range(board.count)])
    starts = sorted({start for shelf in kept for start in shelf})[-count:]
    models = ("served", "baseline", *board.use_case.models)
    return [f"{start}|{model}" for start in starts for model in models]


async def _groups(board: Board, beginning: str, count: int | None) -> tuple[Group, ...]:
    indexes = await board.source.shelves([f"groups:{n}" for n in range(board.count)])
    names = sorted({name for index in indexes for name in index if name.startswith(beginning)})
    whole, *each = await _newest(board, [WHOLE, *names], count)
    of_all = _over(board.use_case, whole).get("served")
    found = []
    for name, windows in zip(names, each, strict=True):
        scores = _over(board.use_case, windows)
        if "served" in scores:
            told = next(orjson.loads(index[name]) for index in indexes if name in index)
            found.append(_group(board.use_case, told, scores, of_all))
    return tuple(sorted(found, key=lambda group: -(group.gap or 0.0)))


def _over(use_case: UseCase, windows: Windows) -> dict[str, Score]:
    return summing.scores(use_case, summing.total(windows.values()))


def _group(
    use_case: UseCase, told: list[str | None], scores: dict[str, Score], of_all: Score | None
) -> Group:
    segment, slice, _ = told
    served, gap = scores["served"], None
    if of_all is not None and served.value is not None and of_all.value is not None:
        gap = served.value - of_all.value
        gap = gap if BETTER[use_case.metric] == "lower" else -gap
    name = segment if segment is not None else slice
    return Group(str(name), segment, slice, served, scores.get("baseline"), gap)


def _targets(
    use_case: UseCase, cells: dict[str, summing.Cell], freshness_s: float | None
) -> list[Held]:
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
    """A moment as records write it, so that text compares as time does."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.isoformat()


__all__ = [
    "Board",
    "Point",
    "kpi_gain",
    "overview",
    "quality",
    "samples",
    "segments",
    "settled",
    "slices",
]
