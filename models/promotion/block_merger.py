"""Evidence of all partitions, put together block by block and released in the order of event time.

A block is released once every partition has settled it. One that has nothing to say would hold up
the others for ever, so a partition is passed over if it is idle (whoever runs this knows) and more
than a horizon and `PATIENCE_BLOCKS` blocks behind the first, or has never had a record: few keys do
not reach all partitions. Its later evidence about a released block comes too late. The partitions
of a block are recorded with its verdicts, so that a fold of the same evidence, however it arrives,
comes to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

PATIENCE_BLOCKS = 7
BLOCKS_MAX = 5_000
"""Blocks that wait for the slowest partition; past that the oldest are released without it."""

Record = Mapping[str, Any]
"""One Evidence record, of a whole partition."""


class MergedBlock(NamedTuple):
    """A released block: the records of its partitions in their order, and who was waited for."""

    start: float
    records: Sequence[Record]
    partitions: tuple[int, ...]


@dataclass(slots=True)
class BlockMerger:
    """Holds evidence until its block is settled everywhere.

    `recorded`: what was released before, block → partitions; these are released alike again.
    Call order: (`take`* → `release`)*; all evidence that a recorded block is made of must have been
    taken before the first `release`. Memory: open blocks x partitions.
    """

    partitions: int
    horizon: float
    recorded: dict[float, tuple[int, ...]] = field(default_factory=dict)
    settled: dict[int, float] = field(default_factory=dict)
    open: dict[float, dict[int, Record]] = field(default_factory=dict)
    released_before: float | None = None
    first: float | None = None
    length: float = 0.0

    def take(self, record: Record) -> None:
        """Take one record; repetitions and what comes too late are passed by."""
        if record["segment"] is not None or record["slice"] is not None:
            return
        partition, start = int(record["partition"]), seconds(record["block_start"])
        settled = seconds(record["settled_before"])
        # The newest, not the largest: an operator may have set the partition's time back.
        self.settled[partition] = settled
        if self.released_before is not None and start < self.released_before:
            return
        self.length = record["block_s"]
        self.first = start if self.first is None else min(self.first, start)
        self.open.setdefault(start, {})[partition] = record

    @property
    def laggards(self) -> list[int]:
        """Partitions that are so far behind that they are passed over, if they are idle."""
        if not self.settled or self.first is None:
            return []
        before = max(self.settled.values()) - self.horizon - PATIENCE_BLOCKS * self.length
        return [p for p in range(self.partitions) if self.settled.get(p, self.first) < before]

    @property
    def unheard(self) -> list[int]:
        """Partitions without any evidence yet, where others have some."""
        return [p for p in range(self.partitions) if self.settled and p not in self.settled]

    def release(self, idle: Collection[int] = ()) -> list[MergedBlock]:
        """Return the blocks that all partitions but `idle` ones have closed, oldest first.

        Passed over are idle laggards, and of the `unheard` those that `idle` has.
        """
        return [*self._again(), *self._new(idle)]

    def _again(self) -> list[MergedBlock]:
        recorded, self.recorded = self.recorded, {}
        return [self._block(start, recorded[start]) for start in sorted(recorded)]

    def _new(self, idle: Collection[int]) -> list[MergedBlock]:
        passed = {p for p in (*self.laggards, *self.unheard) if p in idle}
        waited = tuple(p for p in range(self.partitions) if p not in passed)
        if not all(p in self.settled for p in waited):
            return self._too_many(waited)
        frontier = min(self.settled[p] for p in waited) if waited else float("-inf")
        ready = sorted(start for start in self.open if start < frontier)
        blocks = [self._block(start, waited) for start in ready]
        return blocks or self._too_many(waited)

    def _too_many(self, waited: tuple[int, ...]) -> list[MergedBlock]:
        blocks = []
        while len(self.open) > BLOCKS_MAX:
            start = min(self.open)
            there = tuple(p for p in waited if self.settled.get(p, start) > start)
            blocks.append(self._block(start, there))
        return blocks

    def _block(self, start: float, partitions: tuple[int, ...]) -> MergedBlock:
        known = self.open.pop(start, {})
        for older in [other for other in self.open if other < start]:
            del self.open[older]  # only of partitions that were passed over
        self.released_before = max(start + self.length, self.released_before or start)
        records = [known[p] for p in sorted(known) if p in partitions]
        return MergedBlock(start, records, partitions)


def seconds(time: str | datetime) -> float:
    """Return a record's time in seconds since 1970."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return moment.timestamp()
