"""The rows of a report of worth: gain of each model and segment, by block, and its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.spec.use_case import UseCase
from models.worth.closed_blocks import Block, ClosedBlocks, together
from models.worth.gain import Gain, add_block, bounds_of, comparison_of, gained, pair_of

POINTS_MAX = 400
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes: CPU of each model and of the rest for one event, and its price."""

    cpu_us: Mapping[str, float]
    per_cpu_hour: float
    per_day: float
    per_prediction: float
    total: float


@dataclass(frozen=True, slots=True)
class GainPoint:
    """One block on the way: KPI per event by who would have answered, and the running total."""

    start: float
    predictions: int
    labelled: int
    kpi: Mapping[str, float]
    gain: float
    total: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Answerer:
    """A model, or one segment: its KPI and the baseline's per event, and what it gained."""

    name: str
    kpi: float | None
    baseline: float | None
    gain: Gain
    cpu_us: float | None = None
    cost: float | None = None


def points_of(use_case: UseCase, blocks: Sequence[Block]) -> list[GainPoint]:
    """Return all blocks with the running total, at most `POINTS_MAX` of them with an interval."""
    comparison = comparison_of(use_case, use_case.contest.alpha)
    every = -(-len(blocks) // POINTS_MAX)
    points = []
    for number, block in enumerate(blocks, 1):
        pair = pair_of(use_case, block, ("served", "baseline"))
        add_block(comparison, pair)
        lower = upper = None
        if number % every == 0 or number == len(blocks):
            lower, upper = bounds_of(comparison, comparison.interval, 0.0)
        kpi = {name: total / block.kpi_n for name, total in block.kpi.items() if block.kpi_n}
        for name, total in block.paired.items():
            if name not in kpi and block.paired_n:
                kpi[name] = total / block.paired_n
        n = comparison.labelled
        points.append(
            GainPoint(
                block.start,
                block.predictions,
                block.kpi_n,
                kpi,
                pair.gain,
                comparison.total,
                None if lower is None else lower * n,
                None if upper is None else upper * n,
            )
        )
    return points


def model_of(use_case: UseCase, blocks: Sequence[Block], name: str, cost: Cost | None) -> Answerer:
    """Return one model's gain on the events that every model predicted."""
    whole = together(blocks)
    alpha = use_case.contest.alpha / len(use_case.models)
    cpu_us = None if cost is None else cost.cpu_us.get(name)
    return Answerer(
        name,
        mean_of(whole.paired.get(name), whole.paired_n),
        mean_of(whole.paired.get("baseline"), whole.paired_n),
        gained(use_case, blocks, (name, "baseline"), alpha=alpha),
        cpu_us,
        None
        if cost is None or cpu_us is None
        else whole.predictions * cpu_us / 3.6e9 * cost.per_cpu_hour,
    )


def segment_of(use_case: UseCase, closed: ClosedBlocks, segment: str, count: int) -> Answerer:
    """Return the gain in one of `count` segments, whose intervals share the error probability."""
    blocks = closed.blocks((segment, None))
    whole = together(blocks)
    return Answerer(
        segment,
        mean_of(whole.kpi.get("served"), whole.kpi_n),
        mean_of(whole.kpi.get("baseline"), whole.kpi_n),
        gained(use_case, blocks, ("served", "baseline"), alpha=use_case.contest.alpha / count),
    )


def cost_of(
    use_case: UseCase, whole: Block, part: Block, cpu_us: Mapping[str, float] | None
) -> Cost | None:
    """Return the cost of a `part`: CPU of its events, and its share of the price of days."""
    price = use_case.price
    if price is None:
        return None
    spent = dict(cpu_us or {})
    per_prediction = sum(spent.values()) / 3.6e9 * price.per_cpu_hour
    share = part.predictions / whole.predictions if whole.predictions else 0.0
    days = price.per_day * whole.length_s / DAY_S * share
    total = per_prediction * part.predictions + days
    return Cost(spent, price.per_cpu_hour, price.per_day, per_prediction, total)


def mean_of(total: float | None, n: int) -> float | None:
    """Return the mean; None where there is nothing to divide by."""
    return total / n if n and total is not None else None
