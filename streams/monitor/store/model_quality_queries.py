"""What answers lean on, and whether probabilities mean what they say: importance, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from streams.monitor.figures import Bin, Importance
from streams.monitor.rows import group_name, metrics_shelf
from streams.monitor.views import Board


async def calibration(
    board: Board, *, segment: str | None = None, slice: str | None = None
) -> tuple[Bin, ...]:
    """Served probabilities against how often they came true, over all kept windows.

    Empty for numbers. Bins are of equal width, and those that nothing fell into are left out.
    """
    found: list[list[float]] = []
    for _, row in await _rows(board, group_name(segment, slice)):
        for place, (n, said, true) in enumerate(row.get("reliability", ())):
            while len(found) <= place:
                found.append([0.0, 0.0, 0.0])
            found[place] = [a + b for a, b in zip(found[place], (n, said, true), strict=True)]
    return tuple(Bin(int(n), said / n, true / n) for n, said, true in found if n)


async def importance(board: Board) -> tuple[Importance, ...]:
    """What permuting each feature would add to the champion's loss, window by window.

    Partitions estimate it apart, each for its own champion: they are weighed by their labels.
    """
    windows: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for start, row in await _rows(board, group_name(None, None)):
        if "importance" in row:
            windows.setdefault(start, []).append((row["sums"]["n"], row["importance"]))
    return tuple(Importance(start, _weighed(windows[start])) for start in sorted(windows))


def _weighed(told: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for labels, features in told:
        for name, loss in features.items():
            sums[name] = sums.get(name, 0.0) + loss * max(labels, 1.0)
            weights[name] = weights.get(name, 0.0) + max(labels, 1.0)
    found = {name: sums[name] / weights[name] for name in sums}
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


async def _rows(board: Board, group: str) -> list[tuple[str, dict[str, Any]]]:
    names = [metrics_shelf(number, group) for number in range(board.count)]
    return [
        (field.partition("|")[0], orjson.loads(value))
        for shelf in await board.source.shelves(names)
        for field, value in shelf.items()
    ]
