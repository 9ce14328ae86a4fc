"""One feature's distribution, then and now, counted from the `features` topic when it is asked for.

Then: as many records from before the change as now, which is the newest ones. Bins are the same for
both: equal steps over what is between the 1st and the 99th percentile, or the commonest words.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import RiverrunError
from streams.ops.scene import Case
from streams.ops.writing import number, seconds_of
from streams.tapes import Bounds, Tapes

RECORDS = 1_500
"""Records of each partition, then and now."""

BINS, WORDS = 16, 12
FRESH_S = 20.0
KEPT_MAX = 60


@dataclass(slots=True)
class Compared:
    """A feature's shares by bin. `edges`: what each bin is, in words."""

    feature: str
    edges: list[str] = field(default_factory=list)
    then: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    then_words: str = ""
    now_words: str = ""
    failed: str = ""
    done: bool = False
    at: float = field(default_factory=monotonic)


class Histograms:
    """Counted one at a time, and kept for a while."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._known: dict[tuple[str, str | None], Compared] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def of(self, feature: str, since: str | None) -> Compared:
        """The newest count; begins another where that is old."""
        known = self._known.get((feature, since))
        if known is not None and (not known.done or monotonic() - known.at < FRESH_S):
            return known
        fresh = Compared(feature)
        if known is None or known.failed:
            self._known[feature, since] = fresh
        while len(self._known) > KEPT_MAX:
            self._known.pop(next(iter(self._known)))
        if known is not None:
            known.at = monotonic()
        task = asyncio.create_task(self._count(fresh, since))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._known[feature, since]

    async def close(self) -> None:
        """Count no further."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=2)

    async def _count(self, compared: Compared, since: str | None) -> None:
        topic = self._case.names["features"]
        try:
            async with self._turn, Tapes([topic], self._case.settings) as tapes:
                then: list[dict[str, Any]] = []
                now: list[dict[str, Any]] = []
                bounds = await tapes.bounds()
                for place in tapes.places:
                    start, end = bounds[place]
                    at = await _offset_of(tapes, place, bounds, since)
                    then += await _some(tapes, place, max(start, at - RECORDS), at)
                    now += await _some(tapes, place, max(start, end - RECORDS), end)
            _compare(compared, then, now)
        except RiverrunError as error:
            compared.failed = str(error)
        compared.done, compared.at = True, monotonic()
        self._known[compared.feature, since] = compared


async def _some(tapes: Tapes, place: TopicPartition, start: int, end: int) -> list[dict[str, Any]]:
    return [orjson.loads(r.value) async for r in tapes.records(place, start, end) if r.value]


async def _offset_of(tapes: Tapes, place: TopicPartition, bounds: Bounds, since: str | None) -> int:
    """The first offset at that event time, by halving; without one, so many after the beginning."""
    low, high = bounds[place]
    if since is None:
        return min(high, low + RECORDS)
    wanted = seconds_of(since) or 0.0
    while high - low > 50:
        middle = (low + high) // 2
        found = [r async for r in tapes.records(place, middle, middle + 40)][:1]
        at = seconds_of(orjson.loads(found[0].value)["event_time"]) if found else None
        if at is None or at >= wanted:
            high = middle
        else:
            low = middle
    return high


def _compare(
    compared: Compared, then: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]
) -> None:
    name = compared.feature
    before = [row["features"][name] for row in then if name in row["features"]]
    after = [row["features"][name] for row in now if name in row["features"]]
    compared.then_words, compared.now_words = _words(then), _words(now)
    if not before or not after:
        compared.failed = "There are too few values of it."
    elif all(_is_number(value) for value in (*before, *after)):
        compared.edges, compared.then, compared.now = _binned(before, after)
    else:
        common = [word for word, _ in Counter(map(str, (*before, *after))).most_common(WORDS)]
        compared.edges = common
        compared.then, compared.now = (
            _shares(map(str, values), common) for values in (before, after)
        )


def _binned(
    before: Sequence[float], after: Sequence[float]
) -> tuple[list[str], list[float], list[float]]:
    both = sorted((*before, *after))
    low, high = both[len(both) // 100], both[-1 - len(both) // 100]
    step = (high - low) / BINS
    if step == 0:
        return [number(low)], [1.0], [1.0]

    def place(value: float) -> int:
        return min(max(int((value - low) / step), 0), BINS - 1)

    edges = [number(low + n * step) for n in range(BINS)]
    then, now = (_shares(map(place, values), range(BINS)) for values in (before, after))
    return edges, then, now


def _shares(values: Any, bins: Any) -> list[float]:
    counts = Counter(values)
    total = counts.total()
    return [counts[name] / total for name in bins]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(rows: Sequence[dict[str, Any]]) -> str:
    times = [row["event_time"] for row in rows]
    if not times:
        return "nothing"
    return f"{len(rows):,} events from {min(times)[:10]} to {max(times)[:10]}"
