"""Delays of labels in one partition, in all and per segment, and whether labels have stopped.

An id is known for `UseCase.id_retention_s`, so that is the longest age told apart. Backfilled
history is left out, since its labels are chosen. At most `Segments.limit` segments have a curve:
the least recently used makes room.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from models.spec.use_case import UseCase
from models.stats.kaplan_meier import DelayCurve
from models.stats.label_outage import Arrivals, Resumed, Stopped

CHANGED = 1.02
"""A curve is reported again once its predictions and labels grew by this."""
Row = dict[str, Any]


class Maturity:
    """The delay curves of a partition. Call order: `advance`, then `issued` or `labelled`.

    Memory: 500 numbers a curve.
    """

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        self._limit = use_case.segments.limit if use_case.segments is not None else 0
        self.arrivals = Arrivals(self._fresh())
        self.segments: dict[str, DelayCurve] = {}
        # The size at which each curve was last reported; unknown after a restart, so all are
        # reported again.
        self._reported: dict[str | None, float] = {}

    def _fresh(self) -> DelayCurve:
        age_max = self._use_case.id_retention_s
        return DelayCurve(age_max, min(1.0, age_max / 1_000))

    def issued(self, time: float, segment: str | None) -> None:
        """Count a prediction for an event of this time."""
        bucket = self.arrivals.issued(time)
        if segment is not None and self._limit:
            curve = self.segments.pop(segment, None)
            if curve is None:
                curve = self._fresh()
                if len(self.segments) >= self._limit:
                    dropped = next(iter(self.segments))
                    del self.segments[dropped]
                    self._reported.pop(dropped, None)
            self.segments[segment] = curve
            curve.issued_in(bucket)

    def labelled(self, time: float, segment: str | None) -> None:
        """Count the first outcome of an event of this time, arriving now."""
        bucket, delay_bin = self.arrivals.labelled(time)
        curve = self.segments.get(segment) if segment is not None else None
        if curve is not None:
            curve.labelled_in(bucket, delay_bin)

    def advance(self, now: float) -> Row | None:
        """Move the watermark; return a drift record where labels stopped, or come again."""
        change = self.arrivals.advance(now)
        return None if change is None else self._change(change)

    def report(self, definition: str, step: int) -> list[Row]:
        """Return a `delays` record for each curve that changed; the state stays as it is."""
        now = self.arrivals.watermark
        if now is None:
            return []
        curves = [(None, self.arrivals.curve), *sorted(self.segments.items())]
        rows = []
        for segment, curve in curves:
            size = curve.predictions + curve.labels
            if size < max(1.0, self._reported.get(segment, 0.0) * CHANGED):
                continue
            self._reported[segment] = size
            survival = curve.survival(now)
            rows.append(
                {
                    "use_case": self._use_case.name,
                    "segment": segment,
                    "edges_s": survival.edges_s,
                    "labelled": survival.labelled,
                    "exposed": survival.exposed,
                    "definition": definition,
                    "step": step,
                }
            )
        return rows

    def _change(self, change: Stopped | Resumed) -> Row:
        stopped = isinstance(change, Stopped)
        return {
            "use_case": self._use_case.name,
            "detector": "labels: arrivals against the delay curve",
            "subject": "labels",
            "was": f"{change.expected:.0f} outcomes due"
            if isinstance(change, Stopped)
            else "stopped",
            "now": f"{change.arrived} came" if isinstance(change, Stopped) else "come as expected",
            "since": datetime.fromtimestamp(change.since, UTC),
            "severity": "alarm" if stopped else "notice",
            "done": "alert",
        }
