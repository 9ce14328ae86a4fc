"""False winners among equal arms of an experiment, and how soon a true difference is found.

    python -P -m benchmarks.decisions.arm_winners [runs]

Each run is looked at after every block. Beside it: a t-test of the arms' daily differences, read
once at the end, which takes days for independent and is wrong where units keep their habits.
"""

from __future__ import annotations

import sys
from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from models.spec.experiment_arms import GROUPS
from models.stats.ab_test import AbTest

BLOCKS = 60


def units_that_differ(draw: np.random.Generator) -> Any:
    """Few units, each with a habit of its own that comes back with all its events."""
    share, units = 0.2, 400
    arm = draw.random(units) < share
    group = draw.integers(0, GROUPS, units)
    habit = draw.normal(0.0, 3.0, units)
    often = draw.gamma(1.0, 1.0, units)

    def block() -> tuple[Any, Any, Any]:
        who = np.repeat(np.arange(units), draw.poisson(often))
        day = draw.normal(0.0, 2.0)
        return arm[who], group[who], 20.0 + habit[who] + day + draw.normal(0.0, 2.0, len(who))

    return block


def every_event_by_itself(draw: np.random.Generator) -> Any:
    """Skewed costs, days that differ, traffic that differs: a unit an event."""

    def block() -> tuple[Any, Any, Any]:
        n = int(draw.integers(150, 450))
        kpi = draw.lognormal(draw.normal(0.0, 0.3), 1.0, n)
        return draw.random(n) < 0.2, draw.integers(0, GROUPS, n), kpi

    return block


def new_units_come(draw: np.random.Generator) -> Any:
    """Habits, and each day some units leave and others come."""
    units = 300
    state = {
        "arm": draw.random(units) < 0.5,
        "group": draw.integers(0, GROUPS, units),
        "habit": draw.normal(0.0, 3.0, units),
    }

    def block() -> tuple[Any, Any, Any]:
        new = draw.random(units) < 0.05
        count = int(new.sum())
        state["arm"][new] = draw.random(count) < 0.5
        state["group"][new] = draw.integers(0, GROUPS, count)
        state["habit"][new] = draw.normal(0.0, 3.0, count)
        kpi = 20.0 + state["habit"] + draw.normal(0.0, 2.0, units)
        return state["arm"].copy(), state["group"].copy(), kpi

    return block


def verdict(block: Any, *, gain: float = 0.0, blocks: int = BLOCKS) -> tuple[str, int]:
    """What a contest says of that stream, looked at after every block, and when."""
    contest = AbTest(alpha=0.05, bound=100.0, lower=True)
    for number in range(blocks):
        arm, group, kpi = block()
        sums = []
        for inside, less in ((arm, gain), (~arm, 0.0)):
            n = np.bincount(group[inside], minlength=GROUPS)
            total = np.bincount(group[inside], kpi[inside] - less, minlength=GROUPS)
            sums.append(list(zip(n.tolist(), total.tolist(), strict=True)))
        contest.update(*sums)
        if contest.verdict != "undecided":
            return contest.verdict, number
    return "undecided", blocks


STREAMS = (units_that_differ, every_event_by_itself, new_units_come)


def by_days(block: Any) -> bool:
    """Whether a t-test of the daily differences of equal arms finds one."""
    gains = []
    for _ in range(BLOCKS):
        arm, _, kpi = block()
        gains.append(kpi[~arm].mean() - kpi[arm].mean())
    return bool(abs(np.mean(gains)) > 2.0 * np.std(gains) / np.sqrt(BLOCKS))


def main() -> None:
    """Print both tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(f"Equal arms, {runs} runs of {BLOCKS} days, looked at after each: runs with a verdict")
    print(f"{'':24}{'better':>8}{'worse':>8}{'t-test of days':>16}")
    for stream in STREAMS:
        streams = [stream(np.random.default_rng(seed)) for seed in range(runs)]
        verdicts = Counter(verdict(block)[0] for block in streams)
        again = [stream(np.random.default_rng(seed)) for seed in range(runs)]
        wrong = sum(map(by_days, again))
        print(f"{stream.__name__:24}{verdicts['better']:8}{verdicts['worse']:8}{wrong:16}")
    print("\nA true gain, units an event, mean cost 1.7: found in of 100 runs, days (median)")
    for gain in (0.1, 0.2, 0.3):
        days = [
            when
            for seed in range(100)
            for what, when in [
                verdict(every_event_by_itself(np.random.default_rng(seed)), gain=gain, blocks=180)
            ]
            if what == "better"
        ]
        print(f"  {gain:4.1f}{len(days):8}{median(days) if days else 0:8.0f}")


if __name__ == "__main__":
    main()
