"""What stale copies of a model cost in quality, and what fresh ones cost to make: the curve from
which the defaults of `Freshness` are chosen (docs/adr/0083).

River alone: one learner takes each label when it is known; a copy, which answers, is renewed as the
learner's schedule says. Delays of labels are the data's own (flights), or about so many rows.

    python -P -m benchmarks.staleness             # all data sets; some minutes
    python -P -m benchmarks.staleness phishing    # one of them
"""

from __future__ import annotations

import heapq
import math
import pickle
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from time import process_time
from typing import Any, NamedTuple

from river import datasets, linear_model, naive_bayes, optim, preprocessing, tree

from models.serving.model_slot import ModelSlot
from models.spec.use_case import Freshness
from models.training.version_schedule import VersionSchedule
from models.values.durations import minutes
from usecases.data.nycflights import flights

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from flights_models import FEATURES, linear

FLIGHTS = 40_000
STEP_S = minutes(10)


class Row(NamedTuple):
    """One example: when it is asked and when its label is known, seconds; features and label."""

    asked: float
    x: dict[str, Any]
    known: float
    y: Any


class DataSet(NamedTuple):
    """Rows in the order in which they are asked, and the model that learns them."""

    rows: list[Row]
    make: Callable[[], Any]


UNBOUNDED = {"event_time": math.inf, "numbers": math.inf, "pause": 0.0}


def every(examples: float) -> Freshness:
    """A version each so many examples, from the first on."""
    return Freshness(share=math.inf, examples=examples, **UNBOUNDED)


def growing(share: float, examples: float) -> Freshness:
    """A version once `share` of all examples is new."""
    return Freshness(share=share, examples=examples, **UNBOUNDED)


SCHEDULES = {
    "each example": every(1),
    "every 10": every(10),
    "every 30": every(30),
    "every 100": every(100),
    "every 300": every(300),
    "every 1,000": every(1_000),
    "0.2 %, at most 30": growing(0.002, 30),
    "0.2 %, at most 100": growing(0.002, 100),
    "2 %, at most 30": growing(0.02, 30),
    "2 %, at most 100": growing(0.02, 100),
    "10 %, at most 100": growing(0.1, 100),
    "the default": Freshness(),
}


def of_flights(optimizer: Callable[[], Any]) -> DataSet:
    """New York's flights, as in benchmarks/riverrun_flights.py."""
    rows: dict[str, Row] = {}
    for kind, record in flights(FLIGHTS):
        key = record["event_id"]
        if kind == "event":
            x = {name: str(v) if name in ("hour", "weekday") else v or 0.0 for name, v in
                 ((name, record[name]) for name in FEATURES)}  # fmt: skip
            x = {name: v if isinstance(v, str) else float(v) for name, v in x.items()}
            rows[key] = Row(_seconds(record["event_time"]), x, math.inf, 0.0)
        else:
            known, y = _seconds(record["outcome_time"]), float(record["arr_delay"])
            rows[key] = rows[key]._replace(known=known, y=y)
    landed = [row for row in rows.values() if row.known < math.inf]
    return DataSet(landed, lambda: linear(optimizer()))


def of_river(name: str, delay: float, make: Callable[[], Any], limit: int | None = None) -> DataSet:
    """One of River's data sets, a row each ten minutes, labels about `delay` rows late."""
    random, rows = Random(1), []
    for number, (x, y) in enumerate(list(getattr(datasets, name)())[:limit]):
        asked = number * STEP_S
        rows.append(Row(asked, x, asked + delay * STEP_S * (0.5 + random.random()), y))
    return DataSet(rows, make)


def logistic() -> Any:
    """River's benchmark for Phishing."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005))


def softmax() -> Any:
    """A linear model of several classes."""
    return preprocessing.StandardScaler() | linear_model.SoftmaxRegression()


DATA: dict[str, Callable[[], DataSet]] = {
    "flights": lambda: of_flights(lambda: optim.Adam(0.02)),
    "adagrad": lambda: of_flights(lambda: optim.AdaGrad(0.3)),
    "phishing": lambda: of_river("Phishing", 150, logistic),
    "shuttle": lambda: of_river("Shuttle", 10, tree.HoeffdingTreeClassifier, 20_000),
    "bananas": lambda: of_river("Bananas", 10, naive_bayes.GaussianNB),
    "segments": lambda: of_river("ImageSegments", 10, softmax),
    "approval": lambda: of_river("TrumpApproval", 3, regression),
}


def regression() -> Any:
    """A linear model that is still far from where it is going when its data ends."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.01))


class Run(NamedTuple):
    """Mean loss (absolute error, or the share that was wrong), copies made, and seconds for it."""

    loss: float
    versions: int
    seconds: float


def run(data: DataSet, freshness: Freshness) -> Run:
    """Answer every row by the copy, and learn its label when it is known."""
    slot, copy = ModelSlot("it", None, data.make()), data.make()
    schedule, waiting = VersionSchedule(freshness), _Waiting()
    total, versions, seconds = 0.0, 0, 0.0
    for row in data.rows:
        for known in waiting.until(row.asked):
            slot.learn(known.x, known.y, None)
            if schedule.due("it", known.known, slot):
                schedule.note("it", slot.trained_on, known.known)
                before, versions = process_time(), versions + 1
                copy = pickle.loads(pickle.dumps(slot.model))
                seconds += process_time() - before
        prediction = copy.predict_one(row.x)
        total += (
            abs((prediction or 0.0) - row.y) if isinstance(row.y, float) else prediction != row.y
        )
        waiting.add(row)
    return Run(total / len(data.rows), versions, seconds)


class _Waiting:
    """Rows that wait for their label."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Row]] = []
        self._number = 0

    def add(self, row: Row) -> None:
        """Wait for this one, too."""
        heapq.heappush(self._heap, (row.known, self._number, row))
        self._number += 1

    def until(self, time: float) -> Iterator[Row]:
        """Those whose label is known by then, in its order."""
        while self._heap and self._heap[0][0] <= time:
            yield heapq.heappop(self._heap)[2]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> None:
    """Print a table for each data set that is named."""
    for name in sys.argv[1:] or DATA:
        data, first = DATA[name](), None
        print(f"\n{name}, {len(data.rows):,} rows")
        print(f"{'a version':20}{'loss':>10}{'worse by':>10}{'versions':>10}{'copying':>10}")
        for title, freshness in SCHEDULES.items():
            errors = run(data, freshness)
            first = first or errors
            print(
                f"{title:20}{errors.loss:10.4f}{errors.loss / first.loss - 1:10.2%}"
                f"{errors.versions:10,}{errors.seconds:8.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
