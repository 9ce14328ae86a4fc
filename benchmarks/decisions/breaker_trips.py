"""When the circuit breaker trips and comes back: never where it should not, soon where it should.

    python -P -m benchmarks.decisions.breaker_trips            # about six minutes

False trips over more than a million examples; labels of the year of flights corrupted in eight ways
after 200,000 flights, while the model goes on learning them; and the way back once they are mended.
"""

from __future__ import annotations

import collections
import copy
import math
import random
from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.flights_stream import Flight, Replay, models, rows, stream
from models.stats.breaker_rules import Breaker

START, MENDED, END = 200_000, 204_000, 216_000
CORRUPT: dict[str, Callable[[random.Random, float, float], float]] = {
    "sign turned": lambda rng, base, label: -label,
    "another flight's": lambda rng, base, label: rng.choice(SEEN),
    "noise of sd 100 added": lambda rng, base, label: label + rng.gauss(0.0, 100.0),
    "hours for minutes": lambda rng, base, label: label / 60.0,
    "seconds for minutes": lambda rng, base, label: label * 60.0,
    "always 0": lambda rng, base, label: 0.0,
    "always 999": lambda rng, base, label: 999.0,
    "20 % negated": lambda rng, base, label: -label if rng.random() < 0.2 else label,
}
SEEN: list[float] = []


def trips(flights: Iterable[Flight], model: str) -> list[tuple[int, str | None]]:
    """Every change of state over labelled flights in the order given."""
    breaker, out = Breaker(), []
    for i, f in enumerate(flights):
        if breaker.update(f.predictions[model], f.baseline, f.label):
            out.append((i, breaker.cause))
    return out


def simulated(rho: float, n: int = 1_000_000, better: float = 0.05) -> int:
    """Trips over a million examples whose errors remember each other; champion 5 % better."""
    from scipy.signal import lfilter

    rng, breaker, count = np.random.default_rng(1), Breaker(), 0
    wave = [math.sqrt(1 - rho * rho)], [1.0, -rho]
    z = lfilter(*wave, rng.normal(size=n))
    e1, e2 = (lfilter(*wave, rng.normal(size=n)) for _ in range(2))
    for y, a, b in zip(z.tolist(), e1.tolist(), e2.tolist(), strict=True):
        label = 2.0 * y
        count += breaker.update(label + (1 - better) * a, label + b, label)
    return count


def corrupted(
    model: str, before: Replay, data: list[tuple], breaker: Breaker, name: str
) -> tuple[int | None, str | None, int | None, float, float]:
    """Labelled examples to trip and, once mended, to the way back; errors without and with."""
    replay, breaker, rng = copy.deepcopy(before), copy.deepcopy(breaker), random.Random(1)
    truth = {i: row[5] for i, row in enumerate(data[START - 2_000 : END], START - 2_000)}

    def corrupt(i: int, base: float, label: float) -> float:
        return CORRUPT[name](rng, base, label) if i < MENDED else label

    bad, good, tripped, cause, back = 0, 0, None, None, None
    served, alone, opened = [], [], False
    for kind, i, f in replay.play(data, START, END, corrupt):
        if kind == "event":
            opened = breaker.open
            if START <= i < MENDED:
                served.append(abs((f.baseline if opened else f.predictions[model]) - truth[i]))
                alone.append(abs(f.predictions[model] - truth[i]))
            continue
        bad += START <= i < MENDED
        good += i >= MENDED
        if breaker.update(f.predictions[model], f.baseline, f.label):
            if breaker.open and tripped is None:
                tripped, cause = bad, breaker.cause
            elif not breaker.open and i >= MENDED:
                back = good
    return tripped, cause, back, float(np.mean(alone)), float(np.mean(served))


def main() -> None:
    """Print the three tables."""
    by_day: dict[int, list[Flight]] = collections.defaultdict(list)
    for kind, _, f in stream():
        if kind == "outcome":
            by_day[f.day].append(f)
    print("False trips (and what tripped)")
    for model in ("adagrad", "slow", "trees"):
        year = [f for d in sorted(by_day) for f in by_day[d]]
        print(f"  flights as they were, {model:10s}{trips(year, model)}")
        for seed in range(3):
            days = sorted(by_day)
            random.Random(seed).shuffle(days)
            shuffled = [f for d in days for f in by_day[d]]
            print(f"  flights, days shuffled, {model:8s}{trips(shuffled, model)}", flush=True)
    for rho in (0.0, 0.9):
        print(f"  a million simulated, AR({rho}): {simulated(rho)}", flush=True)
    data = rows()
    SEEN.extend(row[5] for row in data[:START])
    for model in ("adagrad", "trees"):
        before, breaker = Replay({model: models()[model]}), Breaker()
        for kind, _, f in before.play(data, 0, START):
            if kind == "outcome":
                breaker.update(f.predictions[model], f.baseline, f.label)
        print(f"\nLabels of flights 200,000 to 204,000 corrupted, {model} learning them")
        heads = f"{'trips at':>9s}  {'because':30s}{'back at':>8s}{'MAE alone':>11s}{'with':>7s}"
        print(f"  {'':24s}{heads}")
        for name in CORRUPT:
            at, why, back, alone, served = corrupted(model, before, data, breaker, name)
            row = f"{at!s:>9s}  {why!s:30s}{back!s:>8s}{alone:11.2f}{served:7.2f}"
            print(f"  {name:24s}{row}", flush=True)


if __name__ == "__main__":
    main()
