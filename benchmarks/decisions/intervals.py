"""Coverage and width of 90 % intervals on the year of flights, updated as planes land.

python -P -m benchmarks.decisions.intervals                # half a minute
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict

from benchmarks.flights_stream import stream
from models.stats.adaptive_conformal import Bounds, IntervalTracker


def coverage(model: str) -> tuple[dict[str, list[tuple[bool, float]]], float]:
    """(Held, width) of each interval by "month 01" and "carrier UA"; µs per flight."""
    tracker = IntervalTracker(0.9)
    issued: dict[int, tuple[Bounds | None, int]] = {}
    groups: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    spent = 0.0
    for kind, i, f in stream():
        began = time.perf_counter()
        if kind == "event":
            bounds = tracker.interval(f.predictions[model], f.x["carrier"])
            issued[i] = bounds, tracker.labels
            spent += time.perf_counter() - began
            continue
        bounds, known = issued.pop(i)
        held = None if bounds is None else bounds.lower <= f.label <= bounds.upper
        tracker.update(f.predictions[model], f.label, f.x["carrier"], known, held)
        spent += time.perf_counter() - began
        if bounds is not None and held is not None:
            row = held, bounds.upper - bounds.lower
            for group in (f"month {f.month:02d}", f"carrier {f.x['carrier']}", "all"):
                groups[group].append(row)
    return groups, spent / len(groups["all"]) * 1e6


def main() -> None:
    """Print coverage and median width per month and per carrier."""
    for model in ("adagrad", "trees"):
        groups, each = coverage(model)
        print(f"{model}: 90 % declared; {each:.1f} µs a flight (interval and update)")
        for group in sorted(groups):
            rows = groups[group]
            share = sum(held for held, _ in rows) / len(rows)
            width = statistics.median(w for _, w in rows)
            small = "" if len(rows) >= 1_000 else "  (below 1,000 labels)"
            print(f"  {group:12s}{len(rows):8d}{share:8.1%}{width:8.1f} min wide{small}")


if __name__ == "__main__":
    main()
