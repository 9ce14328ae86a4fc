"""What one answerer gained on another over settled blocks, with an interval valid at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.evidence.confidence_sequence import Comparison, Interval
from models.evidence.foresight import blocks_needed
from models.settled import Block
from models.usecase import UseCase

ALPHA = 0.05
Verdict = Literal["worth it", "not worth it", "not known yet"]
OF_COMPARISON: Mapping[str, Verdict] = {
    "better": "worth it",
    "worse": "not worth it",
    "undecided": "not known yet",
}


@dataclass(frozen=True, slots=True)
class Gain:
    """What one answerer gained on another over settled blocks; above 0 is better.

    `mean`, `lower` and `upper` are per labelled prediction, `total` is over all of these, all in
    the KPI's unit. Bounds are None until there is enough to bound it by.
    """

    labelled: int
    missing: int
    mean: float
    total: float
    lower: float | None
    upper: float | None
    worst_lower: float | None
    worst_upper: float | None
    verdict: Verdict
    blocks_needed: int | None

    @property
    def total_lower(self) -> float | None:
        """The lower bound, over all labelled predictions."""
        return None if self.lower is None else self.lower * self.labelled

    @property
    def total_upper(self) -> float | None:
        """The upper bound, over all labelled predictions."""
        return None if self.upper is None else self.upper * self.labelled


def gained(
    use_case: UseCase,
    blocks: Sequence[Block],
    who: tuple[str, str],
    *,
    price: float = 0.0,
    alpha: float = ALPHA,
) -> Gain:
    """What `who[0]` gained on `who[1]`, after `price` for each labelled prediction."""
    return gain_of(use_case, [pair_of(use_case, b, who) for b in blocks], price=price, alpha=alpha)


def gain_of(
    use_case: UseCase,
    pairs: Sequence[tuple[int, int, float]],
    *,
    price: float = 0.0,
    alpha: float = ALPHA,
) -> Gain:
    """The gain over blocks in event order, each as (predictions, labelled, gain in all)."""
    comparison = comparison_of(use_case, price, alpha)
    for predictions, labelled, gain in pairs:
        comparison.update(labelled, gain, missing=predictions - labelled)
    lower, upper = bounds_of(comparison, comparison.interval, price)
    worst = bounds_of(comparison, comparison.worst_case, price)
    labelled = comparison.labelled
    return Gain(
        labelled=labelled,
        missing=comparison.missing,
        mean=comparison.mean - price,
        total=comparison.total - price * labelled,
        lower=lower,
        upper=upper,
        worst_lower=None if lower is None else worst[0],
        worst_upper=None if upper is None else worst[1],
        verdict=OF_COMPARISON[comparison.verdict],
        blocks_needed=blocks_needed(comparison),
    )


def comparison_of(use_case: UseCase, price: float = 0.0, alpha: float = ALPHA) -> Comparison:
    """A fresh comparison within the KPI's range; what is gained has to be above the price."""
    least, most = use_case.kpi.range
    return Comparison(alpha=alpha, bound=most - least, margin=price)


def pair_of(use_case: UseCase, block: Block, who: tuple[str, str]) -> tuple[int, int, float]:
    """A block as (predictions, labelled, gain in all)."""
    served = "served" in who
    sums, n = (block.kpi, block.kpi_n) if served else (block.paired, block.paired_n)
    gain = sums.get(who[0], 0.0) - sums.get(who[1], 0.0)
    return block.predictions, n, -gain if use_case.kpi.better == "lower" else gain


def bounds_of(
    comparison: Comparison, interval: Interval, price: float
) -> tuple[float | None, float | None]:
    """The interval after the price; an end that is the end of the range says nothing."""
    lower, upper = interval
    bound = comparison.bound
    return (
        None if lower <= -bound else lower - price,
        None if upper >= bound else upper - price,
    )
