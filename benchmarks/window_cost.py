"""What one feature of each kind costs: µs of CPU of an event and its outcome, where it is answered.

Called by `benchmarks.scale`. Ten features of a kind, and none, on the same events; the difference
is divided by ten. Kinds that all partitions share are measured with the learner's batches coming
back, for one partition and for four of one process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from models.features.reference_tables import Table
from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import MODELS, PlainRecord
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.training.window_folds import WindowPool
from models.values.local_time import local_hour

COPIES = 10
KEYS = 200
BLOCK = 300
"""Events of a block; a multiple of the entries of a batch."""
STORES = Table("stores", topic="t", key="key")


def amount(_event: Any, _outcome: Any, _features: Any) -> float:
    """Return what is counted."""
    return float(_event.f1)


def kinds() -> dict[str, Any]:
    """Return one feature of each kind; `by` is the key, or what shared ones have instead."""
    local, shared = {"by": "key"}, {"by": "segment"}
    return {
        "count, sliding": over_events(**local, last=60.0).count(),
        "mean, sliding": over_outcomes(**local, last=60.0).mean(amount, empty=0.0),
        "mean, decayed": over_outcomes(**local, half_life=60.0).mean(amount, empty=0.0),
        "standard deviation, sliding": over_outcomes(**local, last=60.0).std(amount, empty=0.0),
        "quantile, sliding": over_outcomes(**local, last=60.0).quantile(amount, 0.5, empty=0.0),
        "quantile, decayed": over_outcomes(**local, half_life=60.0).quantile(
            amount, 0.5, empty=0.0
        ),
        "latest": over_outcomes(**local).latest(amount),
        "time since": over_events(**local).time_since(),
        "distinct, sliding": over_outcomes(**local, last=60.0).distinct(amount),
        "top, decayed": over_outcomes(**local, half_life=60.0).top(
            lambda e, o, x: int(amount(e, o, x))
        ),
        "hour of a zone": local_hour(zone="Europe/Berlin"),
        "table": STORES.field("size", by="key"),
        "shared: mean, sliding": over_outcomes(**shared, last=60.0).mean(amount, empty=0.0),
        "shared: mean, decayed": over_outcomes(**shared, half_life=60.0).mean(amount, empty=0.0),
        "shared: count of all, sliding": over_events(by=(), last=60.0).count(),
    }


def rows(case: UseCase, events: int) -> Iterator[tuple[str, int, float]]:
    """Yield (kind, partitions, µs an event of one such feature)."""
    for name, feature in kinds().items():
        for partitions in (1, 4) if name.startswith("shared") else (1,):
            features = {f"w{i}": feature for i in range(COPIES)}
            with_it = replace(case, features={**case.features, **features})
            learnt = "shared" if with_it.tables or with_it.shared_windows else "partition"
            with_it = replace(with_it, learning=learnt)
            without = replace(case, learning=learnt)
            cost = _cost_us(with_it, partitions, events) - _cost_us(without, partitions, events)
            yield name, partitions, cost / COPIES


def _cost_us(case: UseCase, partitions: int, events: int) -> float:
    stream = _Stream(case, partitions)
    stream.blocks(2)
    costs = sorted(stream.blocks(max(10, events // BLOCK)))
    cheapest = costs[: max(1, len(costs) // 4)]
    return sum(cheapest) / len(cheapest)


class _Stream:
    """Partitions of one process, and a learner that hears what each adds to shared windows."""

    def __init__(self, case: UseCase, partitions: int) -> None:
        from benchmarks.scale import Stream

        pool = WindowPool()
        self.sources = [Stream(case, delay=100, keys=KEYS, pool=pool) for _ in range(partitions)]
        self.learner = LearnerTask(case, partitions=1, definition="scale")
        self.waiting: list[PlainRecord] = []

    def blocks(self, count: int) -> list[float]:
        """Return the cost of each block, µs an event; the learner's is not part of it."""
        return [self._block() for _ in range(count)]

    def _block(self) -> float:
        spent = 0.0
        blocks = [(source.task, list(source._records(BLOCK))) for source in self.sources]
        for first in range(0, len(blocks[0][1]), 60):
            updates, self.waiting = self.waiting, []
            outputs: list[Any] = []
            for task, records in blocks:
                began = time.process_time()
                for update in updates:
                    task.apply(task.read(MODELS, update))
                for index, record in records[first : first + 60]:
                    outputs += task.apply(task.read(index, record))
                spent += time.process_time() - began
            self._hear(outputs)
        for task, _ in blocks:
            task.seal()
        return spent / BLOCK / len(blocks) * 1e6

    def _hear(self, outputs: list[Any]) -> None:
        learner = self.learner
        for output in outputs:
            if output.kind != "window-entries":
                continue
            index = learner.inputs.index(("window-entries", 0))
            record = PlainRecord("w", 0, learner.step, 10**13, None, output.value)
            for update in learner.apply(learner.read(index, record)):
                if update.kind == "models" and orjson.loads(update.value).get("windows"):
                    position = len(self.waiting)
                    self.waiting.append(PlainRecord("m", 0, position, 10**13, None, update.value))
