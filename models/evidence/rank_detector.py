"""Has the level of a block's score risen for good: a change detector with no distribution in it.

Theory. While blocks are exchangeable (no order among them is more likely than another), the rank of
each new score among those before it is uniform and independent of all earlier ranks, whatever the
scores' distribution and however heavy its tail: p = (1 + how many earlier ones are at least as
high) / (number of scores). A bet on small p, e = c·p^(c-1), then has expectation at most 1, and the
Shiryaev-Roberts sum M <- (1 + M)·e, averaged over several c, grows by at most 1 a block in
expectation: the mean number of blocks to a false alarm at M >= A is at least A (simulated: 5 A).

Sources: Vovk, Nouretdinov & Gammerman 2003 (conformal test martingales), Volkhonskiy et al. 2017
(COPA, PMLR 60; their use for change points), Shin, Ramdas & Rinaldo 2024, "E-detectors", NEJSDS
2(2) (sums, mixtures, and the bound on the run length).

One block, however extreme, cannot raise the alarm by itself: its rank is at best 1/n. A change must
last several blocks. At A = 20,000: 4 of them after 350 earlier ones, 6 after 100, 9 after 60, 20
after 30: few earlier blocks prove little, and no method without a distribution can do much better.

Not promised: blocks that remember each other. A slow season *is* a change of level to this
detector.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

POWERS = (0.1, 0.25, 0.5)


@dataclass(slots=True)
class RankDetector:
    """Shiryaev-Roberts sums over conformal ranks of a score of which only increases count.

    `memory` scores are kept (8 bytes each, twice); beyond it the oldest leave, and the bound on
    false alarms is no longer exact but that of a long window. Microseconds a block.

    >>> detector = RankDetector()
    >>> calm = [detector.update(float(i * 37 % 101)) for i in range(100)]
    >>> max(calm) < 1_000
    True
    >>> risen = [detector.update(200.0 + i * 37 % 101) for i in range(12)]
    >>> risen[-1] > 100_000, detector.since
    (True, 100)
    """

    memory: int = 1_000
    blocks: int = 0
    since: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * len(POWERS))
    cusum: float = 1.0
    order: deque[float] = field(default_factory=deque)
    sorted: list[float] = field(default_factory=list)

    def update(self, score: float) -> float:
        """Take one block's score and return the evidence: the mean block count it would bound."""
        n = len(self.sorted)
        p = (1 + n - bisect_left(self.sorted, score)) / (n + 1)
        for i, power in enumerate(POWERS):
            # The bound only keeps a float from overflowing if nobody acts on an alarm.
            self.sums[i] = min((1.0 + self.sums[i]) * power * p ** (power - 1.0), 1e300)
        self.cusum = min(self.cusum * POWERS[1] * p ** (POWERS[1] - 1.0), 1e300)
        if self.cusum <= 1.0:
            self.cusum, self.since = 1.0, self.blocks + 1
        self.blocks += 1
        self._remember(score)
        return self.evidence

    @property
    def evidence(self) -> float:
        """The averaged sum M; an alarm at M >= A comes falsely once in A blocks at most."""
        return sum(self.sums) / len(self.sums)

    @property
    def running(self) -> bool:
        """Whether a rise is suspected since block `since` (most of the time it is nothing)."""
        return self.cusum > 1.0

    def _remember(self, score: float) -> None:
        if len(self.order) >= self.memory:
            old = self.order.popleft()
            del self.sorted[bisect_left(self.sorted, old)]
        self.order.append(score)
        insort(self.sorted, score)
