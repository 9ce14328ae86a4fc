"""How sure an answer is: an interval for a number, a set of classes for a class.

Both hold the declared share of true labels while the world moves; how, and what is not promised,
is in `models.evidence.conformal`. What was given with a prediction is kept with it, so that its
coverage is counted by what was said then.
"""

from __future__ import annotations

from typing import Any

from models.amounts import amount
from models.evidence.conformal import IntervalTracker, SetTracker
from models.kinds import Said
from models.usecase import UseCase

Given = Any
"""(lower, upper) in the label's unit, a list of classes, or None where nothing can be said yet."""


class Certainty:
    """One tracker of a partition, per segment where there are any. Memory: see the trackers."""

    def __init__(self, use_case: UseCase) -> None:
        self.tracker: IntervalTracker | SetTracker | None = None
        if use_case.interval is None:
            return
        if use_case.kind == "regression":
            self.tracker = IntervalTracker(coverage=use_case.interval)
        else:
            self.tracker = SetTracker(coverage=use_case.interval)

    def give(self, served: Said, segment: str | None) -> Given:
        """What is given with a served answer."""
        if self.tracker is None:
            return None
        if isinstance(self.tracker, SetTracker):
            return self.tracker.classes(served[1], segment)
        bounds = self.tracker.interval(served, segment)
        return None if bounds is None else (bounds.lower, bounds.upper)

    def learn(self, served: Said, label: Any, segment: str | None) -> None:
        """Its label has come."""
        if isinstance(self.tracker, SetTracker):
            self.tracker.update(served[1], label, segment)
        elif self.tracker is not None:
            self.tracker.update(served, amount(label, "label"), segment)


def kept(given: Given, label: Any) -> tuple[float, float] | None:
    """Whether the label lay in what was given (1 or 0), and how wide that was."""
    if given is None:
        return None
    if isinstance(given, list):
        return float(label in given), float(len(given))
    lower, upper = given
    return float(lower <= label <= upper), upper - lower
