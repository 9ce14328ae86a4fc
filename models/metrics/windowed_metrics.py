"""Quality and KPI as mergeable sums, per event-time window, segment, slice and model.

A prediction is counted in the window of its event's time, so a window fills up as labels arrive:
its maturity is the share of predictions with a label. Memory: windows older than `id_retention` are
closed, since no outcome can reach them any more, and added to their group's total; at most
`GROUPS_MAX` groups are distinguished, further ones are counted in the whole partition only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from models.metrics.exact_amount import ExactAmount
from models.metrics.scoring import StoodIn
from models.spec.experiment_arms import GROUPS, Drawn
from models.spec.problem_types import Kind, metric_value
from models.spec.use_case import UseCase, is_correctable

Group = tuple[str | None, str | None]
"""(segment, slice): both None is the whole partition."""
WHOLE: Group = (None, None)

GROUPS_MAX = 1_000
ALL = ("served", "baseline")
"""Scored on every event; models are scored on the events that all of them predicted."""
BINS = 10
"""Of the probability, in `Metric.reliability`."""
Row = dict[str, Any]


class MetricCell:
    """One window of one group: counts of predictions, and each model's sums over labelled ones."""

    __slots__ = (
        "arms",
        "diverged",
        "expired",
        "guarded",
        "kpis",
        "late",
        "outcomes",
        "paired",
        "predictions",
        "reliability",
        "scores",
        "stood_in",
        "unpaired",
        "within",
    )

    def __init__(self, zero: float = 0.0) -> None:
        self.predictions = 0
        self.outcomes = 0
        self.expired = 0
        self.late = 0
        self.kpis = 0
        # Of served predictions: with an interval or set, right within it, widths together.
        self.within = [zero, zero, zero]
        # Of served classes: bin of probability → how many, their probabilities, how many came true.
        self.reliability: dict[int, list[float]] = {}
        self.guarded: dict[str, int] = {}
        # Of these, values that ran away.
        self.diverged: dict[str, int] = {}
        # Of outcomes with a KPI that every model predicted: how many, the baseline's KPI.
        self.paired = [zero, zero]
        # arm → its groups of units: [predictions, labelled, KPI, then the kind's sums]
        self.arms: dict[str, list[list[float]]] = {}
        # model → [examples, KPI sum, then the kind's sums]
        self.scores: dict[str, list[float]] = {}
        # Of these, model → where the baseline was scored in its place: [how many, the baseline's
        # sums, values that the model had, the sums of these].
        self.stood_in: dict[str, list[float]] = {}
        # Of what was served and of the baseline: rows like `scores` of what not every model
        # predicted.
        self.unpaired: dict[str, list[float]] = {}

    def add(self, other: MetricCell) -> None:
        """Add another window's counts and sums to these."""
        # Arms are counted in blocks only: their evidence is published when the block closes.
        self.predictions += other.predictions
        self.outcomes += other.outcomes
        self.expired += other.expired
        self.late += other.late
        self.kpis += other.kpis
        self.within = [a + b for a, b in zip(self.within, other.within, strict=True)]
        self.paired = [a + b for a, b in zip(self.paired, other.paired, strict=True)]
        for index, bin in other.reliability.items():
            ours = self.reliability.get(index, [0.0] * len(bin))
            self.reliability[index] = [a + b for a, b in zip(ours, bin, strict=True)]
        for name, count in other.guarded.items():
            self.guarded[name] = self.guarded.get(name, 0) + count
        for name, count in other.diverged.items():
            self.diverged[name] = self.diverged.get(name, 0) + count
        for rows, more in (
            (self.scores, other.scores),
            (self.stood_in, other.stood_in),
            (self.unpaired, other.unpaired),
        ):
            for name, row in more.items():
                _add(rows, name, row)


class WindowedMetrics:
    """All cells of one partition. Call order for each event: `asked`, then at most one other."""

    __slots__ = (
        "_changed",
        "_first",
        "_kind",
        "_use_case",
        "_zero",
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
        # Sums are exact where what was counted may be taken back.
        self._zero = ExactAmount(0) if is_correctable(use_case) else 0.0
        self.cells: dict[tuple[float, Group], MetricCell] = {}
        self.closed: dict[Group, MetricCell] = {(None, None): MetricCell(self._zero)}
        self._changed: set[tuple[float, Group]] = set()
        # Where the earliest of the cells starts.
        self._first = math.inf
        # Blocks whose evidence is still to be published, and the time before which all of it is.
        self.open: dict[float, list[Group]] = {}
        self.settled: float | None = None

    def start_of(self, time: float) -> float:
        """Return the start of the window that contains a time."""
        return time - time % self.window

    def _cells(self, time: float, groups: list[Group]) -> list[MetricCell]:
        start = self.start_of(time)
        cells = []
        for group in groups:
            key = (start, group)
            cell = self.cells.get(key) or self._opened(start, group)
            if cell is not None:
                self._changed.add(key)
                cells.append(cell)
        return cells

    def _opened(self, start: float, group: Group) -> MetricCell | None:
        """Return a new cell; None where there are too many groups to count one more."""
        if group not in self.closed:
            if len(self.closed) >= GROUPS_MAX:
                return None
            self.closed[group] = MetricCell(self._zero)
        cell = self.cells[start, group] = MetricCell(self._zero)
        self._first = min(self._first, start)
        if self.settled is None or start >= self.settled:
            self.open.setdefault(start, []).append(group)
        return cell

    def asked(
        self,
        time: float,
        groups: list[Group],
        withheld: list[str],
        drawn: Drawn | None = None,
        diverged: Sequence[str] = (),
    ) -> None:
        """Count a prediction; `withheld` names models whose value was unusable, `diverged` those of
        them whose value diverged.
        """
        for cell in self._cells(time, groups):
            cell.predictions += 1
            for name in withheld:
                cell.guarded[name] = cell.guarded.get(name, 0) + 1
            for name in diverged:
                cell.diverged[name] = cell.diverged.get(name, 0) + 1
        if drawn is not None:
            self._arm(time, drawn)[0] += 1.0

    def _arm(self, time: float, drawn: Drawn) -> list[float]:
        """Return the sums of a unit's group in its arm, of the whole partition."""
        arms = self.cells[self.start_of(time), WHOLE].arms
        groups = arms.get(drawn.arm)
        if groups is None:
            row = [self._zero] * (3 + len(self._kind.sums))
            groups = arms[drawn.arm] = [list(row) for _ in range(GROUPS)]
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
        stood_in: Sequence[StoodIn] = (),
        sign: int = 1,
    ) -> None:
        """Count an outcome: (model, KPI, losses) of each prediction; (covered, interval's width).

        `sure`: a served class's probability and whether it was right. `stood_in`: models that the
        baseline is scored for. What was served and the baseline come first, and only they are
        counted unless `paired`, that is, unless every model had predicted the event. `sign` -1
        takes back what was counted with the same arguments.
        """
        one = float(sign)
        for cell in self._cells(time, groups):
            cell.outcomes += sign
            # A default label that no outcome can be made of has no KPI.
            cell.kpis += sign * (scores[0][1] is not None)
            if paired and scores[1][1] is not None:
                cell.paired[0] += one
                cell.paired[1] += one * scores[1][1]
            if within is not None:
                cell.within[0] += one
                cell.within[1] += one * within[0]
                cell.within[2] += one * within[1]
            if sure is not None:
                index = min(BINS - 1, int(sure[0] * BINS))
                bin = cell.reliability.setdefault(index, [self._zero] * 3)
                bin[0] += one
                bin[1] += one * sure[0]
                bin[2] += one * sure[1]
            for name, kpi, losses in scores if paired else scores[:2]:
                row = cell.scores.get(name)
                if row is None:
                    row = cell.scores[name] = [self._zero] * (2 + len(losses))
                row[0] += one
                row[1] += one * (kpi or 0.0)
                for column, loss in enumerate(losses, 2):
                    row[column] += one * loss
            if not paired:
                for name, kpi, losses in scores[:2]:
                    self._count(cell.unpaired, name, one, (1.0, kpi or 0.0, *losses))
            elif stood_in:
                baseline_losses = scores[1][2]
                for name, own in stood_in:
                    had = (0.0, *[0.0] * len(baseline_losses)) if own is None else (1.0, *own)
                    self._count(cell.stood_in, name, one, (1.0, *baseline_losses, *had))
        if drawn is not None and scores[0][1] is not None:
            row = self._arm(time, drawn)
            row[1] += one
            row[2] += one * scores[0][1]
            for column, loss in enumerate(scores[0][2], 3):
                row[column] += one * loss

    def _count(
        self, rows: dict[str, list[float]], name: str, one: float, amounts: Sequence[float]
    ) -> None:
        if name not in rows:
            rows[name] = [self._zero] * len(amounts)
        _add(rows, name, [one * amount for amount in amounts])

    def expired(self, time: float, groups: list[Group]) -> None:
        """Count a prediction whose horizon passed without an outcome."""
        for cell in self._cells(time, groups):
            cell.expired += 1

    def late(self, time: float, groups: list[Group]) -> None:
        """Count an outcome that arrived after the horizon."""
        for cell in self._cells(time, groups):
            cell.late += 1

    def closes(self, before: float) -> bool:
        """Return whether any window ended before that time."""
        return self._first + self.window < before

    def close(self, before: float, partition: int, definition: str, step: int) -> list[Row]:
        """Close windows that ended before that time and return their last records."""
        rows: list[Row] = []
        # Not only the first ones: one that was opened by a time far ahead holds up none behind it.
        for key in [key for key in self.cells if key[0] + self.window < before]:
            rows += self._records(key, partition, definition, step)
            self.closed[key[1]].add(self.cells.pop(key))
            self._changed.discard(key)
        self._first = min((start for start, _ in self.cells), default=math.inf)
        return rows

    def total(self, group: Group = (None, None)) -> MetricCell:
        """Return the sums of all windows of a group, closed and open."""
        total = MetricCell(self._zero)
        if group in self.closed:
            total.add(self.closed[group])
        for (_, of), cell in self.cells.items():
            if of == group:
                total.add(cell)
        return total

    def set_back(self, time: float) -> None:
        """Reopen the blocks after that of `time`, to which the watermark was set back."""
        if self.settled is not None:
            self.settled = min(self.settled, self.start_of(time) + self.window)

    def touch(self) -> None:
        """Mark every open window as changed, after cells were restored: what was reported before
        is not part of the state.
        """
        self._changed = set(self.cells)
        self._first = min((start for start, _ in self.cells), default=math.inf)

    def report(self, partition: int, definition: str, step: int) -> list[Row]:
        """Return a metric record for each model of each cell that changed since the last report."""
        changed = sorted(self._changed, key=str)
        self._changed.clear()
        return [
            record
            for key in changed
            if key in self.cells
            for record in self._records(key, partition, definition, step)
        ]

    def _records(
        self, key: tuple[float, Group], partition: int, definition: str, step: int
    ) -> list[Row]:
        start, (segment, group) = key
        cell, use_case = self.cells[key], self._use_case
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
            row = [*map(float, row)]
            sums = {"n": row[0], **dict(zip(self._kind.sums, row[2:], strict=True))}
            if name == "served":
                within = map(float, cell.within)
                sums |= dict(zip(("intervals", "covered", "width"), within, strict=True))
            records.append(
                shared
                | {
                    "model": name,
                    "sums": sums,
                    "value": metric_value(use_case.metric, row[0], sums),
                    "kpi_sum": row[1],
                    "kpi_n": cell.kpis if name in ALL else int(cell.paired[0]),
                    "guarded": cell.guarded.get(name, 0),
                    "stood_in": int(cell.stood_in[name][0]) if name in cell.stood_in else 0,
                    "reliability": _bins(cell) if name == "served" else None,
                }
            )
        return records


def _add(rows: dict[str, list[float]], name: str, amounts: Sequence[float]) -> None:
    row = rows.get(name)
    if row is None:
        row = rows[name] = [0.0] * len(amounts)
    for column, amount in enumerate(amounts):
        row[column] += amount


def _bins(cell: MetricCell) -> list[list[float]] | None:
    if not cell.reliability:
        return None
    bins = [cell.reliability.get(index, [0.0, 0.0, 0.0]) for index in range(BINS)]
    return [[*map(float, bin)] for bin in bins]
