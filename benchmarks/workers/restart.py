"""A restart with many predictions waiting: their snapshot in Redis, and back, in the worker's code.

    python -P -m benchmarks.workers.restart [waiting]    # 1,000,000 by default

A partition's task is given so many events and no outcome. Its first snapshot is pickled by a child,
proved, and written to the embedded Redis; then another process of the worker, as it were, loads it:
that is what a restarted partition waits for before it folds what is left of the log. The last event
of the loaded state is then answered by its outcome, and must be learnt.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.scale import START, Label, Stream, use_case
from benchmarks.servers import servers
from models.inputs.decoder import OUTCOMES, PlainRecord
from models.inputs.json_bytes import encoded
from models.task.partition_task import PartitionTask
from streams.snapshots.redis_store import connect
from streams.snapshots.snapshot_store import Snapshots
from streams.unpickling.safe_unpickler import Allowed

GROUP = "restart"


def store(redis_url: str) -> Snapshots:
    """A worker's store of snapshots."""
    case = use_case()
    allowed = Allowed(case.models.values(), Label.__module__)

    def make(_: int) -> PartitionTask:
        return PartitionTask(case, partition=0, partitions=1, definition="scale")

    return Snapshots(connect(redis_url), GROUP, make, key=b"key", allowed=allowed, interval_s=0.0)


async def save(redis_url: str, waiting: int) -> dict[str, float]:
    """Make the state and write its first snapshot."""
    stream, snapshots = Stream(use_case(), delay=waiting + 1), store(redis_url)
    for done in range(0, waiting, 10_000):
        stream.play(min(10_000, waiting - done))
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    snapshots.offer(0, stream.task)
    held_up_s = time.perf_counter() - began
    await snapshots.written()
    status: dict[str, Any] = dict(snapshots.status(0))
    assert not status["error"], status["error"]
    return {
        "waiting": len(stream.task.ledger.entries),
        "snapshot_mb": status["bytes"] / 1e6,
        "save_s": time.perf_counter() - began,
        "held_up_s": held_up_s,
    }


async def load(redis_url: str, waiting: int) -> dict[str, float]:
    """Load it as a restarted worker does, and learn one outcome."""
    snapshots = store(redis_url)
    began = time.perf_counter()
    task = await snapshots.load(0)
    load_s = time.perf_counter() - began
    assert len(task.ledger.entries) == waiting, snapshots.status(0)
    body = {"event_id": f"e{waiting - 1}", "outcome_time": START, "y": 1.0}
    record = PlainRecord("scale", 0, 10**9, 10**13, b"k", encoded(body))
    task.apply(task.read(OUTCOMES, record))
    assert task.counts["learnt"] == 1
    return {"load_s": load_s}


def _save(redis_url: str, waiting: int) -> dict[str, float]:
    return asyncio.run(save(redis_url, waiting))


def _load(redis_url: str, waiting: int) -> dict[str, float]:
    return asyncio.run(load(redis_url, waiting))


def main() -> int:
    """Measure, each half in a process of its own, and print."""
    waiting = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seconds: dict[str, float] = {}
    with servers(Path(tempfile.mkdtemp(prefix="restart-")), purge=True) as at:
        for half in (_save, _load):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds |= pool.apply(half, (at.redis_url, waiting))
    print(json.dumps(seconds, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
