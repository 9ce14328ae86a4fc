"""What a partition's runner measures of itself: told in its status, and scraped from `/metrics`.

Written once a commit and never a record. Counts go up as long as the process lives, whoever has the
partition in between. Times are seconds; `learnt_at` and the like are Unix time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from time import time
from typing import Any, Protocol

COMMIT_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ANSWER_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
BATCH = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0)


class Histogram:
    """Counts of values up to each bound, and beyond the last."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @classmethod
    def together(cls, histograms: Sequence[Histogram]) -> Histogram:
        """Return several histograms of the same bounds as one; at least one is needed."""
        whole = cls(histograms[0].bounds)
        whole.counts = [sum(column) for column in zip(*(h.counts for h in histograms), strict=True)]
        whole.sum = sum(histogram.sum for histogram in histograms)
        return whole

    def cumulative(self) -> list[tuple[str, int]]:
        """Return pairs of upper bound and count up to it, as Prometheus has them.

        >>> histogram = Histogram((1.0, 2.0))
        >>> for value in (0.5, 1.0, 9.0):
        ...     histogram.observe(value)
        >>> histogram.cumulative()
        [('1.0', 2), ('2.0', 2), ('+Inf', 3)]
        """
        names = (*map(str, self.bounds), "+Inf")
        return list(zip(names, accumulate(self.counts), strict=True))


class MeasuredBatch(Protocol):
    """What was applied since the last commit; `oldest`: the first event at hand."""

    applied: int
    oldest: Any | None
    newest: list[Any | None]


class Measurements:
    """One partition's, as long as the process lives."""

    def __init__(self) -> None:
        self.records = 0
        self.commit_s = Histogram(COMMIT_S)
        self.answer_s = Histogram(ANSWER_S)
        self.batch = Histogram(BATCH)
        self.recoveries = 0
        self.recovery_s: float | None = None
        self.recovered_at: float | None = None
        self.recovered_to: float | None = None
        self.learnt_at: float | None = None
        self.last_answer_s: float | None = None
        self.last_commit_s: float | None = None
        self._learnt = 0

    def recovered(self, seconds: float, task: Any) -> None:
        """Record that the partition is live again, with that task."""
        self.recoveries += 1
        self.recovery_s = seconds
        self.recovered_at = time()
        self.recovered_to = getattr(getattr(task, "watermark", None), "time", None)
        self._learnt = _learnt(task)

    def committed(self, taken: MeasuredBatch, seconds: float, task: Any) -> None:
        """Record a committed batch: its contents, its duration, the task after it.

        An answer's latency is from its event's Kafka timestamp to now; the batch's oldest counts.
        """
        if not taken.applied:
            return
        self.records += taken.applied
        self.batch.observe(taken.applied)
        self.commit_s.observe(seconds)
        self.last_commit_s = seconds
        # A relay may have a single input.
        event, outcome, *_ = (*taken.newest, None)
        if event is not None:
            oldest = event if taken.oldest is None else taken.oldest
            self.last_answer_s = max(0.0, time() - oldest.timestamp / 1000)
            self.answer_s.observe(self.last_answer_s)
        learnt = _learnt(task)
        if outcome is not None and learnt > self._learnt:
            self.learnt_at = outcome.timestamp / 1000
        self._learnt = learnt

    def status(self, task: Any) -> dict[str, Any]:
        """Return plain values, with which version of the shared models the task has, if any."""
        shared = getattr(task, "shared", None)
        versions = (
            {}
            if shared is None
            else {"version": shared.number, "model_staleness_s": shared.staleness_s}
        )
        return {
            **versions,
            "learnt_at": self.learnt_at,
            "latency_s": self.last_answer_s,
            "commit_s": self.last_commit_s,
            "recoveries": self.recoveries,
            "recovery_s": self.recovery_s,
            "recovered_at": self.recovered_at,
            "recovered_to": self.recovered_to,
        }


def _learnt(task: Any) -> int:
    counts = getattr(task, "counts", None)
    return int(counts.get("learnt", 0)) if isinstance(counts, dict) else 0
