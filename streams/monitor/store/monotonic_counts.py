"""Counts of partitions, as totals that never fall.

A worker's counters start again with a new state, and are absent while a partition changes its
worker. So increments are taken partition by partition: the difference to that partition's last
count, or all of it where the count is lower (as Prometheus' `increase`). The first look at a
partition adds nothing: when its earlier counts arose is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.monitor.store.record_rows import Row
from streams.monitor.store.view_models import PartitionRow

COUNTERS = ("events", "outcomes", "learnt", "late", "refused")
TABLE, FIELD = "counted", "all"


@dataclass(slots=True)
class CounterTotals:
    """Totals by name, and each partition's last counts. Stored in Redis."""

    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    last: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, bytes]) -> CounterTotals:
        """Return the stored totals; zero without any."""
        value: dict[str, Any] = orjson.loads(table[FIELD]) if FIELD in table else {}
        return cls(**value)

    def add(self, rows: Sequence[PartitionRow]) -> None:
        """Add the partitions' current counts; one without counts keeps its last ones."""
        for row in rows:
            if row.events is None:
                continue
            counts = {name: int(getattr(row, name) or 0) for name in COUNTERS}
            before = self.last.get(str(row.partition), counts)
            for name, count in counts.items():
                since = count - before[name]
                self.totals[name] += since if since >= 0 else count
            self.last[str(row.partition)] = counts

    def row(self) -> Row:
        """Return the row to store."""
        return Row(TABLE, FIELD, orjson.dumps({"totals": self.totals, "last": self.last}))
