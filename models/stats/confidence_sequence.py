r"""Is the challenger better than the champion: a verdict that may be read after every block.

Theory. A gambler who thinks that the challenger is *not* better by more than the margin m bets on
each block's mean gain d_i before he sees it. If he is right (E[d_i | past] <= m) his wealth is a
non-negative supermartingale, so it ever reaches 2/alpha with probability at most alpha/2, however
often somebody looks (Ville 1939). Wealth of 2/alpha is a verdict, and the margins that are
not refuted are a confidence sequence (Howard, Ramdas, McAuliffe & Sekhon 2021, Ann. Stat. 49(2)).
That bounds the probability of ever reaching 2/alpha; it does not say that the gain stays. So a
verdict holds while the wealth is there, and ends with it.

Wealth is an equal mixture over STAKES of prod exp(y_i - y_i²/6 - v_i/3), y_i = stake·(d_i - m)/s_i,
v_i = stake², a supermartingale wherever Var(d_i | past) <= s_i², for *any* shape of distribution:
exp(y - y²/6) <= 1 + y + y²/3 (Delyon 2009, EJP 14; used for heavy tails by Wang &
Ramdas 2023, SPA 163). s_i² is the variance of the blocks before, raised by 2/i for
not being known, with a floor. No range enters, so skew costs nothing but its variance.

What is promised. False winners <= alpha/2 exactly where s_i² is not below the conditional
variance; approximately where it is estimated from stable blocks
(tests/models/stats/test_confidence_sequence.py counts it). Not promised: a model whose losses are
so rare that none has been seen yet. Against that stands `strict_verdict`: betting capital
(Waudby-Smith & Ramdas 2024, JRSS-B 86(1)) whose bets are so small that a block at the end of the
declared range cannot ruin it; it assumes nothing but E[d_i | past] <= m, and needs about
(range/gain)·log(2/alpha) blocks at least, as anything must that has to rule out a rare disaster.

The total is judged. A block's weight is its number of predictions relative to the usual one, so
that what is bet on is the sum of gains: two models that are equal in total are equal here, in
whatever blocks one gains and the other loses (docs/adr/0080).

Where the gain changes, these bets are about a mean in which steady blocks weigh more. The interval
is therefore the hull of theirs and of the running mean's own (running_mean.py), and a verdict needs
both.

Dependence. Within a block: any. Between blocks the proof needs that the past does not foretell the
next gain. So the same bets are made on single blocks *and* on groups of seven, all must cross, and
the running mean's interval is widened by the memory that was measured. `not_promised` says where
that is not enough, or where outcomes are missing that could undo the verdict. `assumes` says what
no statistic of few blocks can tell: that no large loss is rarer than once in a tenth of them, and
that gains do not hang together over months.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from models.spec.use_case import MissingOutcomes
from models.stats.betting import STAKES, Spread, StrictCapital, Wager, log_mean_exp
from models.stats.running_mean import KNOWN_AFTER, LossSkew, RunningMean

LEAST_VARIANCE = 1e-300
ROUNDING = 1e-3
"""By how much sums of differences of large amounts may leave the range, as a share of it."""
STEADY = 8.0
"""At most so many times the scale is the usual gain of a block."""
GROUPS_LEAST = 4
"""The fewest bets that can make a gambler rich at a level of 5 %; at a smaller level it is more."""
SEEN_AFTER = 5
"""A loss that comes once in n blocks was seen in 5n of them in all but 0.7 % of cases."""
COUNTED_AFTER = 10
"""In 10n blocks it was seen four times in all but 1 % of cases, so the variance knows it."""
RULE_OF_THREE = 3.0
"""What never happened in n blocks happens in at most 3/n of all, with confidence 95 %."""

Verdict = Literal["better", "worse", "undecided"]


class Interval(NamedTuple):
    """Lower and upper bound of the mean gain per prediction, in the KPI's unit."""

    lower: float
    upper: float


@dataclass(slots=True)
class Comparison:
    """Challenger against champion, block by block in event order.

    `alpha` is this comparison's share of the budget. `bound` is R: a paired difference of the KPI
    lies in [-R, R] (the width of the KPI's declared range). `margin` is what the challenger must be
    better by, in the KPI's unit. `floor` is the least standard deviation of a block's mean gain:
    models that differ by less do not win quickly. By default it is a thousandth of the champion's
    usual cost, or R/10,000 where `update` is not told that.

    The first `warm_blocks` only measure the scale; they are part of the mean, and of what the
    interval is about, only where `counts_warm_up`. `missing_outcomes` is what is assumed of them:
    that they are missing "by chance", that each is as bad as the range allows ("worst"), or nothing
    ("unknown": a verdict that they could undo is not promised). Losses that come once in
    `rare_losses` blocks have to be ruled out before a verdict "better" is promised.

    A verdict is as of now: it ends when later blocks bear it out no longer. 25 µs a block; constant
    memory (2 kB pickled).

    >>> c = Comparison(alpha=0.05, bound=50.0)
    >>> for day in range(60):
    ...     c.update(count=900, gain=900 * (0.4 + 0.3 * (-1) ** day))
    >>> c.verdict, c.interval.lower > 0
    ('better', True)
    >>> same = Comparison(alpha=0.05, bound=50.0)
    >>> for day in range(1_000):
    ...     same.update(count=900, gain=0.0)
    >>> same.verdict
    'undecided'
    """

    alpha: float
    bound: float
    margin: float = 0.0
    floor: float | None = None
    groups: tuple[int, ...] = (1, 7)
    warm_blocks: int = 7
    counts_warm_up: bool = False
    missing_outcomes: MissingOutcomes = "unknown"
    rare_losses: int = 5
    seen: int = 0
    labelled: int = 0
    missing: int = 0
    total: float = 0.0
    usual: float = 0.0
    usual_cost: float | None = None
    verdict: Verdict = "undecided"
    decided_at: int | None = None
    spread: Spread = field(default_factory=Spread)
    warm_spread: Spread = field(default_factory=Spread)
    running: RunningMean = field(default_factory=RunningMean)
    skew: LossSkew = field(default_factory=LossSkew)
    wagers: list[Wager] = field(default_factory=list)
    strict: StrictCapital | None = None

    def __post_init__(self) -> None:
        if not (0.0 < self.alpha < 1.0 and self.bound > 0.0 and self.warm_blocks >= 2):
            raise ValueError("alpha in (0, 1), bound above 0 and at least 2 warm blocks are needed")
        self.wagers = self.wagers or [Wager(group) for group in self.groups]
        self.strict = self.strict or StrictCapital(0.99 / (self.bound + abs(self.margin)))

    def update(self, count: int, gain: float, missing: int = 0, cost: float | None = None) -> None:
        """Add the next closed block: `count` labelled predictions and the sum of their `gain`.

        `missing` predictions of it never got an outcome; `cost` is the champion's KPI of the
        labelled ones together. Raises ValueError, and changes nothing, where the mean gain lies
        outside the declared range.
        """
        value = gain / count if count else 0.0
        if not abs(value) <= self.bound * (1.0 + ROUNDING):
            raise ValueError(f"mean gain {value} of a block is outside ±{self.bound}")
        value = min(max(value, -self.bound), self.bound)
        self.missing += missing
        if count == 0:
            return
        # In proportion to its size: what is judged is the total, whatever block it came in.
        weight = count / self.usual if self.seen else 1.0
        warm = self.seen >= self.warm_blocks
        if warm:
            self._bet(weight * value, weight)
        if warm or self.counts_warm_up:
            self.running.update(value * count, count)
            self.skew.update(weight * value / self.bound)
        self._measure(weight * value)
        self.usual += (count - self.usual) / self.seen
        if cost is not None:
            usual_cost = self.usual_cost or 0.0
            self.usual_cost = usual_cost + (abs(cost / count) - usual_cost) / self.seen
        self.labelled += count
        self.total += gain
        if warm:
            self._judge()

    @property
    def strict_verdict(self) -> Verdict:
        """The verdict, as of now, that assumes nothing but the range."""
        assert self.strict is not None
        if log_mean_exp(self.strict.up) >= self._needed:
            return "better"
        return "worse" if log_mean_exp(self.strict.down) >= self._needed else "undecided"

    @property
    def blocks_least(self) -> int:
        """Blocks before which there is no verdict: the warm-up, and the fewest groups to win by."""
        return self.warm_blocks + GROUPS_LEAST * max(self.groups)

    @property
    def mean(self) -> float:
        """Mean gain per labelled prediction: since the warm-up, once there is a block after it."""
        if self.running.blocks:
            return self.running.mean
        return self.total / self.labelled if self.labelled else 0.0

    @property
    def interval(self) -> Interval:
        """Confidence sequence of the mean gain at level 1 - alpha, as of now (0.6 ms).

        The hull of the intervals of all bets and of the running mean: it holds if one of them does.
        """
        mean, half = self.running.mean, self.half_width
        lower = min(mean - half, *(self._end(wager, +1.0) for wager in self.wagers))
        upper = max(mean + half, *(self._end(wager, -1.0) for wager in self.wagers))
        return Interval(max(lower, -self.bound), min(upper, self.bound))

    @property
    def half_width(self) -> float:
        """Half of the width of the running mean's own interval; infinite at the beginning."""
        return self.running.half_width(self.alpha, self.least_deviation)

    @property
    def worst_case(self) -> Interval:
        """The interval with every missing outcome at its worst, lower and upper (Manski 1990)."""
        share, lost = self._worst
        lower, upper = self.interval
        return Interval(share * lower - lost, share * upper + lost)

    @property
    def not_promised(self) -> str | None:
        """The reason why the error probability is not promised here, in words; None where it is."""
        reasons = [self._memory_doubt]
        if self.missing_outcomes == "unknown" and self.verdict != self._verdict_at_worst:
            reasons.append(missing_doubt(self.labelled, self.missing))
        reasons.append(self._rare_loss_doubt)
        if self.verdict != "undecided":
            reasons.append(self.skew.doubt(1.0 if self.verdict == "better" else -1.0))
        return "; ".join(reason for reason in reasons if reason) or None

    @property
    def rarest_loss(self) -> int:
        """Blocks in which a loss has to come once to have been seen some times by now."""
        return self.seen // COUNTED_AFTER

    @property
    def knows_memory(self) -> bool:
        """True if there are enough blocks to measure how long gains hang together."""
        return self.running.blocks >= KNOWN_AFTER

    @property
    def assumes(self) -> str:
        """The assumptions of interval and verdict, since so few blocks cannot show it."""
        often = f"once in {self.rarest_loss} blocks" if self.rarest_loss > 1 else "in every block"
        rare = (
            f"that no large loss comes less often than {often} ({self.seen} cannot show how often)"
        )
        if self.knows_memory:
            return rare
        return (
            f"{rare} and that gains do not hang together over months "
            f"({KNOWN_AFTER} blocks can show it)"
        )

    @property
    def usual_spread(self) -> Spread:
        """Spread of blocks: without the warm-up once as many others have replaced it."""
        # A cold start is no scale for what follows.
        return self.spread if self.spread.count >= self.warm_blocks else self.warm_spread

    @property
    def least_deviation(self) -> float:
        """Least standard deviation of a block's mean gain."""
        if self.floor is not None:
            return self.floor
        if self.usual_cost is None:
            return self.bound / 10_000
        return max(self.usual_cost / 1_000, self.bound * 1e-9)

    def excludes(self, mean: float) -> bool:
        """Return whether that mean gain lies outside `interval` (20 µs)."""
        return self._verdict(mean, mean) != "undecided"

    def _bet(self, value: float, weight: float) -> None:
        floor = self.least_deviation
        spread = self.usual_spread
        # A larger scale is always fair. One that a steady gain dwarfs would be bad bets: past y = 6
        # the bound above falls below 0.
        steady = abs(spread.mean) / STEADY
        # The last is for a floor whose square is 0: a wager divides by the root.
        variance = max(spread.variance, floor * floor, steady * steady, LEAST_VARIANCE)
        for wager in self.wagers:
            wager.update(value, weight, variance)
        assert self.strict is not None
        self.strict.update(value - self.margin * weight, math.sqrt(variance), weight)

    def _judge(self) -> None:
        """Judge whether the gain is above the margin, below it, or not known, as of now."""
        worst = self.missing_outcomes == "worst"
        verdict = self._verdict_at_worst if worst else self._verdict(self.margin, self.margin)
        if verdict != self.verdict:
            self.verdict = verdict
            self.decided_at = None if verdict == "undecided" else self.seen

    def _verdict(self, better: float, worse: float) -> Verdict:
        mean, half = self.running.mean, self.half_width
        if mean - half > better and self._all_refute(better, +1.0):
            return "better"
        return "worse" if mean + half < worse and self._all_refute(worse, -1.0) else "undecided"

    @property
    def _verdict_at_worst(self) -> Verdict:
        share, lost = self._worst
        if not share:
            return "undecided"
        return self._verdict((self.margin + lost) / share, (self.margin - lost) / share)

    @property
    def _worst(self) -> tuple[float, float]:
        """Share of predictions with an outcome, and the most that the others can add."""
        share = self.labelled / max(1, self.labelled + self.missing)
        return share, (1.0 - share) * self.bound

    @property
    def _memory_doubt(self) -> str | None:
        """Return in words that memory which is not measured yet could undo the verdict."""
        doubt = self.running.memory_doubt
        if doubt is None:
            return None
        mean, half = self.running.mean, doubt.factor * self.half_width
        stands = (self.verdict == "better" and mean - half > self.margin) or (
            self.verdict == "worse" and mean + half < self.margin
        )
        return None if stands else doubt.reason

    @property
    def _rare_loss_doubt(self) -> str | None:
        """Return in words that losses which were not seen yet could undo the verdict."""
        needed = SEEN_AFTER * self.rare_losses
        if self.verdict != "better" or self.seen >= needed:
            return None
        unseen = RULE_OF_THREE / self.seen * self.bound
        if self._verdict(self.margin + unseen, self.margin + unseen) == "better":
            return None
        return (
            f"a loss that comes once in {self.rare_losses} blocks may not have been seen in "
            f"{self.seen}; {needed} are needed (Contest.rare_losses)"
        )

    def _all_refute(self, margin: float, sign: float) -> bool:
        return all(self._refutes_up_to(wager, margin, sign) for wager in self.wagers)

    def _measure(self, value: float) -> None:
        self.seen += 1
        (self.warm_spread if self.seen <= self.warm_blocks else self.spread).update(value)
        if self.warm_blocks < self.seen <= 2 * self.warm_blocks:
            self.warm_spread.update(value)

    @property
    def _needed(self) -> float:
        return math.log(2.0 / self.alpha)

    def _refutes(self, wager: Wager, margin: float, sign: float) -> bool:
        return wager.log_wealth(margin, sign) >= self._needed

    def _refutes_up_to(self, wager: Wager, margin: float, sign: float) -> bool:
        """Return whether that margin, or one nearer to the mean, is refuted."""
        if not wager.bets:
            return False
        if self._refutes(wager, margin, sign):
            return True
        # Where the gain dwarfs its scale, wealth falls again with the distance.
        peaks = ((wager.xw - 3.0 * sign * wager.w / stake) / wager.ww for stake in STAKES)
        return any(sign * (m - margin) > 0.0 and self._refutes(wager, m, sign) for m in peaks)

    def _end(self, wager: Wager, sign: float) -> float:
        """Return the margin nearest to the mean that this direction refutes, or the range's end."""
        if not wager.bets:
            return -sign * self.bound
        # Weights are above 0, and neither they nor scales are beyond 1e±150.
        near = wager.xw / wager.ww
        far, step = near, 1e-3 / math.sqrt(wager.ww)
        while not self._refutes(wager, far, sign):
            near, far, step = far, far - sign * step, 1.5 * step
            if abs(far) > self.bound:
                return -sign * self.bound
        for _ in range(50):
            middle = (near + far) / 2.0
            if self._refutes(wager, middle, sign):
                far = middle
            else:
                near = middle
        # To refute "at most m" is to refute every smaller m too, the margin among them.
        return far


def missing_doubt(labelled: int, missing: int) -> str:
    """Return in words that missing outcomes could undo a verdict."""
    share = missing / max(1, labelled + missing)
    return (
        f"{share:.1%} of the outcomes are missing, and at their worst they would undo the verdict; "
        'if they are missing by chance, declare Contest(missing="by chance")'
    )
