"""One comparison of the decider: a model against its rival, and its guard metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.spec.problem_types import BETTER, metric_value
from models.stats.ab_test import AbTest
from models.stats.alpha_spending import Share
from models.stats.betting import StrictCapital
from models.stats.confidence_sequence import Comparison

Question = Literal["shadow", "experiment", "worth"]
Sums = dict[str, float]

RUNAWAY_SHARE = 0.05
"""Share of values that could not be served above which a challenger is not trusted."""


@dataclass(slots=True)
class Contender:
    """`model` against `against`; `sums` and `rival` are the metric's sums of both since it began.

    `margin` is relative: it becomes an amount once the warm-up says what the rival costs.
    """

    question: Question
    model: str
    against: str
    contest: Comparison | AbTest
    margin: float
    share: Share | None = None
    sums: Sums = field(default_factory=dict)
    rival: Sums = field(default_factory=dict)
    rival_kpi: float = 0.0
    rival_n: int = 0
    decided: float | None = None
    command_id: str | None = None
    withheld: int = 0
    asked: int = 0
    diverged: int = 0
    max_diverged: int = 3

    def note_withheld(self, values: int, diverged: int, asked: int) -> None:
        """Count the withheld values of a block after the warm-up.

        `values` could not be served, `diverged` of them as they diverged; `asked` were predicted.
        """
        if self.contest.seen > self.contest.warm_blocks:
            self.withheld += values
            self.diverged += diverged
            self.asked += asked

    @property
    def alpha(self) -> float:
        """The error probability of a false winner: a share of the budget, or all of it."""
        return self.contest.alpha if self.share is None else self.share.alpha

    @property
    def blows_up(self) -> bool:
        """True if too many of its values diverged, for which no number of examples makes up."""
        return self.diverged >= self.max_diverged

    @property
    def runs_away(self) -> bool:
        """True if it diverged, or left its limits more often than now and then."""
        return self.blows_up or self.withheld > RUNAWAY_SHARE * max(1, self.asked)

    @property
    def run_away(self) -> str:
        """The times that it could not be served, in words."""
        ran = (
            f", {self.diverged} of them far beyond its limits or no number" if self.diverged else ""
        )
        return f"{self.withheld} of its {self.asked} values could not be served{ran}"

    def add(self, own: Mapping[str, float], rival: Mapping[str, float]) -> None:
        """Add one block's metric sums of both."""
        for total, block in ((self.sums, own), (self.rival, rival)):
            for name, value in block.items():
                total[name] = total.get(name, 0.0) + value

    def price(self, n: int, kpi: float) -> None:
        """Add one block's KPI of the rival, and set the margin while nothing has been bet yet."""
        if not self.margin or self.contest.seen >= self.contest.warm_blocks:
            return
        self.rival_n += n
        self.rival_kpi += kpi
        if self.rival_n:
            self.contest.margin = self.margin * abs(self.rival_kpi / self.rival_n)
        if isinstance(self.contest, Comparison):
            # Its bets must stay within what a margin leaves of the range.
            self.contest.strict = StrictCapital(0.99 / (self.contest.bound + self.contest.margin))

    def settled(self, start: float) -> None:
        """Record the block that decided it; a verdict that ended has none."""
        if self.contest.verdict == "undecided":
            self.decided = None
        elif self.decided is None:
            self.decided = start

    @property
    def is_worse(self) -> bool:
        """Worse than its rival, and not only no better by the margin."""
        return self.contest.interval.upper < 0.0

    def guarded(self, metric: str | None) -> str | None:
        """Return why its limits or the guard metric forbid to promote it; None if they do not."""
        if self.runs_away:
            return self.run_away
        if metric is None:
            return None
        own = metric_value(metric, self.sums.get("n", 0.0), self.sums)
        rival = metric_value(metric, self.rival.get("n", 0.0), self.rival)
        if own is None or rival is None:
            return f"{metric} is not known yet"
        fell = own > rival if BETTER[metric] == "lower" else own < rival
        return f"its {metric} is {own:.5g}, {self.against}'s {rival:.5g}" if fell else None
