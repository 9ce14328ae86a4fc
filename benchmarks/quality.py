"""Does the number of partitions change how good the champion is? Shared models beside each
partition's own, by backtest, on data that ships in installed packages (docs/explanation/SCALING).

    python -P -m benchmarks.quality                  # all data sets; some minutes
    python -P -m benchmarks.quality bananas --check  # one of them; fails above 1 %

Flights have their own times, phishing the derived ones of its use case. Rows of River's other data
sets are ten minutes apart, of 211 keys, and their labels become known about ten rows later.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from pydantic import create_model
from river import datasets, linear_model, naive_bayes, preprocessing, tree

from benchmarks.riverrun_flights import RIVERRUN_FLIGHTS
from benchmarks.workers.shared_learning import rows as flights
from models.replay.backtest import Backtest
from models.spec.problem_types import BETTER, kind_of, metric_value
from models.spec.use_case import Kpi, UseCase
from models.values.durations import days
from schemas.events import Event, Outcome
from usecases.phishing import PHISHING
from usecases.phishing import recorded as pages

PARTITIONS = (1, 4, 16, 64)
FLIGHTS = 60_000
SHUTTLE = 20_000
KEYS = 211
STEP = timedelta(minutes=10)
LATE_ROWS = 10
BOUND = 0.01
"""Relative loss at 64 partitions that is asked for."""

Recorded = Iterable[tuple[str, Mapping[str, Any]]]


def softmax() -> Any:
    """Return a linear model of several classes."""
    return preprocessing.StandardScaler() | linear_model.SoftmaxRegression()


def of_river(
    name: str, kind: Any, metric: str, make: Callable[[], Any], limit: int | None = None
) -> tuple[UseCase, Recorded]:
    """Return one of River's data sets as a use case, and its records."""
    data = list(islice(getattr(datasets, name)(), limit))
    label = {"binary": bool, "multiclass": str, "regression": float}[kind]
    fields: dict[str, Any] = {f"x_{n}": (type(v), ...) for n, v in data[0][0].items()}
    event: Any = create_model("Row", __base__=Event, key=(str, ...), **fields)
    outcome: Any = create_model("Label", __base__=Outcome, y=(label, ...))
    baseline = {"binary": False, "multiclass": label(data[0][1]), "regression": 0.0}[kind]
    case = UseCase(
        name=name.lower(),
        owner="benchmarks",
        event=event,
        outcome=outcome,
        key="key",
        kind=kind,
        label=lambda e, o: o.y,
        features=event.fields(*fields),
        models={"champion": make},
        champion="champion",
        baseline=lambda e: baseline,
        metric=metric,
        kpi=Kpi(
            lambda e, o, p: float(p != o.y),
            unit="1",
            better="lower",
            range=(0, 1),
        ),
        horizon=days(3),
        interval=None,
        contributions=0,
        drift_features=(),
        warmup=0,
    )
    return case, list(_records(data, label))


def _records(data: list[Any], label: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    random, waiting = Random(1), list[tuple[datetime, int, Mapping[str, Any]]]()
    for number, (x, y) in enumerate(data):
        asked = datetime(2026, 1, 1, tzinfo=UTC) + number * STEP
        while waiting and waiting[0][0] <= asked:
            yield "outcome", heapq.heappop(waiting)[2]
        name, key = f"e{number}", f"k{number * 7919 % KEYS}"
        fields = {f"x_{n}": v for n, v in x.items()}
        yield "event", {"event_id": name, "event_time": asked, "key": key, **fields}
        known = asked + LATE_ROWS * STEP * (0.5 + random.random())
        heapq.heappush(
            waiting, (known, number, {"event_id": name, "outcome_time": known, "y": label(y)})
        )
    while waiting:
        yield "outcome", heapq.heappop(waiting)[2]


DATA: dict[str, Callable[[], tuple[UseCase, Recorded]]] = {
    "flights": lambda: (RIVERRUN_FLIGHTS, list(flights(FLIGHTS))),
    "phishing": lambda: (PHISHING, list(pages())),
    "shuttle": lambda: of_river("Shuttle", "binary", "f1", tree.HoeffdingTreeClassifier, SHUTTLE),
    "segments": lambda: of_river("ImageSegments", "multiclass", "accuracy", softmax),
    "bananas": lambda: of_river("Bananas", "binary", "accuracy", naive_bayes.GaussianNB),
}
"""Each with the metric of its champion: minutes of error, the share that was right, F1."""


def champion(case: UseCase, recorded: Recorded, partitions: int) -> float:
    """Return the metric of all that the champion itself would have answered."""
    run = Backtest(case, partitions, "quality")
    for kind, fields in recorded:
        run.feed(kind, fields)
    names = kind_of(case.kind, case.metrics).sums
    sums = [0.0] * (2 + len(names))
    for task in run.tasks.values():
        row = task.metrics.total().scores[case.champion]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
    value = metric_value(case.metric, sums[0], dict(zip(names, sums[2:], strict=True)))
    assert value is not None
    return value


def loss(case: UseCase, alone: float, several: float) -> float:
    """Return how much worse `several` partitions are than one, relative to that one's error: for
    what is better higher, the relative fall.
    """
    return (several - alone if BETTER[case.metric] == "lower" else alone - several) / abs(alone)


def measured(name: str) -> float:
    """Print a data set's rows and return the loss of shared models at the most partitions."""
    case, recorded = DATA[name]()
    worst = 0.0
    for learning in ("shared", "partition"):
        declared: Any = replace(case, learning=learning)
        values = [champion(declared, recorded, number) for number in PARTITIONS]
        worse = loss(case, values[0], values[-1])
        worst = worse if learning == "shared" else worst
        cells = "".join(f"{value:>10.4f}" for value in values)
        print(f"{name:10}{case.metric:>10}{learning:>11}{cells}{worse:>9.2%}", flush=True)
    return worst


def main() -> int:
    """Print a table of all data sets, or of those that are named."""
    parser = argparse.ArgumentParser(prog="benchmarks.quality")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DATA))
    parser.add_argument("--check", action="store_true", help=f"fail above {BOUND:.0%}")
    arguments = parser.parse_args()
    heads = "".join(f"{number:>10}" for number in PARTITIONS)
    print(f"{'data':10}{'metric':>10}{'learning':>11}{heads}{'worse':>9}")
    losses = [measured(name) for name in arguments.names or DATA]
    return int(arguments.check and max(losses) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
