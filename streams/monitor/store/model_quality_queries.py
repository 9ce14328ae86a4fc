"""Feature importance and calibration of probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import group_name, metrics_table
from streams.monitor.store.view_models import CalibrationBin, Importance


async def calibration(
    board: Board, *, segment: str | None = None, slice: str | None = None
) -> tuple[CalibrationBin, ...]:
    """Return served probabilities against observed frequencies, over all stored windows.

    Empty for regression. Bins are of equal width, and empty ones are left out.
    """
    sums: list[list[float]] = []
    for _, row in await _rows(board, group_name(segment, slice)):
        for index, (n, predicted, observed) in enumerate(row.get("reliability", ())):
            while len(sums) <= index:
                sums.append([0.0, 0.0, 0.0])
            sums[index] = [
                a + b for a, b in zip(sums[index], (n, predicted, observed), strict=True)
            ]
    return tuple(
        CalibrationBin(int(n), predicted / n, observed / n) for n, predicted, observed in sums if n
    )


async def importance(board: Board) -> tuple[Importance, ...]:
    """Return the loss that permuting each feature adds to the champion, window by window.

    Each partition estimates it for its own champion: the estimates are weighted by their labels.
    """
    windows: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for start, row in await _rows(board, group_name(None, None)):
        if "importance" in row:
            windows.setdefault(start, []).append((row["sums"]["n"], row["importance"]))
    return tuple(Importance(start, _weighted_mean(windows[start])) for start in sorted(windows))


def _weighted_mean(weighted: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for labels, features in weighted:
        for name, loss in features.items():
            sums[name] = sums.get(name, 0.0) + loss * max(labels, 1.0)
            weights[name] = weights.get(name, 0.0) + max(labels, 1.0)
    means = {name: sums[name] / weights[name] for name in sums}
    return dict(sorted(means.items(), key=lambda each: (-each[1], each[0])))


async def _rows(board: Board, group: str) -> list[tuple[str, dict[str, Any]]]:
    names = [metrics_table(number, group) for number in range(board.count)]
    return [
        (field.partition("|")[0], orjson.loads(value))
        for table in await board.source.tables(names)
        for field, value in table.items()
    ]
