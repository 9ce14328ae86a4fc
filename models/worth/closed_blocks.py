"""Closed blocks of event time, with all partitions added up: what every report of worth rests on.

A block counts once *every* partition that has reported anything has closed it; a partition that is
behind by more than the patience is passed over, and named. Blocks come in the order of event time,
so that neither quick labels nor a quick partition can colour the result. Partitions of one block
are added in their order: the same records give the same floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.metrics.windowed_metrics import Group

Sums = dict[str, float]


@dataclass(slots=True)
class ArmTotals:
    """One arm of an experiment in one block: of each group of its units (labelled, KPI)."""

    predictions: int = 0
    groups: list[tuple[int, float]] = field(default_factory=list)

    @property
    def labelled(self) -> int:
        """Predictions with a KPI."""
        return sum(n for n, _ in self.groups)

    def add(self, predictions: int, groups: Iterable[Sequence[float]]) -> None:
        """Add another partition's, or another arm's, sums of the same groups."""
        self.predictions += predictions
        more = [(int(n), float(kpi)) for n, kpi in groups]
        groups = self.groups or [(0, 0.0)] * len(more)
        self.groups = [(a + n, b + kpi) for (a, b), (n, kpi) in zip(groups, more, strict=True)]


@dataclass(slots=True)
class Block:
    """One block of one group. Amounts are sums in the KPI's unit, by who would have answered.

    `kpi` is of what was `served` and of the `baseline`, over `kpi_n` outcomes; `paired` is of the
    `baseline` and each model, over `paired_n` outcomes that every model predicted. `unpriced`
    default labels have no KPI.
    """

    start: float
    length_s: float
    predictions: int = 0
    missing: int = 0
    kpi_n: int = 0
    paired_n: int = 0
    unpriced: int = 0
    kpi: Sums = field(default_factory=dict)
    paired: Sums = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    arms: dict[str, ArmTotals] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add one partition's evidence of the same block."""
        self.predictions += record["predictions"]
        self.missing += record["missing"]
        self.kpi_n += record["kpi_n"]
        self.paired_n += record["paired_n"]
        self.unpriced += unpriced(record)
        _add(self.kpi, record["kpi"])
        _add(self.paired, record["paired"])
        for name, sums in record["sums"].items():
            _add(self.sums.setdefault(name, {}), sums)
        for name, arm in record["arms"].items():
            self.arms.setdefault(name, ArmTotals()).add(arm["predictions"], arm["groups"])


class ClosedBlocks:
    """Evidence records of one use case, as they come; blocks of any group, as they settle.

    A later record of the same partition, block and group replaces an earlier one. Memory: one
    record for each of these. A partition that is more than `patience_s` of event time behind the
    quickest is not waited for.
    """

    def __init__(self, patience_s: float = math.inf) -> None:
        self._patience = patience_s
        self._records: dict[Group, dict[float, dict[int, Mapping[str, Any]]]] = {}
        self._frontiers: dict[int, float] = {}
        self.definitions: dict[str, None] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record of `evidence`, as JSON has it."""
        group = record["segment"], record["slice"]
        start, partition = seconds(record["block_start"]), record["partition"]
        self._records.setdefault(group, {}).setdefault(start, {})[partition] = record
        frontier = seconds(record["settled_before"])
        self._frontiers[partition] = max(frontier, self._frontiers.get(partition, frontier))
        self.definitions[record["definition"]] = None

    @property
    def laggards(self) -> list[int]:
        """Partitions that are passed over: idle perhaps, and too far behind to be waited for."""
        first = max(self._frontiers.values(), default=0.0) - self._patience
        return sorted(p for p, frontier in self._frontiers.items() if frontier < first)

    @property
    def slowest(self) -> int | None:
        """The partition that the others wait for."""
        waited = sorted(self._frontiers.keys() - set(self.laggards))
        return min(waited, key=lambda p: (self._frontiers[p], p), default=None)

    @property
    def until(self) -> float | None:
        """The time by which every block is closed in all that is waited for; None: none is."""
        slowest = self.slowest
        return None if slowest is None else self._frontiers[slowest]

    @property
    def waiting_s(self) -> float:
        """The delay of the slowest partition behind the quickest, seconds of event time."""
        until = self.until
        return 0.0 if until is None else max(self._frontiers.values()) - until

    def groups(self) -> list[Group]:
        """Return every group: the whole first, then segments and slices by name."""
        return sorted(self._records, key=lambda group: (group[1] or "", group[0] or ""))

    def blocks(self, group: Group = (None, None)) -> list[Block]:
        """Return the closed blocks of a group, oldest first."""
        until = self.until
        blocks = []
        for start, parts in sorted(self._records.get(group, {}).items()):
            one = next(iter(parts.values()))
            block = Block(start, one["block_s"])
            if until is None or start + block.length_s > until + 1e-6:
                break
            for partition in sorted(parts):
                block.add(parts[partition])
            blocks.append(block)
        return blocks


def together(blocks: Iterable[Block]) -> Block:
    """Return all blocks as one, from the start of the first."""
    total: Block | None = None
    for block in blocks:
        if total is None:
            total = Block(block.start, 0.0)
        total.length_s = block.start + block.length_s - total.start
        total.predictions += block.predictions
        total.missing += block.missing
        total.kpi_n += block.kpi_n
        total.paired_n += block.paired_n
        total.unpriced += block.unpriced
        _add(total.kpi, block.kpi)
        _add(total.paired, block.paired)
        for name, sums in block.sums.items():
            _add(total.sums.setdefault(name, {}), sums)
    return total or Block(0.0, 0.0)


def unpriced(record: Mapping[str, Any]) -> int:
    """Count a closed block's labelled predictions without a KPI: their label is a default one."""
    labelled = record["sums"].get("served", {}).get("n", 0.0)
    return max(0, int(labelled) - int(record["kpi_n"]))


def seconds(time: str | datetime) -> float:
    """Return a time of a JSON record in seconds since 1970."""
    return (time if isinstance(time, datetime) else datetime.fromisoformat(time)).timestamp()


def _add(sums: Sums, more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + value
