"""Days until a change is told, by how many calm days came before; false alarms where none is.

    python -P -m benchmarks.decisions.drift_delays             # about three minutes

Each change is planted in one feature of a stream of 400 events a day, among nine watched streams
(three numbers, two categories, each with its share of missing values, the prediction, a model's
error and how many events come: 13 detectors). Then two million records of exchangeable days, whose
days differ in level or in traffic: 5,000 days in ten runs.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from models.stats.drift_detection import DriftAlarm, DriftMonitor

A_DAY, AFTER, RUNS = 400, 60, 5
CALM = (10, 30, 60, 120)
NUMERIC, CATEGORIES = ("amount", "level", "setting"), ("shop", "browser")
Rows = dict[str, Any]
Change = Callable[[Rows, np.random.Generator], None]


def day_of(rng: np.random.Generator, n: int, shift: float = 0.0) -> Rows:
    """One day of `n` events; `shift` moves its numbers, in standard deviations."""
    z = rng.normal(size=(4, n)) + shift
    return {
        "amount": np.exp(3.0 + 0.5 * z[0]).tolist(),
        "level": z[1].tolist(),
        "setting": [1.0] * n,
        "shop": rng.choice(list("abcd"), size=n, p=[0.4, 0.3, 0.2, 0.1]).tolist(),
        "browser": rng.choice(["x", "y"], size=n, p=[0.7, 0.3]).tolist(),
        "prediction": z[2].tolist(),
        "error": np.abs(z[3]).tolist(),
    }


def _half_new(rows: Rows, rng: np.random.Generator) -> None:
    new = rng.random(len(rows["shop"])) < 0.5
    rows["shop"] = [
        "new" if is_new else shop for shop, is_new in zip(rows["shop"], new, strict=True)
    ]


def _half_missing(rows: Rows, rng: np.random.Generator) -> None:
    missing = rng.random(len(rows["level"])) < 0.5
    rows["level"] = [
        None if is_gone else v for v, is_gone in zip(rows["level"], missing, strict=True)
    ]


def _set(name: str, make: Callable[[Any], Any]) -> Change:
    def change(rows: Rows, _rng: np.random.Generator) -> None:
        rows[name] = [make(value) for value in rows[name]]

    return change


def _quarter(rows: Rows, _rng: np.random.Generator) -> None:
    for name in rows:
        rows[name] = rows[name][: A_DAY // 4]


CHANGES: dict[str, tuple[str, Change]] = {
    "gone: no value any more": ("level", _set("level", lambda _v: None)),
    "half of the values missing": ("level", _half_missing),
    "stuck at a usual value": ("level", _set("level", lambda _v: 0.25)),
    "stuck at an unusual value": ("level", _set("level", lambda _v: 9.0)),
    "one constant for another": ("setting", _set("setting", lambda _v: 2.0)),
    "unit changed (x 1,000), positive": ("amount", _set("amount", lambda v: 1_000 * v)),
    "unit changed (x 1,000), around 0": ("level", _set("level", lambda v: 1_000 * v)),
    "only a new category": ("shop", _set("shop", lambda _v: "new")),
    "half of it a new category": ("shop", _half_new),
    "one of four categories only": ("shop", _set("shop", lambda _v: "a")),
    "mean + 0.5 standard deviations": ("level", _set("level", lambda v: v + 0.5)),
    "error + 50 %": ("model", _set("error", lambda v: 1.5 * v)),
    "a quarter of the events": ("events", _quarter),
}


def fed(days: Iterator[Rows]) -> Iterator[DriftAlarm]:
    """The alarms of these days, one after another."""
    monitor = DriftMonitor(NUMERIC, CATEGORIES, ["model"])
    for day, rows in enumerate(days):
        names = NUMERIC + CATEGORIES
        for values in zip(*(rows[name] for name in names), rows["prediction"], strict=True):
            x = dict(zip(names, values[:-1], strict=True))
            yield from monitor.update(day, x, values[-1])
        for error in rows["error"]:
            monitor.update_error("model", error)
    yield from monitor.advance(day + 1)


def delay(change: str, calm: int, seed: int, after: int = AFTER) -> tuple[int | None, set[str]]:
    """Days from the change to its alarm (None: not in `after`); what else was told beside it."""
    rng = np.random.default_rng(seed)
    who, apply = CHANGES[change]

    def days() -> Iterator[Rows]:
        for day in range(calm + after):
            rows = day_of(rng, A_DAY)
            if day >= calm:
                apply(rows, rng)
            yield rows

    first, others = None, set()
    for alarm in fed(days()):
        if alarm.name == who and alarm.block >= calm:
            first = alarm.block - calm + 1 if first is None else first
        else:
            others.add(f"{alarm.kind} {alarm.name}")
    return first, others


def _cauchy(rng: np.random.Generator) -> Rows:
    return day_of(rng, A_DAY, shift=float(np.clip(rng.standard_cauchy(), -50, 50)))


EXCHANGEABLE: dict[str, Callable[[np.random.Generator], Rows]] = {
    "i.i.d.": lambda rng: day_of(rng, A_DAY),
    "each day has a level (sd 0.5)": lambda rng: day_of(rng, A_DAY, float(rng.normal(0, 0.5))),
    "each day has a level (Cauchy)": _cauchy,
    "40 to 1,600 events a day": lambda rng: day_of(rng, int(400 * 10 ** rng.uniform(-1, 0.6))),
    "one day in fifteen a storm": lambda rng: day_of(rng, A_DAY, 4.0 * (rng.random() < 1 / 15)),
}


def false_alarms(name: str, days: int = 5_000, runs: int = 10) -> list[DriftAlarm]:
    """All alarms of exchangeable days."""
    alarms: list[DriftAlarm] = []
    for seed in range(runs):
        rng = np.random.default_rng(1_000 + seed)
        alarms += fed(EXCHANGEABLE[name](rng) for _ in range(days // runs))
    return alarms


def main() -> None:
    """Print both tables, or the one that is named: delays, alarms."""
    which = sys.argv[1:] or ["delays", "alarms"]
    if "delays" in which:
        print(f"Days until it is told, median of {RUNS} runs (worst), after so many calm days")
        print("| change | " + " | ".join(map(str, CALM)) + " |")
        print("| --- |" + " --- |" * len(CALM))
        for change in CHANGES:
            cells, others = [], set()
            for calm in CALM:
                runs = [delay(change, calm, seed) for seed in range(RUNS)]
                late = [AFTER + 1 if d is None else d for d, _ in runs]
                median, worst = statistics.median(late), max(late)
                shown = "not in 60" if median > AFTER else f"{median:g}"
                cells.append(shown + (f" ({worst})" if worst > median else ""))
                others |= set().union(*(o for _, o in runs))
            print(f"| {change} | " + " | ".join(cells) + " |", flush=True)
            if others:
                print(f"  beside it: {sorted(others)}")
    if "alarms" in which:
        print("\nFalse alarms in 2 million records of exchangeable days, 13 detectors")
        for name in EXCHANGEABLE:
            alarms = false_alarms(name)
            told = [f"{a.kind} {a.name}{' plainly' if a.plainly else ''}" for a in alarms]
            print(f"  {name:32s}{len(alarms)} {told}", flush=True)


if __name__ == "__main__":
    main()
