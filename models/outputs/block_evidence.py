"""The evidence of a closed block about every model, for the decider over all partitions.

A block is a window of event time (`UseCase.window`). It closes once the watermark is a horizon past
its end: each of its predictions then has its outcome or has expired, so nothing in it can change,
and the speed of labels cannot influence the comparison. Its evidence is published once, for the
whole partition and for each segment and slice; a block without predictions has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.metrics.windowed_metrics import Group, MetricCell, Row, WindowedMetrics
from models.serving.model_router import ModelRouter
from models.spec.problem_types import Kind
from models.spec.use_case import UseCase


class BlockEvidence:
    """Publishes the closed blocks of one partition. Call `due` at each step, `settle` where it is
    true.

    Memory: none of its own; what is open is in `WindowedMetrics.open`, at most horizon / window + 2
    blocks.
    """

    def __init__(
        self,
        use_case: UseCase,
        kind: Kind,
        metrics: WindowedMetrics,
        router: ModelRouter,
        identity: tuple[int, str],
    ) -> None:
        self._use_case = use_case
        self._kind = kind
        self._metrics = metrics
        self._router = router
        self._partition, self._definition = identity

    def due(self, now: float) -> bool:
        """Return whether a block may have closed by that watermark."""
        settled = self._metrics.settled
        return settled is None or now - self._use_case.horizon >= settled + self._metrics.window

    def settle(self, now: float, step: int) -> list[Row]:
        """Return the Evidence records of the blocks that closed, in the order of time."""
        metrics = self._metrics
        frontier = metrics.start_of(now - self._use_case.horizon)
        metrics.settled = frontier
        rows: list[Row] = []
        for start in sorted(start for start in metrics.open if start < frontier):
            for group in sorted(metrics.open.pop(start), key=_whole_first):
                cell = metrics.cells.get((start, group))
                if cell is not None and cell.predictions:
                    rows.append(self._row(start, group, cell) | {"step": step})
        return rows

    def _row(self, start: float, group: Group, cell: MetricCell) -> Row:
        scores, router = cell.scores, self._router
        sums = self._kind.sums
        settled = self._metrics.settled
        assert settled is not None
        paired = {"baseline": float(cell.paired[1])}
        paired |= {
            name: float(scores[name][1])
            for name in router.names
            if name in scores and name not in router.retired
        }
        return {
            "use_case": self._use_case.name,
            "partition": self._partition,
            "block_start": datetime.fromtimestamp(start, UTC),
            "block_s": self._metrics.window,
            "settled_before": datetime.fromtimestamp(settled, UTC),
            "segment": group[0],
            "slice": group[1],
            "predictions": cell.predictions,
            "missing": cell.predictions - cell.kpis,
            "kpi_n": cell.kpis,
            "kpi": {n: float(scores[n][1]) for n in ("served", "baseline") if n in scores},
            "paired_n": int(cell.paired[0]),
            "paired": paired if cell.paired[0] else {},
            "sums": {
                name: {"n": float(row[0]), **dict(zip(sums, map(float, row[2:]), strict=True))}
                for name, row in scores.items()
            },
            "arms": {name: self._arm(arm) for name, arm in cell.arms.items()},
            "withheld": dict(sorted(cell.guarded.items())),
            "diverged": dict(sorted(cell.diverged.items())),
            "champion": router.champion,
            "champion_since": _moment(router.since),
            "experiment_since": _moment(router.experiment_since),
            "began": {name: _moment(time) for name, time in router.began.items()},
            "definition": self._definition,
        }

    def _arm(self, arm: list[list[float]]) -> Mapping[str, Any]:
        """Return groups of [predictions, labelled, KPI, then the kind's sums]."""
        total = [float(sum(column)) for column in zip(*arm, strict=True)]
        return {
            "predictions": int(total[0]),
            "n": int(total[1]),
            "kpi": total[2],
            "sums": {"n": total[1], **dict(zip(self._kind.sums, total[3:], strict=True))},
            "groups": [(int(row[1]), float(row[2])) for row in arm],
        }


def _whole_first(group: Group) -> tuple[str, str]:
    return group[0] or "", group[1] or ""


def _moment(time: float | None) -> datetime | None:
    return None if time is None else datetime.fromtimestamp(time, UTC)
