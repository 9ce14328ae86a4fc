"""Quality and KPI as mergeable sums, per event-time window, segment, slice and model.

An answer is counted in the window of its event's time, so a window fills up as labels come: its
maturity is the share that has one. Memory: windows older than the ids' memory are closed, since no
outcome can reach them any more, and added to their group's total; at most `GROUPS_MAX` groups are
told apart, a further one is counted in the whole partition only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from models.assignment import GROUPS, Drawn
from models.kinds import Kind, metric_value
from models.usecase import UseCase

Group = tuple[str | None, str | None]
"""(segment, slice): both None is the whole partition."""
WHOLE: Group = (None, None)

GROUPS_MAX = 1_000
ALL = ("served", "baseline")
"""What is scored on every event; models are on those that all of them predicted."""
BINS = 10
"""Of the probability, in `Metric.reliability`."""
Row = dict[str, Any]


class Cell:
    """One window of one group: what was answered, and each model's sums over what has a label."""

    __slots__ = (
        "arms",
        "expired",
        "guarded",
        "kpis",
        "late",
        "outcomes",
        "paired",
        "predictions",
        "reliability",
        "scores",
        "wild",
        "within",
    )

    def __init__(self) -> None:
        self.predictions = 0
        self.outcomes = 0
        self.expired = 0
        self.late = 0
        self.kpis = 0
        # Of served predictions: with an interval or set, right within it, widths together.
        self.within = [0.0, 0.0, 0.0]
        # Of served classes: bin of probability → how many, their probabilities, how many came true.
        self.reliability: dict[int, list[float]] = {}
        self.guarded: dict[str, int] = {}
        # Of these, values that ran away.
        self.wild: dict[str, int] = {}
        # Of outcomes with a KPI that every model predicted: how many, the baseline's KPI.
        self.paired = [0.0, 0.0]
        # arm → its groups of units: [predictions, labelled, KPI, then the kind's sums]
        self.arms: dict[str, list[list[float]]] = {}
        # model → [examples, KPI sum, then the kind's sums]
        self.scores: dict[str, list[float]] = {}

    def add(self, other: Cell) -> None:
        """Add another window's counts and sums to these."""
        # Arms are of blocks only: their evidence is said when the block settles.
        self.predictions += other.predictions
        self.outcomes += other.outcomes
        self.expired += other.expired
        self.late += other.late
        self.kpis += other.kpis
        self.within = [a + b for a, b in zip(self.within, other.within, strict=True)]
        self.paired = [a + b for a, b in zip(self.paired, other.paired, strict=True)]
        for place, bin in other.reliability.items():
            ours = self.reliability.get(place, [0.0] * len(bin))
            self.reliability[place] = [a + b for a, b in zip(ours, bin, strict=True)]
        for name, count in other.guarded.items():
            self.guarded[name] = self.guarded.get(name, 0) + count
        for name, count in other.wild.items():
            self.wild[name] = self.wild.get(name, 0) + count
        for name, row in other.scores.items():
            mine = self.scores.get(name, [0.0] * len(row))
            self.scores[name] = [a + b for a, b in zip(mine, row, strict=True)]


class Tally:
    """All cells of one partition. Call order for each event: `asked`, then at most one other."""

    __slots__ = (
        "_changed",
        "_kind",
        "_use_case",
        "cells",
        "closed",
        "open",
        "settled",
        "window",
    )

    def __init__(self, use_case: UseCase, kind: Kind) -> None:
        self._use_case = use_case
        self._kind = kind
        self.window = use_case.window
        self.cells: dict[tuple[float, Group], Cell] = {}
        self.closed: dict[Group, Cell] = {(None, None): Cell()}
        self._changed: set[tuple[float, Group]] = set()
        # Blocks whose evidence is still to be said, and the time before which all are.
        self.open: dict[float, list[Group]] = {}
        self.settled: float | None = None

    def start_of(self, time: float) -> float:
        """Where that time's window starts."""
        return time - time % self.window

    def _cells(self, time: float, groups: list[Group]) -> list[Cell]:
        start = self.start_of(time)
        found = []
        for group in groups:
            if group not in self.closed:
                if len(self.closed) >= GROUPS_MAX:
                    continue
                self.closed[group] = Cell()
            place = (start, group)
            cell = self.cells.get(place)
            if cell is None:
                cell = self.cells[place] = Cell()
                if self.settled is None or start >= self.settled:
                    self.open.setdefault(start, []).append(group)
            self._changed.add(place)
            found.append(cell)
        return found

    def asked(
        self,
        time: float,
        groups: list[Group],
        withheld: list[str],
        drawn: Drawn | None = None,
        wild: Sequence[str] = (),
    ) -> None:
        """An event was answered; `withheld` names models whose value could not be used, `wild`
        those of them whose value ran away.
        """
        for cell in self._cells(time, groups):
            cell.predictions += 1
            for name in withheld:
                cell.guarded[name] = cell.guarded.get(name, 0) + 1
            for name in wild:
                cell.wild[name] = cell.wild.get(name, 0) + 1
        if drawn is not None:
            self._arm(time, drawn)[0] += 1.0

    def _arm(self, time: float, drawn: Drawn) -> list[float]:
        """What its group of the whole partition's arm adds up to."""
        arms = self.cells[self.start_of(time), WHOLE].arms
        groups = arms.get(drawn.arm)
        if groups is None:
            groups = arms[drawn.arm] = [[0.0] * (3 + len(self._kind.sums)) for _ in range(GROUPS)]
        return groups[drawn.group]

    def scored(
        self,
        time: float,
        groups: list[Group],
        scores: list[tuple[str, float | None, tuple[float, ...]]],
        within: tuple[float, float] | None = None,
        *,
        paired: bool = True,
        drawn: Drawn | None = None,
        sure: tuple[float, bool] | None = None,
    ) -> None:
        """Its outcome came: (model, KPI, losses) of every answer; (within its interval, width).

        `sure`: of a served class, its probability and whether it came true.

        What was served and the baseline come first, and are counted alone unless `paired`: every
        model had predicted it.
        """
        for cell in self._cells(time, groups):
            cell.outcomes += 1
            # A default label has no KPI.
            cell.kpis += scores[0][1] is not None
            if paired and scores[1][1] is not None:
                cell.paired[0] += 1.0
                cell.paired[1] += scores[1][1]
            if within is not None:
                cell.within[0] += 1.0
                cell.within[1] += within[0]
                cell.within[2] += within[1]
            if sure is not None:
                place = min(BINS - 1, int(sure[0] * BINS))
                bin = cell.reliability.setdefault(place, [0.0, 0.0, 0.0])
                bin[0] += 1.0
                bin[1] += sure[0]
                bin[2] += sure[1]
            for name, kpi, losses in scores if paired else scores[:2]:
                row = cell.scores.get(name)
                if row is None:
                    row = cell.scores[name] = [0.0] * (2 + len(losses))
                row[0] += 1.0
                row[1] += kpi or 0.0
                for place, loss in enumerate(losses, 2):
                    row[place] += loss
        if drawn is not None and scores[0][1] is not None:
            row = self._arm(time, drawn)
            row[1] += 1.0
            row[2] += scores[0][1]
            for place, loss in enumerate(scores[0][2], 3):
                row[place] += loss

    def expired(self, time: float, groups: list[Group]) -> None:
        """Its horizon passed without an outcome."""
        for cell in self._cells(time, groups):
            cell.expired += 1

    def late(self, time: float, groups: list[Group]) -> None:
        """Its outcome came after the horizon."""
        for cell in self._cells(time, groups):
            cell.late += 1

    def closes(self, before: float) -> bool:
        """True if `close` has anything to do; windows are made about in the order of time."""
        return bool(self.cells) and next(iter(self.cells))[0] + self.window < before

    def close(self, before: float, partition: int, definition: str, step: int) -> list[Row]:
        """Close windows that ended before that time; returns their last records."""
        rows: list[Row] = []
        while self.cells:
            place = next(iter(self.cells))
            if place[0] + self.window >= before:
                break
            rows += self._records(place, partition, definition, step)
            self.closed[place[1]].add(self.cells.pop(place))
            self._changed.discard(place)
        return rows

    def total(self, group: Group = (None, None)) -> Cell:
        """All windows of a group together, closed and open."""
        total = Cell()
        if group in self.closed:
            total.add(self.closed[group])
        for (_, of), cell in self.cells.items():
            if of == group:
                total.add(cell)
        return total

    def touch(self) -> None:
        """Count every open window as changed: nobody knows what was reported before a restart."""
        self._changed = set(self.cells)

    def report(self, partition: int, definition: str, step: int) -> list[Row]:
        """One metric record for each model of each cell that changed since the last report."""
        changed = sorted(self._changed, key=str)
        self._changed.clear()
        return [
            record
            for place in changed
            if place in self.cells
            for record in self._records(place, partition, definition, step)
        ]

    def _records(
        self, place: tuple[float, Group], partition: int, definition: str, step: int
    ) -> list[Row]:
        start, (segment, group) = place
        cell, use_case = self.cells[place], self._use_case
        shared = {
            "use_case": use_case.name,
            "partition": partition,
            "window_start": datetime.fromtimestamp(start, UTC),
            "window_s": self.window,
            "segment": segment,
            "slice": group,
            "predictions": cell.predictions,
            "outcomes": cell.outcomes,
            "maturity": cell.outcomes / cell.predictions if cell.predictions else 0.0,
            "metric": use_case.metric,
            "kpi_unit": use_case.kpi.unit,
            "expired": cell.expired,
            "late": cell.late,
            "definition": definition,
            "step": step,
        }
        records = []
        for name in dict.fromkeys(("served", *cell.scores, *cell.guarded)):
            row = cell.scores.get(name) or [0.0] * (2 + len(self._kind.sums))
            sums = {"n": row[0], **dict(zip(self._kind.sums, row[2:], strict=True))}
            if name == "served":
                sums |= dict(zip(("intervals", "covered", "width"), cell.within, strict=True))
            records.append(
                shared
                | {
                    "model": name,
                    "sums": sums,
                    "value": metric_value(use_case.metric, row[0], sums),
                    "kpi_sum": row[1],
                    "kpi_n": cell.kpis if name in ALL else int(cell.paired[0]),
                    "guarded": cell.guarded.get(name, 0),
                    "reliability": _bins(cell) if name == "served" else None,
                }
            )
        return records


def _bins(cell: Cell) -> list[list[float]] | None:
    if not cell.reliability:
        return None
    return [cell.reliability.get(place, [0.0, 0.0, 0.0]) for place in range(BINS)]
