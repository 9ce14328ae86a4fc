"""Verdicts between the models of the flights benchmark, and how their daily gains are correlated.

python -P -m benchmarks.decisions.flights_verdicts         # ten seconds
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from benchmarks.flights_stream import Flight, stream
from models.stats.confidence_sequence import Comparison

COST_MAX = 540.0


def sums(
    flights: list[Flight], challenger: str, champion: str, key: Callable[[Flight], Hashable]
) -> dict[Any, tuple[int, float]]:
    """Count and total gain (minutes of error, capped) a block."""
    out: dict[Any, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for f in flights:
        losses = [
            min(COST_MAX, abs(f.predictions.get(m, f.baseline) - f.label))
            for m in (champion, challenger)
        ]
        count, gain = out[key(f)]
        out[key(f)] = count + 1, gain + losses[0] - losses[1]
    return out


def main() -> None:
    """Print a row a pair."""
    flights = [f for kind, _, f in stream() if kind == "event"]
    for challenger, champion in (
        ("adagrad", "slow"),
        ("adagrad", "trees"),
        ("slow", "trees"),
        ("adagrad", "baseline"),
    ):
        days = sums(flights, challenger, champion, lambda f: f.day)
        c = Comparison(alpha=0.05, bound=COST_MAX)
        for day in sorted(days):
            c.update(*days[day])
        parts = sums(flights, challenger, champion, lambda f: (f.x["origin"], f.day))
        full = [d for d in days if all((o, d) in parts for o in ("EWR", "JFK", "LGA"))]
        table = [[parts[o, d][1] / parts[o, d][0] for d in full] for o in ("EWR", "JFK", "LGA")]
        same_day = np.corrcoef(table)[np.triu_indices(3, 1)].round(2).tolist()
        print(
            f"{challenger} against {champion}: {c.verdict} (day {c.decided_at}), strictly "
            f"{c.strict_verdict}; gain {c.mean:.3f} min in [{c.interval.lower:.3f}, "
            f"{c.interval.upper:.3f}]\n  next day's correlation {c.running.correlation:.2f}, "
            f"between origins on one day {same_day}"
        )


if __name__ == "__main__":
    main()
