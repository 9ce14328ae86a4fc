"""Has the level of a block's score risen for good: a change detector without a distribution.

Theory. While blocks are exchangeable (no order among them is more likely than another), the rank of
each new score among those before it is uniform and independent of all earlier ranks, whatever the
scores' distribution and however heavy its tail. Two families of bets are made on it, each with an
expectation of at most 1, so that their Shiryaev-Roberts sums grow by at most 1 a block in
expectation: the mean number of blocks to a false alarm at M >= A is at least A. M is the mean of
both sums.

1. On small ranks (`SmallRanks`): p = (1 + how many earlier scores are at least as high) / (number
   of scores), e = c·p^(c-1), for several c. Good for a small rise, after which high and usual
   scores alternate.
2. On the newest (`NewestRanks`): for each candidate start of a change, k blocks ago and after n
   others, that the new score is among the k highest, which has probability k/(n + k).
   e = (1-s)(n + k)/k if it is, s(n + k)/n if not, for several stakes s. Blocks after a large
   change are high together and share the high ranks: in the first family they would count against
   each other, the more so where they are equal (a sensor that is stuck). A start stops betting
   once being among the highest pays less than 1; until then ties, which count as higher, can only
   lower its expectation.

Phases. With `phases` = 7 the second family ranks each day among the days of the same weekday, so
that a weekly pattern does not hide a change: a Monday that has as few events as a Sunday is low
among Mondays. Ranks within phases are independent and uniform even where only the days of one
weekday are exchangeable among each other, so the bound needs less, and holds as above.

A change of every block, however large, is told once C(n + k, k) > 2·A: at A = 30,000 after 7 blocks
if 16 came before, 4 if 46, 3 if 106. No method without a distribution can do much better.

Sources: Vovk, Nouretdinov & Gammerman 2003 (conformal test martingales), Volkhonskiy et al. 2017
(COPA, PMLR 60; their use for change points), Shin, Ramdas & Rinaldo 2024, "E-detectors", NEJSDS
2(2) (sums, mixtures, and the bound on the run length).

Not promised: blocks that remember each other. To this detector a slow season is a change of level.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

POWERS = (0.1, 0.25, 0.5)
STAKES = (0.02, 0.1, 0.3)
STAKES_OF_PHASES = (0.02, 0.1)
"""The smaller ones: each phase has few blocks, so that every day of a change has to count."""
PHASES_WEIGH = 2.0
"""What the evidence within phases counts beside that of all blocks."""
STARTS = 50
"""Candidate starts, of the newest blocks; an older one has been told, or is too small for them."""
EVIDENCE_MAX = 1e300
"""Keeps a float from overflowing where nobody acts on an alarm."""


@dataclass(slots=True)
class SmallRanks:
    """Bets that new scores are high among all earlier ones. Constant memory.

    `rise` is the product of the bets since the suspected start, `risen` the blocks since then.
    """

    sums: list[float] = field(default_factory=lambda: [0.0] * len(POWERS))
    rise: float = 1.0
    risen: int = 0

    def update(self, rank: int, total: int) -> None:
        """Bet on the rank of a new score among `total` with it; rank 1 is the highest."""
        p = rank / total
        for i, power in enumerate(POWERS):
            bet = power * p ** (power - 1.0)
            self.sums[i] = min((1.0 + self.sums[i]) * bet, EVIDENCE_MAX)
        self.rise = min(self.rise * POWERS[1] * p ** (POWERS[1] - 1.0), EVIDENCE_MAX)
        self.risen += 1
        if self.rise <= 1.0:
            self.rise, self.risen = 1.0, 0

    @property
    def evidence(self) -> float:
        """The sum, averaged over the powers."""
        return sum(self.sums) / len(self.sums)


@dataclass(slots=True)
class NewestRanks:
    """Bets that the newest scores are the highest, of all or of their phase. Memory: `STARTS`.

    Element k - 1 of each of `products` is what the start k blocks ago has won.
    """

    phases: int = 1
    stakes: tuple[float, ...] = STAKES
    products: list[list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.products = [[] for _ in self.stakes]

    def update(self, rank: int, total: int, blocks: int) -> None:
        """Bet on the rank of a new score among the `total` scores of its phase, itself included.

        `blocks` is how many blocks of all phases there are, the new one included.
        """
        for i, stake in enumerate(self.stakes):
            products = [1.0, *self.products[i][: STARTS - 1]][:blocks]
            for k in range(1, len(products) + 1):
                newest = (k - 1) // self.phases + 1
                earlier = total - newest
                if stake * newest >= (1.0 - stake) * earlier:
                    continue
                bet = (1.0 - stake) / newest if rank <= newest else stake / earlier
                products[k - 1] = min(products[k - 1] * bet * total, EVIDENCE_MAX)
            self.products[i] = products

    @property
    def evidence(self) -> float:
        """The sum over starts, averaged over the stakes."""
        return sum(map(sum, self.products)) / len(self.stakes)

    def best(self) -> tuple[float, int]:
        """Return the largest product and how many blocks ago its start is; (0, 0) of none."""
        return max(
            ((won, k) for products in self.products for k, won in enumerate(products, 1)),
            key=lambda pair: (pair[0], -pair[1]),
            default=(0.0, 0),
        )


@dataclass(slots=True)
class RankDetector:
    """Shiryaev-Roberts sums over conformal ranks of a score of which only increases count.

    `phases` above 1 adds ranks within each phase (blocks take turns: 7 for days of the week); the
    evidence is then the weighted mean of both. `memory` scores are held, 24 bytes each; beyond it
    the oldest leave, and the bound on false alarms is no longer exact but that of a long window.
    40 µs a block, twice that with phases.

    >>> detector = RankDetector()
    >>> calm = [detector.update(float(i * 37 % 101)) for i in range(100)]
    >>> max(calm) < 1_000
    True
    >>> stuck = [detector.update(200.0) for i in range(4)]
    >>> stuck[-1] > 100_000, detector.age
    (True, 4)
    """

    memory: int = 1_000
    phases: int = 1
    blocks: int = 0
    small: SmallRanks = field(default_factory=SmallRanks)
    newest: NewestRanks = field(default_factory=NewestRanks)
    newest_of_phase: NewestRanks | None = None
    order: deque[float] = field(default_factory=deque)
    sorted: list[float] = field(default_factory=list)
    sorted_of_phase: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.phases > 1:
            self.newest_of_phase = NewestRanks(self.phases, STAKES_OF_PHASES)
            self.sorted_of_phase = [[] for _ in range(self.phases)]

    def update(self, score: float) -> float:
        """Take the score of the next block and return the evidence."""
        rank = 1 + len(self.sorted) - bisect_left(self.sorted, score)
        total = len(self.sorted) + 1
        self.small.update(rank, total)
        self.newest.update(rank, total, total)
        if self.newest_of_phase is not None:
            alike = self.sorted_of_phase[self.blocks % self.phases]
            rank = 1 + len(alike) - bisect_left(alike, score)
            self.newest_of_phase.update(rank, len(alike) + 1, total)
        self._remember(score)
        return self.evidence

    @property
    def evidence(self) -> float:
        """The averaged sum M; an alarm at M >= A comes falsely once in A blocks at most."""
        of_all = (self.small.evidence + self.newest.evidence) / 2
        if self.newest_of_phase is None:
            return of_all
        return (of_all + PHASES_WEIGH * self.newest_of_phase.evidence) / (1.0 + PHASES_WEIGH)

    @property
    def risen(self) -> int:
        """Blocks since the start that the small ranks suspect; 0 while there is none."""
        return self.small.risen

    @property
    def age(self) -> int:
        """The number of newest blocks that a suspected rise has lasted; 0 while there is none."""
        best, age = self.small.rise, self.small.risen
        for bets in (self.newest, self.newest_of_phase):
            won, since = (0.0, 0) if bets is None else bets.best()
            if won > best:
                best, age = won, since
        return age if best > 1.0 else 0

    def _remember(self, score: float) -> None:
        phase = self.blocks % self.phases
        if len(self.order) >= self.memory:
            oldest = self.order.popleft()
            del self.sorted[bisect_left(self.sorted, oldest)]
            if self.sorted_of_phase:
                alike = self.sorted_of_phase[(self.blocks - self.memory) % self.phases]
                del alike[bisect_left(alike, oldest)]
        self.order.append(score)
        insort(self.sorted, score)
        if self.sorted_of_phase:
            insort(self.sorted_of_phase[phase], score)
        self.blocks += 1
