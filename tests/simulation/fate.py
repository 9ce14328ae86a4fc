"""What goes wrong and when, all from one seed.

Each run draws which kinds of faults it has at all and how often they strike: a run with few kinds
reaches deeper than one in which everything fails at once (swarm testing, Groce et al. 2012).
"""

from __future__ import annotations

import random
from collections import Counter

RATES = {
    "request fails": 0.03,
    "request is slow": 0.05,
    "produce fails": 0.06,
    "commit's answer is lost": 0.06,
    "batch refused as too large": 0.04,
    "fetched batch is lost": 0.10,
    "fetched batch comes again": 0.20,
    "snapshot cannot be read": 0.15,
    "snapshot is not written": 0.15,
}
"""Faults of single steps: the chance at each, in a run that has them."""

MOMENTS = (
    "kill -9",
    "SIGSTOP",
    "SIGTERM",
    "broker down",
    "snapshots flushed",
    "snapshots lose a second",
    "rebalance storm",
)
"""Faults of a moment."""

STEPS = {
    "1 fence": 12,
    "2 journal's end": 12,
    "3 load": 10,
    "4 fold": 40,
    "5 compare": 10,
    "6 seek": 10,
    "7 apply": 120,
    "8 batch taken": 60,
    "9.1 begin": 40,
    "9.2 send": 120,
    "9.3 sent, not ended": 40,
    "9.4 commit": 40,
    "9.5 committed, not answered": 40,
    "9.6 snapshot offered": 40,
    "9.7 snapshot being written": 12,
    "9.8 snapshot written": 12,
}
"""The numbered steps of streams/partition/runner.py and transactional_writer.py, and how often one
occurs in a run.
"""


class Fate:
    """The draws of one run. After `healed` nothing goes wrong any more."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.healed = False
        self.struck: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self.rates = {
            kind: rate * rng.choice((0.3, 1.0, 2.0))
            for kind, rate in RATES.items()
            if rng.random() < 0.5
        }
        self.moments = [kind for kind in MOMENTS if rng.random() < 0.6]
        steps = rng.sample(sorted(STEPS), rng.randint(0, 4))
        self._plan = {step: rng.randint(1, STEPS[step]) for step in steps}

    def strikes(self, kind: str) -> bool:
        """Whether that goes wrong now."""
        rate = self.rates.get(kind)
        if rate is None or self.healed or self.rng.random() >= rate:
            return False
        self.struck[kind] += 1
        return True

    def crashes(self, step: str) -> bool:
        """Whether the process dies at that step now."""
        self.reached[step] += 1
        left = self._plan.get(step)
        if left is None or self.healed:
            return False
        self._plan[step] = left - 1
        if left != 1:
            return False
        del self._plan[step]
        self.crashed[step] += 1
        return True
