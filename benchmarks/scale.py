"""How cost grows: with segments, waiting predictions, features, record size; memory; a restart.

    python -P -m benchmarks.scale [--quick] [--only NAME …]   # benchmarks/scale.json, scale.svg

What is measured is the partition task alone, one process without Kafka: CPU of an event and its
outcome together, from bytes to bytes, with a model that costs nothing, so that nothing hides what
riverrun itself costs. Each point is the cheapest tenth of blocks of 200 events: what other
processes of the machine take is left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import pickle
import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import create_model

from benchmarks import window_cost
from benchmarks.curves import Curve, drawn
from models.inputs.decoder import EVENTS, OUTCOMES, PlainRecord
from models.inputs.json_bytes import encoded
from models.spec.use_case import Kpi, Segments, UseCase
from models.task.checkpoint import parts_of, take_parts
from models.task.partition_task import PartitionTask
from models.training.window_folds import WindowPool
from models.values.durations import days
from schemas.events import Event, Outcome
from streams.config.gc_tuning import bound_pauses

HERE = Path(__file__).parent
START = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = 200
STEP_S = 0.05


class Label(Outcome):
    """A number."""

    y: float


class Nothing:
    """A model that costs nothing."""

    def predict_one(self, x: dict[str, Any]) -> float:
        """Zero."""
        return 0.0

    def learn_one(self, x: dict[str, Any], y: float) -> None:
        """Nothing."""


def use_case(features: int = 10, segments: int = 0, waiting: int = 2_000_000) -> UseCase:
    """So many numbers as features, nothing else that costs."""
    names = [f"f{i}" for i in range(features)]
    fields: dict[str, Any] = dict.fromkeys(names, (float, ...))
    event: Any = create_model(
        "Wide", __base__=Event, key=(str, ...), segment=(str, ""), pad=(str, ""), **fields
    )
    return UseCase(
        name="scale",
        owner="benchmarks",
        event=event,
        outcome=Label,
        key="key",
        label=lambda e, o: o.y,
        features=event.fields(*names),
        models={"nothing": Nothing},
        champion="nothing",
        baseline=lambda e: 0.0,
        metric="mae",
        kpi=Kpi(
            lambda e, o, prediction: abs(prediction - o.y), unit="1", better="lower", range=(0, 10)
        ),
        horizon=days(30),
        warmup=0,
        interval=None,
        contributions=0,
        drift_features=(),
        segments=Segments("segment", limit=segments) if segments else None,
        waiting_limit=waiting,
    )


class Stream:
    """Events at a steady pace, each answered after so many others; one partition."""

    def __init__(
        self,
        case: UseCase,
        *,
        delay: int,
        segments: int = 0,
        pad: int = 0,
        keys: int = 1,
        pool: WindowPool | None = None,
    ) -> None:
        self.task = PartitionTask(case, partition=0, partitions=1, definition="scale", pool=pool)
        self.delay = delay
        self.segments = segments
        self.keys = keys
        self.bytes = 0
        self._names = list(case.features)
        self._pad = "x" * pad
        self._count = self._offset = 0

    def play(self, events: int) -> None:
        """So many events, and the outcomes that are due."""
        records = list(self._records(events))
        for index, record in records:
            self.task.apply(self.task.read(index, record))
        self.task.seal()

    def cost_us(self, events: int) -> float:
        """CPU of an event and its outcome: the cheapest tenth of the blocks."""
        blocks = []
        for _ in range(max(10, events // BLOCK)):
            records = list(self._records(BLOCK))
            began = time.process_time()
            for index, record in records:
                self.task.apply(self.task.read(index, record))
            self.task.seal()
            blocks.append((time.process_time() - began) / BLOCK * 1e6)
        cheapest = sorted(blocks)[: max(1, len(blocks) // 10)]
        return sum(cheapest) / len(cheapest)

    def features_bytes(self) -> int:
        """Of the next event's features, as they go to their topic."""
        ((index, record),) = self._records(1)
        outputs = self.task.apply(self.task.read(index, record))
        return next(len(out.value) for out in outputs if out.kind == "features")

    def _records(self, events: int) -> Iterator[tuple[int, PlainRecord]]:
        for _ in range(events):
            i, self._count = self._count, self._count + 1
            time_ = START + timedelta(seconds=i * STEP_S)
            body = {"event_id": f"e{i}", "event_time": time_, "key": self._key(i), "pad": self._pad}
            if self.keys > 1:
                body["segment"] = f"s{i * 7919 % self.keys}"
            if self.segments:
                body["segment"] = f"s{i * 7919 % self.segments}"
            body |= {name: float((i + k) % 97) + 0.25 for k, name in enumerate(self._names)}
            yield EVENTS, self._record(body, self._key(i))
            if (done := i - self.delay) >= 0:
                outcome = {"event_id": f"e{done}", "outcome_time": time_, "y": 1.0}
                yield OUTCOMES, self._record(outcome, self._key(done))

    def _key(self, i: int) -> str:
        return "k" if self.keys == 1 else f"k{i * 7919 % self.keys}"

    def _record(self, body: dict[str, Any], key: str) -> PlainRecord:
        self._offset += 1
        value = encoded(body)
        return PlainRecord("scale", 0, self._offset, 10**13, key.encode(), value)


def segments(options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Cost against segments, each with a model of its own."""
    for count in (1, 10, 100, 1_000, 10_000):
        stream = Stream(use_case(segments=count), delay=100, segments=count)
        stream.play(max(2_000, 2 * count if not options.quick else count))
        yield count, stream.cost_us(options.events)


def waiting(options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Cost against waiting predictions: the delay of labels."""
    for count in (1_000, 10_000, 100_000) if options.quick else (1_000, 10_000, 100_000, 1_000_000):
        stream = Stream(use_case(), delay=count)
        for _ in range(0, count + 2_000, 10_000):
            stream.play(min(10_000, count + 2_000))
        gc.collect()
        gc.freeze()
        yield count, stream.cost_us(options.events)
        gc.unfreeze()


def features(options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Cost against the number of features."""
    for count in (10, 30, 100, 300, 1_000):
        stream = Stream(use_case(features=count), delay=100)
        stream.play(1_000)
        yield count, stream.cost_us(options.events // (1 + count // 100))


def size(options: argparse.Namespace) -> Iterator[tuple[float, float]]:
    """Cost against the bytes of an event, of which ten numbers are features."""
    for pad in (0, 1_000, 10_000, 100_000):
        stream = Stream(use_case(), delay=100, pad=pad)
        stream.play(500)
        yield pad + 300, stream.cost_us(options.events)


CURVES: dict[str, tuple[str, Callable[[argparse.Namespace], Iterator[tuple[float, float]]]]] = {
    "segments": ("segments with a model of their own", segments),
    "waiting": ("waiting predictions (label delay x rate)", waiting),
    "features": ("features", features),
    "size": ("bytes of an event", size),
}


def memory(count: int) -> dict[str, float]:
    """Bytes of a waiting prediction, and the seconds that a restart with all of them takes."""
    stream = Stream(use_case(), delay=2 * count)
    stream.play(3_000)  # those at hand are there before and after
    published = stream.features_bytes()
    before = resident_bytes()
    for _ in range(0, count, 10_000):
        stream.play(10_000)
    gc.collect()
    held = resident_bytes() - before
    ids = stream.task.ledger.entries
    entry: Any = stream.task.ledger.find(next(reversed(ids)))
    began = time.process_time()
    saved = pickle.dumps((parts_of(stream.task), ids), 5)
    save_s = time.process_time() - began
    case = stream.task.use_case
    del stream, ids
    gc.collect()
    began = time.process_time()
    parts, entries = pickle.loads(saved)
    fresh = PartitionTask(case, partition=0, partitions=1, definition="scale")
    take_parts(fresh, parts, entries)
    return {
        "waiting": count,
        "bytes_each": held / count,
        "feature_bytes": published,
        "event_bytes": len(entry.event),
        "times_features": held / count / published,
        "save_cpu_s": save_s,
        "load_cpu_s": time.process_time() - began,
    }


def resident_bytes() -> int:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> int:
    """Measure what is asked for, keep the rest of the file, draw all."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale")
    parser.add_argument("--quick", action="store_true", help="without the million")
    parser.add_argument("--only", action="append", help=f"{', '.join(CURVES)}, kinds or memory")
    parser.add_argument("--events", type=int, default=6_000)
    options = parser.parse_args()
    bound_pauses()  # as a worker does
    path = HERE / "scale.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name, (title, measure) in CURVES.items():
        if options.only and name not in options.only:
            continue
        points = []
        for x, cost in measure(options):
            points.append((x, cost))
            print(f"{title:44} {x:>12,.0f} {cost:8.1f} µs an event", flush=True)
        flat = max(y for _, y in points) / min(y for _, y in points)
        results[name] = {"title": title, "points": points, "most_over_least": flat}
    if not options.only or "kinds" in options.only:
        results["kinds"] = []
        for kind, partitions, cost in window_cost.rows(use_case(), options.events):
            results["kinds"].append((kind, partitions, cost))
            print(f"{kind:44} {partitions:>3} partitions {cost:8.2f} µs an event", flush=True)
    if not options.only or "memory" in options.only:
        # A process of its own: nothing that was freed before is used again.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results["memory"] = pool.apply(memory, (100_000 if options.quick else 1_000_000,))
        print(json.dumps(results["memory"], indent=1))
    path.write_text(json.dumps(results, indent=1) + "\n")
    curves = [
        Curve(results[name]["title"], results[name]["points"]) for name in CURVES if name in results
    ]
    (HERE / "scale.svg").write_text(drawn(curves, "µs of CPU an event and its outcome"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
