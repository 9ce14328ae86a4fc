"""What an explanation costs on the models of the flights benchmark.

python -P -m benchmarks.explanations             # half a minute
"""

from __future__ import annotations

import time

from benchmarks.flights_stream import Replay, models, rows
from models.attribution.contributions import Means, explain


def main() -> None:
    """Print microseconds a prediction and an explanation, and the worst error of the sum."""
    replay, means = Replay(models()), {name: Means() for name in models()}
    data = rows()[:30_000]
    for kind, i, f in replay.play(data, 0, 30_000):
        if kind == "event" and i % 10 == 0:
            for name, model in replay.made.items():
                means[name].update(model, replay.features.of(f.x))
    xs = [replay.features.of(row[4]) for row in data[:2_000]]
    for name, model in replay.made.items():
        began = time.perf_counter()
        predictions = [model.predict_one(x) for x in xs]
        predicted = time.perf_counter()
        why = [explain(model, x, means[name]) for x in xs]
        explained = time.perf_counter()
        for x in xs:
            means[name].update(model, x)
        updated = time.perf_counter()
        wrong = max(
            abs(p - (e.reference + sum(v for _, v in e.top) + e.rest))
            for p, e in zip(predictions, why, strict=True)
        )
        each = [1e6 * t / len(xs) for t in (predicted - began, explained - predicted)]
        print(
            f"{name:8s} predict {each[0]:6.1f} µs, explain {each[1]:6.1f} µs, means "
            f"{1e6 * (updated - explained) / len(xs):5.1f} µs, sum wrong by {wrong:.0e} at most"
        )
        print(f"         {[(n, round(v, 1)) for n, v in why[7].top]} and {why[7].rest:.1f} more")


if __name__ == "__main__":
    main()
