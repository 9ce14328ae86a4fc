"""Evidence of all partitions, added up block by block and released in event order.

A block (by default one day of *event* time) is released once every partition says that all its
predictions are labelled or expired. How fast labels arrive therefore cannot change what is compared
or in which order: a model that is good where labels are quick gains nothing by it.

Partitions of one block are **added**, not counted as separate units: they share the weather.
(Measured on flights: paired differences of two models on the same day correlate by 0.2 to 0.7
between the three origins; three correlated units would pass for three independent ones.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple


class BlockSums(NamedTuple):
    """What one partition knows of one block; adding two gives what both know.

    `gain` is the sum over labelled predictions of the paired KPI difference, challenger minus
    champion, in the KPI's unit, positive where the challenger is better.
    """

    predicted: int = 0
    labelled: int = 0
    gain: float = 0.0

    def merge(self, other: BlockSums) -> BlockSums:
        """The sums of both."""
        return BlockSums(
            self.predicted + other.predicted, self.labelled + other.labelled, self.gain + other.gain
        )

    @property
    def missing(self) -> int:
        """Predictions without an outcome: expired, once the block is settled."""
        return self.predicted - self.labelled


@dataclass(slots=True)
class BlockLedger:
    """Sums per block and partition, until the block is settled everywhere.

    Publishing is cumulative: a partition's later sums for a block *replace* its earlier ones, so a
    repeated or re-read message changes nothing. Memory: the blocks between the slowest and the
    fastest partition, at most `blocks_max` a partition.

    >>> ledger = BlockLedger(partitions=2)
    >>> ledger.update(0, {7: BlockSums(2, 2, 1.0)}, settled_before=8)
    >>> ledger.ready()
    []
    >>> ledger.update(1, {7: BlockSums(3, 1, 0.5)}, settled_before=9)
    >>> ledger.ready()
    [(7, BlockSums(predicted=5, labelled=3, gain=1.5))]
    """

    partitions: int
    blocks_max: int = 1_000
    released_before: int | None = None
    settled: dict[int, int] = field(default_factory=dict)
    open: dict[int, dict[int, BlockSums]] = field(default_factory=dict)

    def update(self, partition: int, sums: dict[int, BlockSums], settled_before: int) -> None:
        """Take a partition's cumulative sums and its frontier: all blocks below it are settled.

        Sums for a block that was released already are ignored. Raises ValueError, and changes
        nothing, for an unknown partition, a sum that is not finite, or too many open blocks.
        """
        if not 0 <= partition < self.partitions:
            raise ValueError(f"partition {partition} of {self.partitions}")
        if not all(math.isfinite(s.gain) and 0 <= s.labelled <= s.predicted for s in sums.values()):
            raise ValueError(f"impossible sums from partition {partition}: {sums}")
        before = self.released_before
        fresh = {b: s for b, s in sums.items() if before is None or b >= before}
        if len(self.open.keys() | fresh.keys()) > self.blocks_max:
            raise ValueError(f"more than {self.blocks_max} blocks wait for the slowest partition")
        for block, s in fresh.items():
            self.open.setdefault(block, {})[partition] = s
        self.settled[partition] = max(settled_before, self.settled.get(partition, settled_before))

    def ready(self) -> list[tuple[int, BlockSums]]:
        """Take out the settled blocks, oldest first, with the sums over all partitions."""
        if len(self.settled) < self.partitions:
            return []
        frontier = min(self.settled.values())
        out = []
        for block in sorted(b for b in self.open if b < frontier):
            parts = self.open.pop(block)
            total = BlockSums()
            # In the order of partitions: float addition must not depend on who spoke first.
            for partition in sorted(parts):
                total = total.merge(parts[partition])
            out.append((block, total))
        self.released_before = max(frontier, self.released_before or frontier)
        return out
