r"""Is one arm of an experiment better than the other: a verdict that may be read after every block.

Units (users, flights) were drawn into arms by hash and stay there. What a unit is like, once and
for all, comes back with each of its events, so events and even days of one arm are no independent
evidence: with 400 users of different habits, one arm is better for ever by the luck of the draw.
Therefore each arm's units are in groups, drawn by a second hash, and the arm's mean is as uncertain
as its groups differ: the linearised variance of a ratio of sums over groups (Cochran 1977, ch. 6;
for streams of clicks: Chamandy, Muralidharan, Najmi & Naidu 2012). It holds whatever happens within
a group: habits, days, many events, several partitions. Memory: two numbers a group.

Looking after every block: let D_k be the difference of the means after k blocks and I_k = 1/V_k its
information. For a steady difference, D_k·I_k has independent increments in I_k, be it that units
differ for ever (I stays) or that events are fresh (I grows): the canonical joint distribution of
group-sequential tests (Jennison & Turnbull 1999, ch. 3). It then crosses Robbins' normal mixture
boundary (1970, Ann. Math. Stat. 41) with probability at most alpha:

    |D| >= sqrt(V · (1 + 1/r) · (log(1 + r) + 2·log(1/alpha))),   r = tau²·I

tau² is set so that r = 1 when the first `warm_blocks` are over. V is estimated from about 31
degrees of freedom a side, so D/sqrt(V) is taken as Student's t (normal by Wallace 1959).
Approximate therefore, and proved by simulation (tests/models/spec/test_experiment_arms.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.spec.use_case import MissingOutcomes
from models.stats.confidence_sequence import (
    LEAST_VARIANCE,
    Interval,
    Verdict,
    missing_doubt,
)
from models.stats.running_mean import student

GROUPS_LEAST = 8
"""The number of groups with an outcome that an arm needs before it is compared."""

Sums = Sequence[tuple[int, float]]
"""Of each group of units of an arm: predictions with a KPI, their KPI together."""


@dataclass(slots=True)
class AbTest:
    """Challenger's arm against champion's, block by block in event order.

    `alpha` is its share of the budget, `bound` the width of the KPI's range, `lower` whether less
    of the KPI is better, `margin` what the challenger must be better by. A verdict is as of now.

    >>> contest = AbTest(alpha=0.05, bound=50.0, lower=True)
    >>> for day in range(30):
    ...     champion = [(10, 10 * (5.0 + 0.1 * (g % 5))) for g in range(32)]
    ...     contest.update([(n, kpi - 3.0) for n, kpi in champion], champion)
    >>> contest.verdict, round(contest.mean, 2)
    ('better', 0.3)
    """

    alpha: float
    bound: float
    lower: bool
    margin: float = 0.0
    warm_blocks: int = 7
    missing_outcomes: MissingOutcomes = "unknown"
    seen: int = 0
    missing: int = 0
    scale: float | None = None
    verdict: Verdict = "undecided"
    challenger: list[list[float]] = field(default_factory=list)
    champion: list[list[float]] = field(default_factory=list)

    def update(self, challenger: Sums, champion: Sums, missing: int = 0) -> None:
        """Take the next closed block's groups of both arms; `missing` had no outcome."""
        _add(self.challenger, challenger)
        _add(self.champion, champion)
        self.missing += missing
        self.seen += 1
        if self.seen < self.warm_blocks:
            return
        variance = self._variance
        if variance is None:
            return
        if self.scale is None:
            self.scale = max(variance, self._least)
            return
        worst = self.missing_outcomes == "worst"
        self.verdict = self._verdict(self.worst_case if worst else self._interval(variance))

    @property
    def blocks_least(self) -> int:
        """Blocks before which there is no verdict: the first after the warm-up may give one."""
        return self.warm_blocks + 1

    @property
    def labelled(self) -> int:
        """Predictions with a KPI in both arms."""
        return int(sum(row[0] for row in (*self.challenger, *self.champion)))

    @property
    def mean(self) -> float:
        """Gain per prediction: the difference of the arms' means, positive if better."""
        gain = _mean(self.champion) - _mean(self.challenger)
        return gain if self.lower else -gain

    @property
    def interval(self) -> Interval:
        """Confidence sequence of the gain at level 1 - alpha, as of now."""
        return self._interval(self._variance)

    def _interval(self, variance: float | None) -> Interval:
        if variance is None or self.scale is None:
            return Interval(-self.bound, self.bound)
        variance = max(variance, self._least)
        share = self.scale / variance
        z2 = (1.0 + 1.0 / share) * (math.log1p(share) + 2.0 * math.log(1.0 / self.alpha))
        half = student(math.sqrt(z2), self._freedom) * math.sqrt(variance)
        mean = self.mean
        return Interval(max(mean - half, -self.bound), min(mean + half, self.bound))

    @property
    def worst_case(self) -> Interval:
        """The interval with every missing outcome at its worst (Manski 1990)."""
        share = self.labelled / max(1, self.labelled + self.missing)
        lost = (1.0 - share) * self.bound
        lower, upper = self.interval
        return Interval(share * lower - lost, share * upper + lost)

    @property
    def not_promised(self) -> str | None:
        """The reason why the error probability is not promised here, in words; None where it is."""
        if self.missing_outcomes != "unknown" or self.verdict == self._verdict(self.worst_case):
            return None
        return missing_doubt(self.labelled, self.missing)

    @property
    def assumes(self) -> None:
        """No assumption: groups of units are independent, whatever blocks are."""
        return

    def _verdict(self, interval: Interval) -> Verdict:
        if interval.lower > self.margin:
            return "better"
        return "worse" if interval.upper < self.margin else "undecided"

    @property
    def _least(self) -> float:
        """A floor: arms that differ by rounding do not win.

        A thousandth of the champion's usual cost, since a wide range says nothing of differences.
        """
        floor = max(abs(_mean(self.champion)) / 1_000, self.bound * 1e-9)
        return max(floor * floor / max(1, self.labelled), LEAST_VARIANCE)

    @property
    def _freedom(self) -> int:
        return min(_filled(self.challenger), _filled(self.champion)) - 1

    @property
    def _variance(self) -> float | None:
        if self._freedom + 1 < GROUPS_LEAST:
            return None
        return _spread(self.challenger) + _spread(self.champion)


def _add(total: list[list[float]], block: Sums) -> None:
    if not total:
        total.extend([0.0, 0.0] for _ in block)
    for row, (n, kpi) in zip(total, block, strict=True):
        row[0] += n
        row[1] += kpi


def _filled(groups: list[list[float]]) -> int:
    return sum(1 for row in groups if row[0])


def _mean(groups: list[list[float]]) -> float:
    n = sum(row[0] for row in groups)
    return sum(row[1] for row in groups) / n if n else 0.0


def _spread(groups: list[list[float]]) -> float:
    """Return the variance of the arm's mean."""
    n, mean, filled = sum(row[0] for row in groups), _mean(groups), _filled(groups)
    away = [row[1] - mean * row[0] for row in groups]
    squares = sum(value * value for value in away)  # ** would raise where it is not finite
    return filled / (filled - 1) * squares / (n * n)
