"""Targets: the standards that a use case is held to, and whether it meets them.

A target is met, missed, or not known while there are too few labels. The caller chooses the window
and passes its sums (of a window, of closed blocks, of all partitions together).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from models.spec.problem_types import BETTER, metric_value
from models.spec.use_case import UseCase
from models.values.durations import spoken

LEAST = 100
"""Labels that a metric or KPI needs before its target is judged."""


class TargetStatus(NamedTuple):
    """One target and its measured value. `met` is None where that is not known yet.

    `bound` and `value` are in `unit`; `better` says on which side of the bound it is met.
    """

    name: str
    bound: float
    better: str
    unit: str
    value: float | None
    n: int
    met: bool | None

    def __str__(self) -> str:
        side = "at most" if self.better == "lower" else "at least"
        word = {None: "not known yet", True: "met", False: "missed"}[self.met]
        value = "" if self.value is None else f": {self._amount(self.value)}"
        return f"{self.name} {side} {self._amount(self.bound)}, {word}{value}"

    def measured(self) -> str:
        """Return what was measured and on which side of the bound it lies, as a clause."""
        assert self.value is not None
        side = "over" if self.value > self.bound else "under"
        bound = self._amount(self.bound)
        return f"the {self.name} is {self._amount(self.value)}, {side} its target of {bound}"

    def _amount(self, value: float) -> str:
        if self.name == "freshness":
            return spoken(round(value))
        return f"{value:.4g} {self.unit}".rstrip()


def judged(
    use_case: UseCase,
    sums: Mapping[str, float],
    *,
    kpi_sum: float = 0.0,
    kpi_n: int = 0,
    freshness_s: float | None = None,
) -> list[TargetStatus]:
    """Return each target of the use case, in its order, measured on what was served.

    `sums` are the metric's mergeable sums of `served`, with `n`, as on `metrics` and `evidence`;
    `freshness_s` is the age of the newest learnt outcome, by the caller's clock.
    """
    targets = []
    n = int(sums.get("n", 0))
    for name, bound in use_case.targets.items():
        if name == "freshness":
            targets.append(_held(name, bound, "lower", "s", freshness_s, 1))
        elif name == "kpi":
            value = kpi_sum / kpi_n if kpi_n >= LEAST else None
            unit = f"{use_case.kpi.unit} an event"
            targets.append(_held(name, bound, use_case.kpi.better, unit, value, kpi_n))
        else:
            value = metric_value(name, n, sums) if n >= LEAST else None
            targets.append(_held(name, bound, BETTER[name], "", value, n))
    return targets


def _held(
    name: str, bound: float, better: str, unit: str, value: float | None, n: int
) -> TargetStatus:
    met = None
    if value is not None:
        met = value <= bound if better == "lower" else value >= bound
    return TargetStatus(name, bound, better, unit, value, n, met)
