"""Whether numbers are right on average, from a sample of the newest examples.

Read from the topic now and then, not kept by the monitor: means of some thousand records, for a
picture and not for decisions. Of classes the monitor keeps all of it (streams/monitor/reasons.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import orjson

from streams.ops.scene import Case
from streams.tapes import Tapes

EXAMPLES, BINS, LEAST = 800, 10, 5
"""Examples of each partition, groups of equal size, and the fewest in a group."""


class Group(NamedTuple):
    """Of `n` answers next to each other in size: the means of what was said and what was true."""

    said: float
    true: float
    n: int


async def sampled(case: Case) -> list[Group]:
    """The newest outcomes by what was said; empty for too few. Raises `Unavailable`."""
    topic = case.names["examples"]
    async with Tapes([topic], case.settings) as tapes:
        bounds = await tapes.bounds()
        learnt = [
            orjson.loads(record.value)
            for place in tapes.places
            async for record in tapes.records(place, bounds[place][1] - EXAMPLES)
        ]
    return _groups(learnt)


def _groups(examples: Sequence[Mapping[str, Any]]) -> list[Group]:
    found = (_pair(example) for example in examples if example["source"] == "outcome")
    pairs = sorted(pair for pair in found if pair is not None)
    size = len(pairs) // BINS
    if size < LEAST:
        return []
    parts = [pairs[n * size : (n + 1) * size] for n in range(BINS)]
    return [Group(fmean(p[0] for p in part), fmean(p[1] for p in part), size) for part in parts]


def _pair(example: Mapping[str, Any]) -> tuple[float, float] | None:
    said, true = example["said"], example["label"]
    return None if isinstance(said, str) or isinstance(true, str) else (float(said), float(true))
