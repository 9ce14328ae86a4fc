"""Slices: declared groups without models of their own, each with every metric, and how far apart.

A gap is a difference between the best and the worst slice of one name, and no verdict: slices
differ in what is asked of them, too. Slices of few labels are shown, and left out of the gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.kinds import BETTER, OF_KIND, metric_value
from models.settled import Settled, together
from models.targets import LEAST
from models.usecase import UseCase


@dataclass(frozen=True, slots=True)
class Part:
    """One slice: its value (`carrier=UA` is UA), what was served there, and the gain per event."""

    value: str
    predictions: int
    labelled: int
    figures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart the best and the worst slice are in one figure."""

    figure: str
    best: str
    worst: str
    gap: float


@dataclass(frozen=True, slots=True)
class Slice:
    """All slices of one declared name. Figures: each metric, `kpi` and `gain`, per event."""

    name: str
    parts: list[Part] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def slices_of(use_case: UseCase, settled: Settled, least: int = LEAST) -> list[Slice]:
    """Every declared slice, over all settled blocks; `least` labels to take part in a gap."""
    parts: dict[str, list[Part]] = {name: [] for name in use_case.slices}
    for _, group in settled.groups():
        name, _, value = (group or "").partition("=")
        if name in parts:
            parts[name].append(_part(use_case, settled, group or "", value))
    return [Slice(name, found, _gaps(use_case, found, least)) for name, found in parts.items()]


def _part(use_case: UseCase, settled: Settled, group: str, value: str) -> Part:
    whole = together(settled.blocks((None, group)))
    sums = whole.sums.get("served", {})
    figures = {
        metric: metric_value(metric, sums.get("n", 0.0), sums) for metric in OF_KIND[use_case.kind]
    }
    served, baseline = whole.kpi.get("served", 0.0), whole.kpi.get("baseline", 0.0)
    gain = baseline - served if use_case.kpi.better == "lower" else served - baseline
    figures["kpi"] = served / whole.kpi_n if whole.kpi_n else None
    figures["gain"] = gain / whole.kpi_n if whole.kpi_n else None
    return Part(value, whole.predictions, whole.kpi_n, figures)


def _gaps(use_case: UseCase, parts: list[Part], least: int) -> list[Gap]:
    better = {**BETTER, "kpi": use_case.kpi.better, "gain": "higher"}
    gaps = []
    for figure in (*OF_KIND[use_case.kind], "kpi", "gain"):
        values = {
            part.value: value
            for part in parts
            if part.labelled >= least and (value := part.figures[figure]) is not None
        }
        if len(set(values.values())) >= 2:
            low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            best, worst = (low, high) if better[figure] == "lower" else (high, low)
            gaps.append(Gap(figure, best, worst, values[high] - values[low]))
    return gaps
