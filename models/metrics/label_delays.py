"""What the delay records of all partitions say together: the curve, its quantiles, the horizon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from models.evidence.maturity import Survival

QUANTILES = (0.1, 0.5, 0.9, 0.99)


def delays_of(
    rows: Iterable[Mapping[str, Any]], horizon_s: float
) -> dict[str | None, dict[str, Any]]:
    """Segment (None: everything) → what its labels' delays are; `rows` are the newest records.

    Records whose ages are binned otherwise than those of the newest definition's are left out.
    """
    by: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault(row["segment"], []).append(row)
    found = {}
    for segment in sorted(by, key=lambda name: (name is not None, name or "")):
        mine = by[segment]
        last = max(mine, key=lambda row: row["step"])["edges_s"]
        survival = Survival.merged(row for row in mine if row["edges_s"] == last)
        if survival is not None:
            found[segment] = _said(survival, horizon_s)
    return found


def _said(survival: Survival, horizon_s: float) -> dict[str, Any]:
    plateau = survival.plateau
    return {
        "labels": survival.labels,
        "plateau": plateau,
        "horizon_s": horizon_s,
        "share_at_horizon": survival.share_labelled(horizon_s),
        "proposed_horizon_s": survival.horizon(),
        "quantiles_s": {f"{q:g}": survival.quantile(q * plateau) for q in QUANTILES},
        "curve": [
            (edge, round(1.0 - left, 6))
            for edge, left in zip(survival.edges_s, survival.left, strict=True)
        ],
    }
