"""Workers and partitions by their workers' statuses (streams/worker/worker_process.py: status)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any

from streams.monitor.store.table_store import MetricsSource
from streams.monitor.store.view_models import LearnerRow, PartitionRow, WorkerRow
from streams.telemetry.partition_table import UNTOLD

COUNTS = ("events", "outcomes", "learnt", "late", "expired", "refused")
FIGURES = ("lag", "events_per_s", "latency_s", "commit_s", "recoveries", "error")


async def partitions(
    source: MetricsSource, count: int, now_s: float | None = None
) -> tuple[PartitionRow, ...]:
    """Return one row for each partition, also for one without an owner."""
    now = time() if now_s is None else now_s
    (table,) = await source.tables(["learnt"])
    learnt = {int(number): float(at) for number, at in table.items()}
    rows = {n: _unowned(n, learnt.get(n), now) for n in range(count)}
    for worker in await source.workers():
        for status in worker["partitions"]:
            rows[status["partition"]] = _partition(worker, status, learnt, now)
    return tuple(rows[number] for number in sorted(rows))


def _unowned(number: int, learnt_at: float | None, now: float) -> PartitionRow:
    age_s = None if learnt_at is None else max(0.0, now - learnt_at)
    return PartitionRow(number, "unowned", freshness_s=age_s, error="no worker owns it")


def _partition(
    worker: Mapping[str, Any], status: Mapping[str, Any], learnt: Mapping[int, float], now: float
) -> PartitionRow:
    counts, snapshot = status.get("counts") or {}, status.get("snapshot") or {}
    # A restarted worker has not learnt yet: the monitor stored when the last one did.
    learnt_at = status.get("learnt_at") or learnt.get(status["partition"])
    return PartitionRow(
        partition=status["partition"],
        state=status["state"],
        worker=worker["worker"],
        **{name: counts.get(name) for name in COUNTS},
        **{name: status.get(name) for name in FIGURES},
        freshness_s=None if learnt_at is None else max(0.0, now - learnt_at),
        model_staleness_s=status.get("model_staleness_s"),
        snapshot_age_s=snapshot.get("age_s"),
        snapshot_bytes=snapshot.get("bytes"),
        snapshot_cost_s=snapshot.get("cost_s"),
        snapshot_error=snapshot.get("error"),
        archive_error=snapshot.get("archive_error"),
    )


async def learner(source: MetricsSource, *, shared: bool) -> LearnerRow | None:
    """Return the learner; None where each partition learns by itself."""
    if not shared:
        return None
    told = await source.workers()
    sharing = [worker["learner"] for worker in told if worker.get("learner")]
    stalled_s = max((each.get("stalled_s", 0.0) for each in sharing), default=0.0)
    # It runs in the worker that owns partition 0.
    for worker in told:
        if any(row["partition"] == 0 for row in worker["partitions"]):
            row = _learner(worker["worker"], worker.get("learner"))
            return replace(row, stalled_s=stalled_s)
    return LearnerRow("unowned", stalled_s=stalled_s, error="no worker owns partition 0")


def _learner(worker: str, status: Mapping[str, Any] | None) -> LearnerRow:
    if status is None:
        return LearnerRow(UNTOLD, worker, error="its worker's figures are not known")
    error, runner = status["error"], status["runner"]
    if runner is None:
        return LearnerRow("recovering" if error is None else "stopped", worker, error=error)
    return LearnerRow(
        state=runner["state"],
        worker=worker,
        lag=runner["lag"],
        learnt=(runner["counts"] or {}).get("learnt"),
        snapshot_error=runner["snapshot"].get("error"),
        error=runner["error"] or error,
    )


async def workers(source: MetricsSource) -> tuple[WorkerRow, ...]:
    """Return every worker that sent its status in the last seconds, by name."""
    return tuple(
        WorkerRow(
            worker=status["worker"],
            host=status["host"],
            pid=status["pid"],
            ready=status["ready"],
            partitions=tuple(sorted(row["partition"] for row in status["partitions"])),
            events_per_s=status.get("events_per_s", 0.0),
            records_per_s=status.get("records_per_s", 0.0),
            reported_at=datetime.fromtimestamp(status["time"], UTC).isoformat(
                timespec="milliseconds"
            ),
        )
        for status in sorted(await source.workers(), key=lambda status: str(status["worker"]))
    )


def state_of(rows: Sequence[PartitionRow]) -> str:
    """Return a use case's state: live, recovering, degraded, stopped or unknown."""
    states = {row.state for row in rows}
    if UNTOLD in states:
        return "unknown"
    if states == {"live"}:
        return "live"
    if states <= {"unowned"}:
        return "stopped"
    return "recovering" if states <= {"live", "recovering"} else "degraded"
