"""What one answerer gained on another over closed blocks, with an interval valid at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from models.spec.experiment_arms import HOLDOUT
from models.spec.use_case import UseCase
from models.stats.ab_test import AbTest
from models.stats.confidence_sequence import Comparison, Interval
from models.worth.closed_blocks import ArmTotals, Block
from models.worth.time_to_decision import blocks_needed

Verdict = Literal["worth it", "not worth it", "not known yet"]
OF_COMPARISON: Mapping[str, Verdict] = {
    "better": "worth it",
    "worse": "not worth it",
    "undecided": "not known yet",
}


@dataclass(frozen=True, slots=True)
class Gain:
    """What one answerer gained on another over closed blocks; above 0 is better.

    `mean`, `lower` and `upper` are per labelled prediction, `total` and its bounds over all of
    these, all in the KPI's unit. Bounds are None until there is enough to bound it by.
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
    not_promised: str | None = None
    assumes: str | None = None

    total_lower: float | None = field(init=False)
    total_upper: float | None = field(init=False)

    def __post_init__(self) -> None:
        n = self.labelled
        object.__setattr__(self, "total_lower", None if self.lower is None else self.lower * n)
        object.__setattr__(self, "total_upper", None if self.upper is None else self.upper * n)


class Running(NamedTuple):
    """The total by the end of a block, and the bounds per labelled prediction then."""

    total: float
    lower: float | None
    upper: float | None
    labelled: int


class BlockGain(NamedTuple):
    """What one answerer gained on another in a block, in all, and what the other cost there."""

    predictions: int
    labelled: int
    gain: float
    cost: float


def gained(
    use_case: UseCase,
    blocks: Sequence[Block],
    answerers: tuple[str, str],
    *,
    price: float = 0.0,
    alpha: float,
) -> Gain:
    """Return what `who[0]` gained on `who[1]`, after `price` for each labelled prediction."""
    return gain_of(
        use_case, [pair_of(use_case, b, answerers) for b in blocks], price=price, alpha=alpha
    )


def gain_of(
    use_case: UseCase,
    blocks: Sequence[BlockGain],
    *,
    price: float = 0.0,
    alpha: float,
) -> Gain:
    """Return the gain over blocks in event order, after `price` for each labelled prediction."""
    comparison = comparison_of(use_case, alpha, price)
    for block in blocks:
        add_block(comparison, block)
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
        not_promised=comparison.not_promised,
        assumes=comparison.assumes,
    )


def unknown(gain: Gain) -> Gain:
    """Return the sums without bounds or verdict, where they are no fair sample."""
    return replace(
        gain,
        lower=None,
        upper=None,
        worst_lower=None,
        worst_upper=None,
        verdict="not known yet",
        blocks_needed=None,
        not_promised=None,
        assumes=None,
    )


def held_out(
    use_case: UseCase, blocks: Sequence[Block], *, price: float = 0.0
) -> tuple[Gain, list[Running]] | None:
    """Return the gain over units that the baseline answers for ever, and its course by block.

    Other units are compared with them, group by group (models.stats.ab_test): it holds where
    answers change outcomes, too. None without a holdout.
    """
    least, most = use_case.kpi.range
    contest = AbTest(
        use_case.contest.alpha,
        most - least,
        use_case.kpi.better == "lower",
        margin=price,
        missing_outcomes=use_case.contest.missing,
    )
    served, course = 0, []
    for block in blocks:
        if HOLDOUT in block.arms:
            held, others = block.arms[HOLDOUT], ArmTotals()
            for name in sorted(block.arms):
                if name != HOLDOUT:
                    others.add(block.arms[name].predictions, block.arms[name].groups)
            if others.groups:
                asked = held.predictions + others.predictions
                missing = asked - held.labelled - others.labelled
                contest.update(others.groups, held.groups, missing)
                served += others.labelled
        bounds = bounds_of(contest, contest.interval, price)
        course.append(Running((contest.mean - price) * served, *bounds, labelled=served))
    if not contest.seen:
        return None
    lower, upper = bounds_of(contest, contest.interval, price)
    worst = bounds_of(contest, contest.worst_case, price)
    gain = Gain(
        labelled=served,
        missing=contest.missing,
        mean=contest.mean - price,
        total=(contest.mean - price) * served,
        lower=lower,
        upper=upper,
        worst_lower=None if lower is None else worst[0],
        worst_upper=None if upper is None else worst[1],
        verdict=OF_COMPARISON[contest.verdict],
        blocks_needed=0 if contest.verdict != "undecided" else None,
        not_promised=contest.not_promised,
    )
    return gain, course


def comparison_of(use_case: UseCase, alpha: float, price: float = 0.0) -> Comparison:
    """Return a fresh comparison over all blocks, whose gain has to be above the price."""
    least, most = use_case.kpi.range
    return Comparison(
        alpha=alpha,
        bound=most - least,
        margin=price,
        counts_warm_up=True,
        missing_outcomes=use_case.contest.missing,
        rare_losses=use_case.contest.rare_losses,
    )


def add_block(comparison: Comparison, block: BlockGain) -> None:
    """Add a block to the comparison."""
    missing = block.predictions - block.labelled
    comparison.update(block.labelled, block.gain, missing, cost=block.cost)


def pair_of(use_case: UseCase, block: Block, answerers: tuple[str, str]) -> BlockGain:
    """Return what `who[0]` gained on `who[1]` in a block."""
    served = "served" in answerers
    sums, n = (block.kpi, block.kpi_n) if served else (block.paired, block.paired_n)
    cost = sums.get(answerers[1], 0.0)
    gain = sums.get(answerers[0], 0.0) - cost
    gain = -gain if use_case.kpi.better == "lower" else gain
    return BlockGain(block.predictions, n, gain, cost)


def bounds_of(
    comparison: Comparison | AbTest, interval: Interval, price: float
) -> tuple[float | None, float | None]:
    """Return the interval after the price; None for an end that is the end of the range."""
    lower, upper = interval
    bound = comparison.bound
    return (
        None if lower <= -bound else lower - price,
        None if upper >= bound else upper - price,
    )
