"""Claims about drift: every shape is reported within 7 days, and days alike are not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.stats import poisson

from models.stats.drift_detection import DriftAlarm, DriftMonitor
from tests.gallery.claims.claim import Claim, Result, Size
from tests.gallery.streams.drift_shapes import Days
from tests.gallery.streams.stream import Stream

DETECTORS = 13
"""Detectors that share the budget in an ordinary use case; here only a column's own run."""
DAYS_MOST = 7


def alarms_of(days: Days, run: int) -> list[DriftAlarm]:
    """Return the alarms of one run at the evidence that 13 detectors would need."""
    kind = days.kind
    monitor = DriftMonitor(
        numeric=["value"] if kind == "numeric" else (),
        categories=["value"] if kind == "category" else (),
        models=["value"] if kind == "error" else (),
    )
    share = DETECTORS / (2 * len(monitor.features) + 2 + len(monitor.errors))
    monitor.records_between *= share
    monitor.blocks_between *= share
    alarms: list[DriftAlarm] = []
    for day, (values, count) in enumerate(
        zip(days.values[run].tolist(), days.events[run].tolist(), strict=True)
    ):
        alarms += monitor.advance(day)
        monitor.records += count
        monitor.volume.summary.count = count
        for value in values[:count] if kind != "volume" else ():
            if kind == "error":
                monitor.update_error("value", value)
                continue
            value_or_none = None if math.isnan(value) else value
            for watch in monitor.features[0][1:]:
                watch.summary.update(value_or_none)
    return [*alarms, *monitor.advance(len(days.values[run]))]


def reported(stream: Stream[Any], size: Size) -> Result:
    """Measure the days to the first alarm, in the worst of some runs."""
    calm = stream.truth["change_at"]
    runs = 5 if size.full else 1
    if runs == 1 and calm != 30:
        return Result("pass", "in full only")
    days = stream.sample(size.seed, runs, 0)
    delays = []
    for run in range(runs):
        blocks = [alarm.block for alarm in alarms_of(days, run) if alarm.block >= calm]
        delays.append(min(blocks) - calm + 1 if blocks else math.inf)
    worst = max(delays)
    shown = f"{int(np.median(delays))} days" if math.isfinite(worst) else "not in 8 days"
    if worst <= DAYS_MOST:
        return Result("pass", shown + (f" (worst {worst})" if worst > min(delays) else ""))
    if calm < 30:
        return Result("not promised", shown, "fewer than 30 calm days")
    return Result("fail", shown)


def silent(stream: Stream[Any], size: Size) -> Result:
    """Measure alarms, against one in a million records of 13 detectors.

    An alarm of a plain rule says so itself: it states a fact, and has another bound.
    """
    runs, length = (20, 250) if size.full else (1, 120)
    days = stream.sample(size.seed, runs, length)
    raised = [alarm for run in range(runs) for alarm in alarms_of(days, run)]
    alarms = [a for a in raised if a.kind != "volume" or "traffic" not in stream.name]
    records = int(days.events.sum())
    allowed = int(poisson.ppf(0.99, records / 1e6))
    figure = f"{len(alarms)} in {records:,} records"
    if len(alarms) <= allowed:
        return Result("pass", figure)
    plain = sum(alarm.plainly for alarm in alarms)
    if len(alarms) - plain <= allowed:
        reason = "each of these alarms says that a plain rule raised it (`detector`: plain rule)"
        return Result("not promised", f"{figure}, {plain} marked", reason)
    return Result("fail", figure)


CLAIMS = [
    Claim(
        "drift is reported",
        "From 30 calm days on every shape is reported within 7 days, at the evidence that 13 "
        "detectors need together.",
        Days,
        reported,
        about=lambda stream: "change_at" in stream.truth,
    ),
    Claim(
        "days alike are no drift",
        "At most one false alarm in a million records.",
        Days,
        silent,
        about=lambda stream: "change_at" not in stream.truth,
    ),
]
