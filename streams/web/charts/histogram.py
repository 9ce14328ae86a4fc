"""One feature's distribution, before and now, counted from the `features` topic on demand.

Before: as many records from before the change as now, which are the newest ones. Bins are the same
for both: equal steps between the 1st and the 99th percentile, or the most frequent values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from schemas.errors import Unavailable
from streams.kafka.topic_reader import Bounds, TopicReader
from streams.web.render.formatting import number, seconds_of
from streams.web.state.page_model import Case

RECORDS = 1_500
"""Records of each partition, before and now."""

BINS, WORDS = 16, 12


@dataclass(slots=True)
class FeatureComparison:
    """A feature's shares by bin, before and now. `edges`: the name of each bin."""

    feature: str
    edges: list[str] = field(default_factory=list)
    then: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    then_words: str = ""
    now_words: str = ""


async def compare_feature(case: Case, feature: str, since: str | None) -> FeatureComparison:
    """Return a feature before `since` (None: at the start) and now; raises `Unavailable`."""
    then: list[dict[str, Any]] = []
    now: list[dict[str, Any]] = []
    async with TopicReader([case.names["features"]], case.settings) as reader:
        bounds = await reader.bounds()
        for partition in reader.topic_partitions:
            start, end = bounds[partition]
            offset = await _offset_of(reader, partition, bounds, since)
            then += await _read(reader, partition, max(start, offset - RECORDS), offset)
            now += await _read(reader, partition, max(start, end - RECORDS), end)
    return _compare(FeatureComparison(feature), then, now)


async def _read(
    reader: TopicReader, partition: TopicPartition, start: int, end: int
) -> list[dict[str, Any]]:
    return [row async for _, row in reader.rows("features", partition, start, end)]


async def _offset_of(
    reader: TopicReader, partition: TopicPartition, bounds: Bounds, since: str | None
) -> int:
    """Return the first offset at an event time, by bisection; without one, `RECORDS` in."""
    low, high = bounds[partition]
    if since is None:
        return min(high, low + RECORDS)
    wanted = seconds_of(since) or 0.0
    while high - low > 50:
        middle = (low + high) // 2
        rows = await _read(reader, partition, middle, middle + 40)
        time = seconds_of(rows[0]["event_time"]) if rows else None
        if time is None or time >= wanted:
            high = middle
        else:
            low = middle
    return high


def _compare(
    comparison: FeatureComparison, then: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]
) -> FeatureComparison:
    name = comparison.feature
    before = [row["features"][name] for row in then if name in row["features"]]
    after = [row["features"][name] for row in now if name in row["features"]]
    comparison.then_words, comparison.now_words = _words(then), _words(now)
    if not before or not after:
        raise Unavailable(f"There are too few values of {name} so far.")
    if all(_is_number(value) for value in (*before, *after)):
        comparison.edges, comparison.then, comparison.now = _binned(before, after)
    else:
        common = [word for word, _ in Counter(map(str, (*before, *after))).most_common(WORDS)]
        comparison.edges = common
        comparison.then, comparison.now = (
            _shares(map(str, values), common) for values in (before, after)
        )
    return comparison


def _binned(
    before: Sequence[float], after: Sequence[float]
) -> tuple[list[str], list[float], list[float]]:
    both = sorted((*before, *after))
    low, high = both[len(both) // 100], both[-1 - len(both) // 100]
    if low == high:
        return [number(low)], [1.0], [1.0]
    bins, step = BINS, (high - low) / BINS
    if high - low < BINS and all(float(value).is_integer() for value in both):
        bins, step = int(high - low) + 1, 1.0  # a bar for each integer

    def index(value: float) -> int:
        return min(max(int((value - low) / step), 0), bins - 1)

    edges = [number(int(low) + n) if step == 1.0 else number(low + n * step) for n in range(bins)]
    then, now = (_shares(map(index, values), range(bins)) for values in (before, after))
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
        return "no events"
    return f"{len(rows):,} events from {min(times)[:10]} to {max(times)[:10]}"
