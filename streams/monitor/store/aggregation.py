"""Sums over partitions: counts and sums, from which figures are computed; values never average."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from models.spec.problem_types import metric_value
from models.spec.use_case import UseCase
from streams.monitor.store.table_store import Table
from streams.monitor.store.view_models import ClosedBlock, Point, Score

Z95 = 1.959964


class Cell:
    """Counts and sums of one model over some windows and partitions."""

    __slots__ = ("counts", "kpi_sum", "sums")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.kpi_sum = 0.0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row of a metrics table."""
        counts, sums = self.counts, self.sums
        for name in _COUNTS:
            counts[name] = counts.get(name, 0) + row[name]
        for name, value in row["sums"].items():
            sums[name] = sums.get(name, 0.0) + value
        self.kpi_sum += row["kpi_sum"] or 0.0

    def merge(self, other: Cell) -> None:
        """Add another cell."""
        self.counts.update(other.counts)
        self.sums.update(other.sums)
        self.kpi_sum += other.kpi_sum


_COUNTS = ("predictions", "outcomes", "kpi_n", "guarded", "expired", "late")
Windows = dict[str, dict[str, Cell]]
"""Window start → model → its cell, windows in the order of time."""


def sum_windows(tables: Iterable[Table]) -> tuple[Windows, float]:
    """Return one group's windows, summed over partitions, and a window's length in seconds."""
    windows: Windows = {}
    window_s = 0.0
    for table in tables:
        for field, value in table.items():
            start, _, model = field.partition("|")
            row = orjson.loads(value)
            window_s = row["window_s"]
            windows.setdefault(start, {}).setdefault(model, Cell()).add(row)
    return {start: windows[start] for start in sorted(windows)}, window_s


def total(windows: Iterable[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Return the cells of several windows, summed by model."""
    cells: dict[str, Cell] = {}
    for models in windows:
        for model, cell in models.items():
            cells.setdefault(model, Cell()).merge(cell)
    return cells


def scores(use_case: UseCase, cells: Mapping[str, Cell]) -> dict[str, Score]:
    """Return the figures of each model, `served` and `baseline` first."""
    order = dict.fromkeys(("served", "baseline", *use_case.models, *cells))
    served = cells.get("served")
    return {
        model: score(use_case, model, cells[model], served) for model in order if model in cells
    }


def score(use_case: UseCase, model: str, cell: Cell, served: Cell | None) -> Score:
    """Return one model's figures; predictions and outcomes are counted by `served`."""
    counts, sums = cell.counts, cell.sums
    whole = (served or cell).counts
    n, intervals = int(sums["n"]), int(sums["intervals"])
    # A model that was withheld for some has its sums over fewer than have a KPI.
    kpi_n = min(n, counts["kpi_n"])
    lower, upper = _interval(use_case.metric, n, sums)
    return Score(
        model=model,
        predictions=whole["predictions"],
        outcomes=whole["outcomes"],
        n=n,
        value=metric_value(use_case.metric, n, sums),
        lower=lower,
        upper=upper,
        bias=sums["bias"] / n if n and "bias" in sums else None,
        kpi=cell.kpi_sum / kpi_n if kpi_n else None,
        kpi_sum=cell.kpi_sum,
        kpi_n=kpi_n,
        intervals=intervals,
        coverage=sums["covered"] / intervals if intervals else None,
        width=sums["width"] / intervals if intervals else None,
        guarded=counts["guarded"],
        expired=whole["expired"],
        late=whole["late"],
    )


def point(use_case: UseCase, start: str, window_s: float, cells: Mapping[str, Cell]) -> Point:
    """Return one window's figures."""
    counts = (cells.get("served") or next(iter(cells.values()))).counts
    predictions, outcomes = counts["predictions"], counts["outcomes"]
    maturity = outcomes / predictions if predictions else None
    return Point(start, window_s, predictions, outcomes, maturity, scores(use_case, cells))


def closed_blocks(tables: Iterable[Table], sign: float) -> tuple[ClosedBlock, ...]:
    """Return closed blocks, summed over partitions; `sign` is 1 if more KPI is better, else -1."""
    blocks: dict[str, Counter[str]] = {}
    for table in tables:
        for start, value in table.items():
            row = orjson.loads(value)
            block = blocks.setdefault(start, Counter())
            block["block_s"] = row["block_s"]
            for name in ("predictions", "missing", "kpi_n"):
                block[name] += row[name]
            for name in ("served", "baseline"):
                block[name] += row["kpi"].get(name, 0.0)
    return tuple(
        ClosedBlock(
            start=start,
            block_s=block["block_s"],
            predictions=block["predictions"],
            missing=block["missing"],
            kpi_n=block["kpi_n"],
            served=block["served"],
            baseline=block["baseline"],
            gain=sign * (block["served"] - block["baseline"]),
        )
        for start, block in sorted(blocks.items())
    )


def _interval(metric: str, n: int, sums: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Return a 95 % interval: normal for a mean, Wilson's (1927, JASA 22) for a share."""
    if n < 2:
        return None, None
    if metric == "mae":
        mean = sums["abs"] / n
        half = Z95 * math.sqrt(max(0.0, sums["sq"] / n - mean * mean) / (n - 1))
        return max(0.0, mean - half), mean + half
    if metric == "accuracy":
        p, z2 = sums["correct"] / n, Z95 * Z95
        middle, below = p + z2 / (2 * n), 1 + z2 / n
        half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        return (middle - half) / below, (middle + half) / below
    return None, None
