"""Drift of one partition: features, predictions and errors, told on `drift` when they changed.

Blocks are windows of event time (`UseCase.window`), so that whole days are compared with whole
days. What an alarm may cost in false ones, and what it rests on, is in `models.evidence.drift`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from models.evidence.drift import Drift, DriftMonitor
from models.features import Vector
from models.kinds import KINDS
from models.scoring import Score
from models.usecase import UseCase
from models.windows import Window
from schemas.inputs import Column


class Watcher:
    """The drift monitor of a use case's features and models; made with the first event.

    Call order for each event: `event`; for each labelled prediction: `errors`. Memory: see
    `DriftMonitor`, about 20 kB a feature.
    """

    def __init__(self, use_case: UseCase, names: tuple[str, ...]) -> None:
        self._use_case = use_case
        self._kind = KINDS[use_case.kind]
        self._names = names
        watched = use_case.features if use_case.watch is None else use_case.watch
        self._watched = tuple(name for name in use_case.features if name in set(watched))
        self.monitor: DriftMonitor | None = None

    def event(self, time: float, x: Vector, served: Any) -> list[Drift]:
        """Take one event's features and the served value; the changes of a block that ended."""
        if not self._watched and self._use_case.on_drift == "alert":
            return []
        if self.monitor is None:
            self.monitor = self._begin(x)
        block = int(time // self._use_case.window)
        number = float(served) if isinstance(served, int | float) else None
        return self.monitor.update(block, x, number)

    def errors(self, scores: Iterable[Score]) -> None:
        """Take the error of each model on one labelled example."""
        if self.monitor is not None:
            watched, error = self.monitor.errors, self._kind.error
            for name, _, losses in scores:
                if name in watched:
                    self.monitor.update_error(name, error(losses))

    def _begin(self, x: Vector) -> DriftMonitor:
        kinds = {name: self._is_category(name, x.get(name)) for name in self._watched}
        return DriftMonitor(
            numeric=[name for name, category in kinds.items() if not category],
            categories=[name for name, category in kinds.items() if category],
            models=("served", *self._names),
        )

    def _is_category(self, name: str, value: Any) -> bool:
        feature = self._use_case.features[name]
        if isinstance(feature, Window):
            return False
        if isinstance(feature, Column):
            field = self._use_case.event.model_fields.get(feature.name)
            return field is not None and not _is_number(field.annotation)
        return isinstance(value, str | bool)

    def told(self, alarm: Drift, done: str) -> dict[str, Any]:
        """The drift record of an alarm, and of what was done about it."""
        of = "" if alarm.kind in ("numeric", "category", "prediction") else f"{alarm.kind}:"
        shares = alarm.histograms
        since = datetime.fromtimestamp(alarm.since * self._use_case.window, UTC)
        return {
            "use_case": self._use_case.name,
            "detector": f"{alarm.kind}: ranks of blocks",
            "subject": f"{of}{alarm.name}",
            "was": f"{alarm.what}: {alarm.was:.6g}",
            "now": f"{alarm.what}: {alarm.now:.6g}",
            "since": since,
            "severity": "alarm" if alarm.kind == "error" else "warning",
            "done": done,
            "edges": None if shares is None else shares.edges,
            "names": None if shares is None else shares.names,
            "then": None if shares is None else shares.then,
            "now_shares": None if shares is None else shares.now,
        }


def _is_number(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_is_number(part) for part in typing.get_args(annotation))
    return annotation in (int, float)
