"""The delay records of all partitions merged: the curve, its quantiles, the horizon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models.stats.kaplan_meier import Survival

QUANTILES = (0.1, 0.5, 0.9, 0.99)


def delays_of(
    rows: Iterable[Mapping[str, Any]], horizon_s: float
) -> dict[str | None, dict[str, Any]]:
    """Return segment (None: everything) → the delays of its labels; `rows` are the newest records.

    Records whose ages are binned differently from the newest definition's are left out.
    """
    by_segment: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_segment.setdefault(row["segment"], []).append(row)
    delays = {}
    for segment in sorted(by_segment, key=lambda name: (name is not None, name or "")):
        records = by_segment[segment]
        edges_s = max(records, key=lambda row: row["step"])["edges_s"]
        survival = Survival.merged(row for row in records if row["edges_s"] == edges_s)
        if survival is not None:
            delays[segment] = _summary(survival, horizon_s)
    return delays


def _summary(survival: Survival, horizon_s: float) -> dict[str, Any]:
    plateau = survival.plateau
    return {
        "labels": survival.labels,
        "plateau": plateau,
        "horizon_s": horizon_s,
        "share_at_horizon": survival.share_labelled(horizon_s),
        "proposed_horizon_s": survival.horizon(),
        "proposed_is_least": survival.is_rising(),
        "quantiles_s": {f"{q:g}": survival.quantile(q * plateau) for q in QUANTILES},
        "curve": [
            (edge, round(1.0 - left, 6))
            for edge, left in zip(survival.edges_s, survival.left, strict=True)
        ],
    }
