"""Workers and partitions as they tell it about themselves (streams/worker.py: status)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from time import time
from typing import Any

from streams.monitor.figures import PartitionRow, WorkerRow
from streams.monitor.shelves import Source

COUNTED = ("events", "outcomes", "learnt", "late", "expired", "refused")
TOLD = ("lag", "events_per_s", "latency_s", "commit_s", "recoveries", "error")


async def partitions(
    source: Source, count: int, now_s: float | None = None
) -> tuple[PartitionRow, ...]:
    """One row a partition; one that nobody owns says so."""
    now = time() if now_s is None else now_s
    (shelf,) = await source.shelves(["learnt"])
    learnt = {int(number): float(at) for number, at in shelf.items()}
    rows = {n: _nobodys(n, learnt.get(n), now) for n in range(count)}
    for worker in await source.workers():
        for told in worker["partitions"]:
            rows[told["partition"]] = _partition(worker, told, learnt, now)
    return tuple(rows[number] for number in sorted(rows))


def _nobodys(number: int, learnt_at: float | None, now: float) -> PartitionRow:
    age_s = None if learnt_at is None else max(0.0, now - learnt_at)
    return PartitionRow(number, "nobody's", freshness_s=age_s, error="no worker owns it")


def _partition(
    worker: Mapping[str, Any], told: Mapping[str, Any], learnt: Mapping[int, float], now: float
) -> PartitionRow:
    counts, snapshot = told.get("counts") or {}, told.get("snapshot") or {}
    # A worker that was started anew has not learnt yet: the monitor remembers.
    learnt_at = told.get("learnt_at") or learnt.get(told["partition"])
    return PartitionRow(
        partition=told["partition"],
        state=told["state"],
        worker=worker["worker"],
        **{name: counts.get(name) for name in COUNTED},
        **{name: told.get(name) for name in TOLD},
        freshness_s=None if learnt_at is None else max(0.0, now - learnt_at),
        snapshot_age_s=snapshot.get("age_s"),
        snapshot_bytes=snapshot.get("bytes"),
        snapshot_cost_s=snapshot.get("cost_s"),
    )


async def workers(source: Source) -> tuple[WorkerRow, ...]:
    """Every worker that spoke in the last seconds, by name."""
    return tuple(
        WorkerRow(
            worker=told["worker"],
            host=told["host"],
            pid=told["pid"],
            ready=told["ready"],
            partitions=tuple(sorted(row["partition"] for row in told["partitions"])),
            events_per_s=told.get("events_per_s", 0.0),
            records_per_s=told.get("records_per_s", 0.0),
            told=datetime.fromtimestamp(told["time"], UTC).isoformat(timespec="milliseconds"),
        )
        for told in sorted(await source.workers(), key=lambda told: str(told["worker"]))
    )


def state_of(rows: Sequence[PartitionRow]) -> str:
    """A use case's state in a word: live, recovering, degraded or stopped."""
    found = {row.state for row in rows}
    if found == {"live"}:
        return "live"
    if found <= {"nobody's"}:
        return "stopped"
    return "recovering" if found <= {"live", "recovering"} else "degraded"
