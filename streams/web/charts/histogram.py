"""One feature's distribution, then and now, counted from the `features` topic when it is asked for.

Then: as many records from before the change as now, which is the newest ones. Bins are the same for
both: equal steps over what is between the 1st and the 99th percentile, or the commonest words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas.errors import Unavailable
from streams.ops.scene import Case
from streams.ops.writing import number, seconds_of
from streams.tapes import Bounds, Tapes

RECORDS = 1_500
"""Records of each partition, then and now."""

BINS, WORDS = 16, 12


@dataclass(slots=True)
class Compared:
    """A feature's shares by bin. `edges`: what each bin is, in words."""

    feature: str
    edges: list[str] = field(default_factory=list)
    then: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    then_words: str = ""
    now_words: str = ""


async def compared(case: Case, feature: str, since: str | None) -> Compared:
    """The feature before `since` (None: at the beginning) and now; raises `Unavailable`."""
    then: list[dict[str, Any]] = []
    now: list[dict[str, Any]] = []
    async with Tapes([case.names["features"]], case.settings) as tapes:
        bounds = await tapes.bounds()
        for place in tapes.places:
            start, end = bounds[place]
            at = await _offset_of(tapes, place, bounds, since)
            then += await _some(tapes, place, max(start, at - RECORDS), at)
            now += await _some(tapes, place, max(start, end - RECORDS), end)
    return _compare(Compared(feature), then, now)


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
    made: Compared, then: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]
) -> Compared:
    name = made.feature
    before = [row["features"][name] for row in then if name in row["features"]]
    after = [row["features"][name] for row in now if name in row["features"]]
    made.then_words, made.now_words = _words(then), _words(now)
    if not before or not after:
        raise Unavailable(f"There are too few values of {name} yet.")
    if all(_is_number(value) for value in (*before, *after)):
        made.edges, made.then, made.now = _binned(before, after)
    else:
        common = [word for word, _ in Counter(map(str, (*before, *after))).most_common(WORDS)]
        made.edges = common
        made.then, made.now = (_shares(map(str, values), common) for values in (before, after))
    return made


def _binned(
    before: Sequence[float], after: Sequence[float]
) -> tuple[list[str], list[float], list[float]]:
    both = sorted((*before, *after))
    low, high = both[len(both) // 100], both[-1 - len(both) // 100]
    if low == high:
        return [number(low)], [1.0], [1.0]
    bins, step = BINS, (high - low) / BINS
    if high - low < BINS and all(float(value).is_integer() for value in both):
        bins, step = int(high - low) + 1, 1.0  # a bar for each: none is empty by its width

    def place(value: float) -> int:
        return min(max(int((value - low) / step), 0), bins - 1)

    edges = [number(int(low) + n) if step == 1.0 else number(low + n * step) for n in range(bins)]
    then, now = (_shares(map(place, values), range(bins)) for values in (before, after))
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
