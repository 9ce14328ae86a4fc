"""What one answerer gained on another over settled blocks, with an interval valid at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from models.assignment import HOLDOUT
from models.evidence.arm_contest import ArmContest
from models.evidence.confidence_sequence import Comparison, Interval
from models.evidence.foresight import blocks_needed
from models.settled import Arm, Block
from models.usecase import UseCase

Verdict = Literal["worth it", "not worth it", "not known yet"]
OF_COMPARISON: Mapping[str, Verdict] = {
    "better": "worth it",
    "worse": "not worth it",
    "undecided": "not known yet",
}


@dataclass(frozen=True, slots=True)
class Gain:
    """What one answerer gained on another over settled blocks; above 0 is better.

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


def gained(
    use_case: UseCase,
    blocks: Sequence[Block],
    who: tuple[str, str],
    *,
    price: float = 0.0,
    alpha: float,
) -> Gain:
    """What `who[0]` gained on `who[1]`, after `price` for each labelled prediction."""
    return gain_of(use_case, [pair_of(use_case, b, who) for b in blocks], price=price, alpha=alpha)


def gain_of(
    use_case: UseCase,
    pairs: Sequence[tuple[int, int, float]],
    *,
    price: float = 0.0,
    alpha: float,
) -> Gain:
    """The gain over blocks in event order, each as (predictions, labelled, gain in all)."""
    comparison = comparison_of(use_case, alpha, price)
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


def held_out(
    use_case: UseCase, blocks: Sequence[Block], *, price: float = 0.0
) -> tuple[Gain, list[Running]] | None:
    """What was gained on units that the baseline answers for ever, and how it came together.

    Other units are compared with them, group by group (models.evidence.arm_contest): it holds where
    answers change outcomes, too. None without a holdout.
    """
    least, most = use_case.kpi.range
    contest = ArmContest(
        use_case.contest.alpha, most - least, use_case.kpi.better == "lower", margin=price
    )
    served, course = 0, []
    for block in blocks:
        if HOLDOUT in block.arms:
            held, others = block.arms[HOLDOUT], Arm()
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
    )
    return gain, course


def comparison_of(use_case: UseCase, alpha: float, price: float = 0.0) -> Comparison:
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
    comparison: Comparison | ArmContest, interval: Interval, price: float
) -> tuple[float | None, float | None]:
    """The interval after the price; an end that is the end of the range says nothing."""
    lower, upper = interval
    bound = comparison.bound
    return (
        None if lower <= -bound else lower - price,
        None if upper >= bound else upper - price,
    )
