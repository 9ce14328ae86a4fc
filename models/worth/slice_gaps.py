"""Slices: declared groups without models of their own, each with every metric, and how far apart.

A gap is a difference between the best and the worst slice of one name, and no verdict: slices
differ in what is asked of them, too. Slices of few labels are shown, and left out of the gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models.metrics.targets import LEAST
from models.spec.problem_types import BETTER, OF_KIND, metric_value
from models.spec.use_case import UseCase
from models.worth.closed_blocks import ClosedBlocks, together


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


def slices_of(use_case: UseCase, closed: ClosedBlocks) -> list[Slice]:
    """Return every declared slice over all closed blocks; gaps need `LEAST` labels."""
    parts: dict[str, list[Part]] = {name: [] for name in use_case.slices}
    for _, group in closed.groups():
        name, _, value = (group or "").partition("=")
        if name in parts:
            parts[name].append(_part(use_case, closed, group or "", value))
    return [
        Slice(name, slice_parts, _gaps(use_case, slice_parts))
        for name, slice_parts in parts.items()
    ]


def _part(use_case: UseCase, closed: ClosedBlocks, group: str, value: str) -> Part:
    whole = together(closed.blocks((None, group)))
    sums = whole.sums.get("served", {})
    figures = {
        metric: metric_value(metric, sums.get("n", 0.0), sums) for metric in _metrics(use_case)
    }
    served, baseline = whole.kpi.get("served", 0.0), whole.kpi.get("baseline", 0.0)
    gain = baseline - served if use_case.kpi.better == "lower" else served - baseline
    fair = whole.kpi_n and not whole.unpriced
    figures["kpi"] = served / whole.kpi_n if fair else None
    figures["gain"] = gain / whole.kpi_n if fair else None
    return Part(value, whole.predictions, whole.kpi_n, figures)


def _metrics(use_case: UseCase) -> list[str]:
    """Return what every use case of its kind has, and its own."""
    return list(dict.fromkeys((*OF_KIND[use_case.kind], use_case.metric)))


def _gaps(use_case: UseCase, parts: list[Part]) -> list[Gap]:
    metrics = _metrics(use_case)
    better = {metric: BETTER[metric] for metric in metrics}
    better |= {"kpi": use_case.kpi.better, "gain": "higher"}
    gaps = []
    for figure in better:
        values = {
            part.value: value
            for part in parts
            if part.labelled >= LEAST and (value := part.figures[figure]) is not None
        }
        if len(set(values.values())) >= 2:
            low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
            best, worst = (low, high) if better[figure] == "lower" else (high, low)
            gaps.append(Gap(figure, best, worst, values[high] - values[low]))
    return gaps
