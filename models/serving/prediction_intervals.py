"""Uncertainty of predictions: an interval for a number, a set of classes for a class.

Both hold the declared share of true labels while the world moves; how, and what is not promised,
is in `models.stats.adaptive_conformal`. The interval or set that was issued with a prediction is
stored with it, and coverage is counted by it.
"""

from __future__ import annotations

from typing import Any

from models.spec.problem_types import Predicted
from models.spec.use_case import UseCase
from models.stats.adaptive_conformal import IntervalTracker, SetTracker
from models.values.numbers import amount

Region = Any
"""A prediction region: (lower, upper) in the label's unit, or a list of classes; None: unknown."""


class PredictionIntervals:
    """One tracker of a partition, per segment where there are any. Memory: see the trackers."""

    def __init__(self, use_case: UseCase) -> None:
        self.tracker: IntervalTracker | SetTracker | None = None
        if use_case.interval is None:
            return
        if use_case.kind == "regression":
            self.tracker = IntervalTracker(coverage=use_case.interval)
        else:
            self.tracker = SetTracker(coverage=use_case.interval)

    def region(self, served: Predicted, segment: str | None) -> Region:
        """Return the interval or set to issue with a served prediction."""
        if self.tracker is None:
            return None
        if isinstance(self.tracker, SetTracker):
            return self.tracker.classes(served[1], segment)
        bounds = self.tracker.interval(served, segment)
        return None if bounds is None else (bounds.lower, bounds.upper)

    @property
    def labels(self) -> int | None:
        """Labels learnt so far, to be stored with a prediction; None where delays do not matter."""
        return self.tracker.labels if isinstance(self.tracker, IntervalTracker) else None

    def learn(
        self,
        served: Predicted,
        label: Any,
        segment: str | None,
        known: int | None = None,
        region: Region = None,
    ) -> None:
        """Learn from the label of a served prediction.

        `known` were the `labels` at that time, `region` was issued with the prediction.
        """
        if isinstance(self.tracker, SetTracker):
            self.tracker.update(served[1], label, segment)
        elif self.tracker is not None:
            number = amount(label, "label")
            held = None if region is None else region[0] <= number <= region[1]
            self.tracker.update(served, number, segment, known, held)


def coverage_of(region: Region, label: Any) -> tuple[float, float] | None:
    """Return whether what was issued covers the label (1 or 0), and its width."""
    if region is None:
        return None
    if isinstance(region, list):
        return float(label in region), float(len(region))
    lower, upper = region
    return float(lower <= label <= upper), upper - lower
