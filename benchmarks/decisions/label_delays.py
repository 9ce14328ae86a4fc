"""The delay curve of flights' labels, what it costs, and how soon a stop of labels is told.

python -P -m benchmarks.decisions.label_delays             # a minute
"""

from __future__ import annotations

import random
import time

from benchmarks.flights_stream import Flight, stream
from models.stats.kaplan_meier import DelayCurve, Survival
from models.stats.label_outage import Arrivals, Stopped


def play(
    events: list[tuple[str, int, Flight]], share: float, stop_at: int
) -> tuple[Survival, list[tuple[float, Stopped]]]:
    """Flights of which 2 % never get a label, and after `stop_at` only `share` of labels arrive."""
    arrivals = Arrivals(DelayCurve(age_max_s=2 * 86_400.0))
    rng, alarms, stopped = random.Random(1), [], 0.0
    for kind, i, f in events:
        now = f.event_time if kind == "event" else f.outcome_time
        alarm = arrivals.advance(now)
        if i >= stop_at and not stopped:
            stopped = now
        if isinstance(alarm, Stopped):
            alarms.append(((now - stopped) / 3600, alarm))
        if kind == "event":
            arrivals.issued(f.event_time)
        elif i % 50 and (not stopped or rng.random() < share):
            arrivals.labelled(f.event_time)
    assert arrivals.watermark is not None
    return arrivals.curve.survival(arrivals.watermark), alarms


def main() -> None:
    """Print both tables."""
    events = stream()
    began = time.perf_counter()
    curve, alarms = play(events, 1.0, 10**9)
    each = (time.perf_counter() - began) / len(events) * 1e6
    print(f"Flights, 2 % never labelled: plateau {curve.plateau:.4f}; {each:.1f} µs a record")
    flights = [f for kind, i, f in events if kind == "event" and i % 50]
    delays = sorted(f.outcome_time - f.event_time for f in flights)
    for q in (0.1, 0.5, 0.9, 0.97):
        estimate, true = (curve.quantile(q) or 0) / 60, delays[int(q / 0.98 * len(delays))] / 60
        print(f"  {q:.0%} have a label after {estimate:6.1f} min (true {true:.1f})")
    print(f"  proposed horizon {(curve.horizon() or 0) / 3600:.1f} h")
    print(f"  false alarms that labels stopped: {len(alarms)}")
    for share in (0.0, 0.1, 0.3, 0.5):
        _, alarms = play(events[:340_000], share, 145_000)
        told = (
            ", ".join(f"{h:.1f} h: {a.arrived} of {a.expected:.0f}" for h, a in alarms) or "never"
        )
        print(f"  only {share:.0%} of labels still come: told after {told}")


if __name__ == "__main__":
    main()
