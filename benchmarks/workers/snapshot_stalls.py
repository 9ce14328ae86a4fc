"""What a snapshot of a heavy forest does to predictions: how long the loop stands still.

    python -P -m benchmarks.workers.snapshot_stalls [records] [copies]    # 12,000 and 12 by default

An adaptive random forest is trained once and copied until its pickle is as large as one that has
seen ten times as much. Beside it, a small model answers as fast as it can; each turn of the loop is
timed: alone, while the forest is pickled and written, and while it is loaded by another partition.
Needs a Redis: REDIS_URL, or the embedded one is started.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from river import forest, linear_model, preprocessing

from benchmarks.servers import servers
from models.spec.use_case import Kpi, UseCase
from models.task.partition_task import PartitionTask
from models.values.durations import hours
from schemas.events import Event, Outcome
from streams.config.gc_tuning import bound_pauses
from streams.snapshots import snapshot_schedule
from streams.snapshots.redis_store import connect
from streams.snapshots.snapshot_store import Snapshots
from streams.unpickling.safe_unpickler import Allowed


class Asked(Event):
    """An event."""

    key: str


class Known(Outcome):
    """Its outcome."""

    y: float


CASE = UseCase(
    name="stalls",
    owner="benchmarks",
    event=Asked,
    outcome=Known,
    key="key",
    label=lambda e, o: o.y,
    features=Asked.fields("key"),
    models={
        "quick": lambda: preprocessing.StandardScaler() | linear_model.LinearRegression(),
        "heavy": forest.ARFRegressor,
    },
    champion="quick",
    baseline=lambda e: 0.0,
    metric="mae",
    kpi=Kpi(lambda e, o, s: 0.0, unit="EUR", better="lower", range=(0, 1)),
    horizon=hours(1),
)


def grown(records: int) -> Any:
    """A forest that has seen so many."""
    model, draw = forest.ARFRegressor(n_models=10, seed=1), random.Random(1)
    for _ in range(records):
        x = {f"f{k}": draw.random() for k in range(10)}
        model.learn_one(x, x["f0"] * 10 + draw.random())
    return model


async def turns(until: Awaitable[Any]) -> list[float]:
    """How long each turn of the loop took, ms, sorted, while something is awaited."""
    task, took, last = asyncio.ensure_future(until), [], time.perf_counter()
    model = CASE.models["quick"]()
    while not task.done():
        for n in range(20):  # about a millisecond of work, as a slice of the real loop has
            model.predict_one({"a": n, "b": 1.0})
            model.learn_one({"a": n, "b": 1.0}, float(n))
        await asyncio.sleep(0)
        now = time.perf_counter()
        took.append((now - last) * 1e3)
        last = now
    await task
    return sorted(took)


def shown(what: str, took: list[float], more: str = "") -> None:
    """One line."""
    half, most = took[len(took) // 2], took[int(len(took) * 0.99)]
    print(f"{what:28} {len(took):8,} turns  {half:6.1f} {most:7.1f} {took[-1]:8.1f} ms  {more}")


async def main(redis_url: str, records: int, copies: int) -> None:
    """Print the table."""
    snapshot_schedule.SHARE = 1.0
    bound_pauses()
    began = time.perf_counter()
    data = pickle.dumps(grown(records), 5)
    print(f"grown in {time.perf_counter() - began:.0f} s: {len(data) / 1e6:.0f} MB, x {copies}")

    def make(_: int) -> PartitionTask:
        return PartitionTask(CASE, partition=0, partitions=1, definition="d1")

    def store() -> Snapshots:
        allowed = Allowed(CASE.models.values(), __name__)
        return Snapshots(connect(redis_url), group, make, key=b"k", allowed=allowed, interval_s=0.0)

    group = f"stalls-{uuid.uuid4().hex[:8]}"
    task, snapshots = make(0), store()
    task.router.pooled["heavy"].model = [pickle.loads(data) for _ in range(copies)]
    print(f"{'':28} {'':14}  median    99 %  longest")
    shown("alone", await turns(asyncio.sleep(5)))
    for name in ("first snapshot (proved)", "second snapshot"):
        task.journal.seq += 1
        task.router.pooled["heavy"].changed = True
        await asyncio.sleep(snapshots.status(0)["interval_s"] + 0.1)
        snapshots.offer(0, task)
        took = await turns(snapshots.written())
        status = snapshots.status(0)
        more = (
            f"{status['bytes'] / 1e6:.0f} MB, held up {status['held_up_ms_max']} ms by the fork, "
        )
        shown(name, took, f"{more}{status['cost_s']:.1f} s of CPU {status['error'] or ''}")
    other = store()
    shown("loaded by another", await turns(other.load(0)), str(other.status(0)["recovered_from"]))


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    records, copies = (arguments + [12_000, 12][len(arguments) :])[:2]
    with servers(Path(tempfile.mkdtemp(prefix="stalls-")), purge=True) as endpoints:
        asyncio.run(main(endpoints.redis_url, records, copies))
