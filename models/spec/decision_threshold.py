"""From the probability of true to the answer yes or no: the threshold that a use case declares.

`threshold=0.2` answers yes where the probability is above 0.2. `threshold="kpi"` takes, for each
event, the threshold at which both answers have the same expected KPI (Elkan 2001, The Foundations
of Cost-Sensitive Learning, section 2.1): with a the KPI that a false yes loses against a right no,
and b what a false no loses against a right yes, yes is better where p · b > (1 - p) · a.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.spec.default_outcome import DefaultOutcome
from models.spec.use_case import UseCase


class DecisionThreshold:
    """The threshold of each event; stateless.

    For "kpi" two outcomes of the event are made, as for `label_on_timeout`: one whose label is
    true, one whose label is false.
    """

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        self._by_kpi = use_case.threshold == "kpi"
        self._fixed = None if isinstance(use_case.threshold, str) else use_case.threshold
        if self._by_kpi:
            self._outcomes = {
                label: DefaultOutcome(replace(use_case, label_on_timeout=label))
                for label in (False, True)
            }

    def of(self, event: Any) -> float | None:
        """Return the threshold; None where none is declared.

        Raises `ValueError` where "kpi" is declared, and the KPI tells none for this event.
        """
        return self._optimal(event) if self._by_kpi else self._fixed

    def _optimal(self, event: Any) -> float:
        false_yes = self._loss(event, label=False)
        false_no = self._loss(event, label=True)
        if false_yes + false_no <= 0.0:
            raise ValueError(
                f"a false yes loses {false_yes:g} and a false no {false_no:g}, so no threshold is "
                "best"
            )
        return false_yes / (false_yes + false_no)

    def _loss(self, event: Any, *, label: bool) -> float:
        """Return what the wrong answer loses against the right one where `label` is true of it."""
        kpi = self._use_case.kpi
        default = self._outcomes[label].of(event)
        if default is None:
            raise ValueError(f"no outcome with the label {label} can be made for the KPI")
        wrong, right = kpi(event, default[0], not label), kpi(event, default[0], label)
        return wrong - right if kpi.better == "lower" else right - wrong
