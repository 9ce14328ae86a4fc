"""What a sample of predictions and examples says: which features move answers, and calibration.

Read from the topics now and then, not kept by the monitor: shares and means of some thousand
records, for pictures and not for decisions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import orjson
from aiokafka import TopicPartition

from streams.ops.charts import Chart, Series
from streams.ops.scene import Case
from streams.ops.writing import seconds_of
from streams.tapes import Tapes

MOMENTS, EACH = 10, 50
"""Importance: so many moments, so many predictions of each partition at each."""

EXAMPLES, BINS, FEATURES = 800, 10, 6


@dataclass(slots=True)
class Sampled:
    """`moments`: event time → feature → mean size of its contribution; `bins`: said, true, n."""

    moments: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    bins: list[tuple[float, float, int]] = field(default_factory=list)


async def sampled(case: Case) -> Sampled:
    """Read the sample; raises `Unavailable`."""
    predictions, examples = case.names["predictions"], case.names["examples"]
    async with Tapes([predictions, examples], case.settings) as tapes:
        bounds = await tapes.bounds()

        async def some(place: TopicPartition, start: int, count: int) -> list[dict[str, Any]]:
            records = tapes.records(place, start, min(start + count, bounds[place][1]))
            return [orjson.loads(record.value) async for record in records]

        moments = []
        for number in range(MOMENTS):
            found: list[dict[str, Any]] = []
            for place in tapes.of(predictions):
                first, end = bounds[place]
                step = max(0, end - first - EACH) // (MOMENTS - 1)
                found += await some(place, first + step * number, EACH)
            moments.append(found)
        learnt: list[dict[str, Any]] = []
        for place in tapes.of(examples):
            first, end = bounds[place]
            learnt += await some(place, max(first, end - EXAMPLES), EXAMPLES)
    features = tuple(case.use_case.features)
    sizes = [_sizes(found, features) for found in moments]
    return Sampled([one for one in sizes if one is not None], _bins(learnt))


def _sizes(
    found: Sequence[Mapping[str, Any]], features: Sequence[str]
) -> tuple[float, dict[str, float]] | None:
    told = [said for said in found if said["contributions"]]
    if not told:
        return None
    sums: dict[str, float] = defaultdict(float)
    for said in told:
        for name, amount in said["contributions"].items():
            sums[_feature_of(name, features)] += abs(amount)
    at = fmean(seconds_of(said["event_time"]) or 0.0 for said in told)
    return at, {name: total / len(told) for name, total in sums.items()}


def _feature_of(name: str, features: Sequence[str]) -> str:
    """The feature of a model's input: one-hot inputs are `feature_value`.

    >>> _feature_of("dest_TPA", ["dest", "queue_40"]), _feature_of("queue_40", ["queue_40"])
    ('dest', 'queue_40')
    """
    if name in features:
        return name
    matching = [feature for feature in features if name.startswith(f"{feature}_")]
    return max(matching, key=len, default=name)


def _bins(examples: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, int]]:
    found = (_pair(example) for example in examples if example["source"] == "outcome")
    pairs = sorted(pair for pair in found if pair is not None)
    size = len(pairs) // BINS
    if size < 5:
        return []
    parts = [pairs[n * size : (n + 1) * size] for n in range(BINS)]
    return [(fmean(p[0] for p in part), fmean(p[1] for p in part), size) for part in parts]


def _pair(example: Mapping[str, Any]) -> tuple[float, float] | None:
    said, true = example["said"], example["label"]
    return None if isinstance(said, str) or isinstance(true, str) else (float(said), float(true))


def charts_of(case: Case, found: Sampled) -> list[Chart]:
    """Calibration, and importance over time."""
    charts = []
    if found.bins:
        charts.append(_calibration(case, found.bins))
    if len(found.moments) > 1:
        charts.append(_importance(case, found.moments))
    return charts


def _calibration(case: Case, bins: Sequence[tuple[float, float, int]]) -> Chart:
    x = [said for said, _, _ in bins]
    return Chart(
        id="calibration",
        title="Is it right on average?",
        say=f"Ten groups of {bins[0][2]:,} newest outcomes, by what was said; the dashed line is "
        "what was said, the dots what was true.",
        x=x,
        x_name="said",
        scale="number",
        series=[
            Series("said", x, tone="baseline", dashed=True),
            Series("true", [true for _, true, _ in bins], "points"),
        ],
        command=case.command("tail", f"{case.name}.examples", "--from-beginning", "--to-end"),
    )


def _importance(case: Case, moments: Sequence[tuple[float, Mapping[str, float]]]) -> Chart:
    total: dict[str, float] = defaultdict(float)
    for _, sizes in moments:
        for name, size in sizes.items():
            total[name] += size
    top = sorted(total, key=lambda name: -total[name])[:FEATURES]
    return Chart(
        id="importance",
        title="What moves its answers",
        say="Mean size of a feature's contribution where it is among the largest, in the label's "
        "unit.",
        x=[at for at, _ in moments],
        series=[
            Series(name, [sizes.get(name, 0.0) for _, sizes in moments], tone=f"m{number}")
            for number, name in enumerate(top)
        ],
        group="time",
        zero=True,
        command=case.command("tail", f"{case.name}.predictions", "--from-beginning", "--to-end"),
    )
