"""False alarms of the drift monitor where nothing drifts, and its delay where something does.

    python -P -m benchmarks.decisions.drift_alarms             # about five minutes

A million records of each stream, 1,000 a day; 15 to 23 detectors alarm together, and beside them
the one that watches whether labels still come (a label 1 to 10 hours after its event, its delay
independent, AR(.9) or with a daily wave as the stream is; 2 % never). River's ADWIN with its
defaults reads one numeric feature of the same records, for comparison.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.flights_stream import DAY_S, Flight, stream
from models.stats.drift_detection import DriftAlarm, DriftMonitor
from models.stats.kaplan_meier import DelayCurve
from models.stats.label_outage import Arrivals, Stopped

Array = NDArray[np.float64]
Record = tuple[int, dict[str, Any], float, dict[str, float]]
NUMERIC = ["a", "b", "heavy", "often_missing"]
CATEGORIES = ["c", "d"]
MODELS = ["linear", "trees"]


def independent(rng: np.random.Generator, n: int, per_day: int) -> Array:
    """Standard normal."""
    return rng.normal(size=n)


def remembering(rng: np.random.Generator, n: int, per_day: int) -> Array:
    """AR(.9)."""
    from scipy.signal import lfilter

    return np.asarray(lfilter([math.sqrt(0.19)], [1.0, -0.9], rng.normal(size=n)))


def seasonal(rng: np.random.Generator, n: int, per_day: int) -> Array:
    """A daily wave of the height of its noise."""
    wave = math.sqrt(2) * np.sin(2 * np.pi * np.arange(n) / per_day + rng.uniform(0, 6))
    return rng.normal(size=n) + wave


STREAMS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "i.i.d.": independent,
    "AR(.9)": remembering,
    "daily wave": seasonal,
}


def records(
    name: str, days: int, per_day: int, seed: int, planted: str = "", at: int = 0
) -> Iterator[Record]:
    """Day, features, prediction and losses; from day `at` on with the `planted` drift."""
    rng = np.random.default_rng(seed)
    n, make = days * per_day, STREAMS[name]
    after = np.arange(n) >= at * per_day
    z = {key: make(rng, n, per_day) for key in ("a", "b", "h", "o", "c", "d", "p", "l", "t")}
    if planted.startswith("mean"):
        z["a"] = z["a"] + float(planted.split()[1]) * after
    if planted.startswith("spread"):
        z["a"] = np.where(after, z["a"] * float(planted.split()[1]), z["a"])
    if planted.startswith("category"):
        z["c"] = z["c"] + float(planted.split()[1]) * after
    worse = 1.0 + (float(planted.split()[1]) * after if planted.startswith("error") else 0.0)
    missing_share = 0.02 + (
        float(planted.split()[1]) * after if planted.startswith("missing") else 0.0
    )
    missing = rng.random(n) < missing_share
    heavy = np.exp(1.5 * z["h"])
    losses = np.abs(z["l"]) * worse, np.abs(z["t"]) * worse
    letters = np.digitize(z["c"], [-1.0, 0.0, 1.0, 2.0])
    numbers = np.digitize(z["d"], [-0.5, 0.5])
    columns = [z["a"], z["b"], heavy, z["o"], missing, letters, numbers, z["p"], *losses]
    for i, (a, b, h, o, m, c, d, p, l1, l2) in enumerate(
        zip(*(col.tolist() for col in columns), strict=True)
    ):
        x = {"a": a, "b": b, "heavy": h, "often_missing": None if m else o, "c": c, "d": d}
        yield i // per_day, x, p, {"linear": l1, "trees": l2}


def alarms(source: Iterator[Record], monitor: DriftMonitor) -> list[DriftAlarm]:
    """All alarms of a stream."""
    out = []
    for day, x, prediction, losses in source:
        out += monitor.update(day, x, prediction)
        for name, loss in losses.items():
            monitor.update_error(name, loss)
    return out


def label_alarms(records: list[tuple[float, float | None]]) -> tuple[int, int]:
    """(Alarms that labels stopped, labels) over (event time, outcome time or None), seconds."""
    arrivals, alarms, labelled = Arrivals(DelayCurve(age_max_s=2 * DAY_S)), 0, 0
    events = [(asked, 1, asked) for asked, _ in records]
    labels = [(came, 0, asked) for asked, came in records if came is not None]
    for now, event, asked in sorted(events + labels):
        alarms += isinstance(arrivals.advance(now), Stopped)
        if event:
            arrivals.issued(asked)
        else:
            arrivals.labelled(asked)
            labelled += 1
    return alarms, labelled


def delayed(name: str, days: int, per_day: int, seed: int) -> list[tuple[float, float | None]]:
    """Events at random times of the day, and when their labels come; of a stream's kind."""
    rng = np.random.default_rng(seed)
    n = days * per_day
    z = STREAMS[name](rng, n, per_day)
    times = np.sort(rng.uniform(0.0, days * DAY_S, n))
    delays = 3_600.0 * np.clip(3.0 * np.exp(0.5 * z), 1.0, 10.0)
    never = rng.random(n) < 0.02
    rows = zip(times.tolist(), delays.tolist(), never.tolist(), strict=True)
    return [(asked, None if unlabelled else asked + delay) for asked, delay, unlabelled in rows]


def flights_delayed(days: list[list[Flight]]) -> list[tuple[float, float | None]]:
    """Flights of the given days one after another, their labels as long after them as they were."""
    rows: list[tuple[float, float | None]] = []
    for number, flights in enumerate(days):
        first = min(f.event_time for f in flights)
        for i, f in enumerate(flights):
            asked = number * DAY_S + (f.event_time - first) % DAY_S
            rows.append((asked, asked + f.outcome_time - f.event_time if i % 50 else None))
    return rows


def planted_delays(
    name: str, planted: str, per_day: int = 1_000, at: int = 150, runs: int = 5
) -> list[int]:
    """Days from the planted change to its first alarm, per run; 60 where none came."""
    out = []
    for seed in range(runs):
        monitor = DriftMonitor(NUMERIC, CATEGORIES, MODELS)
        source = records(name, at + 60, per_day, seed, planted, at)
        delays = [a.block - at + 1 for a in alarms(source, monitor) if a.block >= at]
        out.append(min(delays, default=60))
    return out


def flights_monitor() -> DriftMonitor:
    """What a use case on flights watches: 23 detectors."""
    return DriftMonitor(
        numeric=["block", "distance", "dep_delay", "route", "usual", "now"],
        categories=["origin", "dest", "carrier", "hour"],
        models=["adagrad", "trees"],
    )


def flights_records(days: list[list[Flight]]) -> Iterator[Record]:
    """Flights of the given days, numbered as given."""
    for day, flights in enumerate(days):
        for f in flights:
            losses = {m: abs(f.predictions[m] - f.label) for m in ("adagrad", "trees")}
            yield day, f.x, f.predictions["adagrad"], losses


def main() -> None:
    """Print the three tables."""
    print("No drift, a million records of each: alarms of all detectors together")
    for name in STREAMS:
        monitor = DriftMonitor(NUMERIC, CATEGORIES, MODELS)
        raised = alarms(records(name, 1_000, 1_000, seed=1), monitor)
        stopped = label_alarms(delayed(name, 1_000, 1_000, seed=1))[0]
        print(
            f"  {name:28s}{len(raised):4d} of {len(monitor.watches)} detectors;"
            f" ADWIN {adwin(name)}; labels stopped {stopped}",
            flush=True,
        )
    by_day: dict[int, list[Flight]] = {}
    for kind, _, flight in stream():
        if kind == "event":
            by_day.setdefault(flight.day, []).append(flight)
    order, shuffled = [by_day[d] for d in sorted(by_day)], []
    for seed in range(3):
        year = list(order)
        random.Random(seed).shuffle(year)
        shuffled += year
    monitor = flights_monitor()
    began = time.perf_counter()
    raised = alarms(flights_records(shuffled), monitor)
    each = (time.perf_counter() - began) / monitor.records * 1e6
    stopped, _ = label_alarms(flights_delayed(shuffled))
    print(
        f"  {'flights, days shuffled':28s}{len(raised):4d} of {len(monitor.watches)} detectors; "
        f"labels stopped {stopped}"
    )
    print(
        f"  {each:.1f} µs a record for {len(monitor.watches)} detectors, {monitor.records} records"
    )
    print(
        "\nPlanted after 150 days of 1,000 records: days until the alarm, median of 5 runs (worst)"
    )
    kinds = ["mean 0.25", "mean 0.5", "mean 1", "spread 1.5", "category 0.25", "category 0.5"]
    kinds += ["missing 0.02", "missing 0.1", "error 0.1", "error 0.25"]
    print(f"  {'':16s}" + "".join(f"{name:>16s}" for name in STREAMS))
    for planted in kinds:
        cells = []
        for name in STREAMS:
            d = planted_delays(name, planted)
            cells.append(f"{statistics.median(d):g} ({max(d)})")
        print(f"  {planted:16s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)
    print("\nThe year of flights as it was (60 = not within 60 days)")
    for a in alarms(flights_records(order), flights_monitor()):
        print(
            f"  day {a.block:3d}: {a.name}: {a.figure}: {a.was:.3g} -> {a.now:.3g} since {a.since}"
        )


def adwin(name: str) -> int:
    """Alarms of River's ADWIN with its defaults on feature `a`."""
    from river.drift import ADWIN

    detector, count = ADWIN(), 0
    for value in STREAMS[name](np.random.default_rng(1), 1_000_000, 1_000).tolist():
        detector.update(value)
        count += detector.drift_detected
    return count


if __name__ == "__main__":
    main()
