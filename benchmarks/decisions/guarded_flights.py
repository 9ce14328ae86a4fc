"""The year of flights through the task: coverage of its intervals, false trips, alarms.

    python -P -m benchmarks.decisions.guarded_flights          # about six minutes
    python -P -m benchmarks.decisions.guarded_flights 40000    # its first flights only

The use case `flight_eta` as it is, in its partitions. Coverage is counted from the metric records,
by what was given with each prediction: per month, and per carrier with at least 1,000 labels.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.outputs.output_records import Output
from models.replay.backtest import Backtest
from usecases.flight_eta import FLIGHT_ETA

LABELS_MIN = 1_000


@dataclass
class Year:
    """What was said of the intervals and by the safeguards."""

    metrics: dict[tuple[int, bytes], dict[str, Any]] = field(default_factory=dict)
    acts: list[str] = field(default_factory=list)
    drifts: list[str] = field(default_factory=list)
    flights: int = 0
    seconds: float = 0.0

    def take(self, out: Output) -> None:
        """Note what is of interest here."""
        if out.kind == "metrics":
            row = orjson.loads(out.value)
            if row["model"] == "served" and row["slice"] is None:
                self.metrics[row["partition"], out.key or b""] = row
        elif out.kind == "lifecycle":
            row = orjson.loads(out.value)
            if row["cause"] == "safeguard":
                words = f"{row['model']} {row['to_state']}: {row['why']}"
                self.acts.append(f"{row['event_time'][:10]} {words}")
        elif out.kind == "drift":
            row = orjson.loads(out.value)
            self.drifts.append(f"{row['since'][:10]} {row['subject']}: {row['was']} → {row['now']}")

    def covered(self) -> dict[str, tuple[float, float, float]]:
        """Month or carrier → (labels with an interval, share within it, mean width)."""
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for row in self.metrics.values():
            name = row["segment"] or f"month {row['window_start'][5:7]}"
            for index, part in enumerate(("intervals", "covered", "width")):
                sums[name][index] += row["sums"][part]
        return {n: (s[0], s[1] / s[0], s[2] / s[0]) for n, s in sorted(sums.items()) if s[0]}


def played(flights: int | None = None) -> Year:
    """The flights, or so many of them, through fresh tasks."""
    assert FLIGHT_ETA.recorded is not None
    year, backtest = Year(), Backtest(FLIGHT_ETA, FLIGHT_ETA.partitions, "bench")
    began = time.process_time()
    for kind, fields in FLIGHT_ETA.recorded():
        year.flights += kind == "event"
        if flights is not None and year.flights > flights:
            break
        for out in backtest.feed(kind, fields):
            year.take(out)
    year.seconds = time.process_time() - began
    for task in backtest.tasks.values():
        for out in task.report():
            year.take(out)
    return year


def main() -> None:
    """Print the tables."""
    year = played(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    each = year.seconds / year.flights * 1e6
    print(f"{year.flights:,} flights, {each:.0f} µs of CPU each; intervals of 90 % declared")
    for name, (labels, share, width) in year.covered().items():
        small = "" if labels >= LABELS_MIN else f"  (below {LABELS_MIN:,} labels)"
        print(f"  {name:10s}{labels:10,.0f}{share:8.1%}{width:8.1f} min wide{small}")
    print("safeguards: " + ("; ".join(year.acts) or "nothing"))
    print(f"drift told {len(year.drifts)} times" + "".join(f"\n  {row}" for row in year.drifts))


if __name__ == "__main__":
    main()
