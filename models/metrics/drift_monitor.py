"""Drift of one partition: features, predictions and errors, published on `drift`.

Blocks are windows of event time (`UseCase.window`), so that whole days are compared with whole
days. How alarms come about and how often they are false is in `models.stats.drift_detection`.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models.features.featurizer import Vector
from models.features.window_declarations import Window
from models.spec.personal_data import masking_of
from models.spec.use_case import UseCase
from models.stats.drift_detection import DriftAlarm, DriftMonitor
from models.values.durations import days, spoken
from schemas.events import Column


class Watcher:
    """The drift monitor of a use case's features and models, created with the first event.

    Call order for each event: `event`; for each labelled prediction: `errors`. Memory: see
    `DriftMonitor`, about 20 kB a feature.
    """

    def __init__(self, use_case: UseCase, errors: tuple[str, ...]) -> None:
        self._use_case = use_case
        self._errors = errors
        self._masking = masking_of(use_case)
        watched = use_case.features if use_case.drift_features is None else use_case.drift_features
        self._watched = tuple(name for name in use_case.features if name in set(watched))
        self.monitor: DriftMonitor | None = None

    def event(self, time: float, x: Vector, served: Any) -> list[DriftAlarm]:
        """Count one event's features and served value; return the alarms of a block that ended."""
        if not self._watched and self._use_case.on_drift == "alert":
            return []
        if self.monitor is None:
            self.monitor = self._begin(x)
        block = self.block_of(time)
        number = float(served) if isinstance(served, int | float) else None
        return self.monitor.update(block, x, number)

    def pass_to(self, time: float) -> list[DriftAlarm]:
        """Advance to an example's time where only errors are watched; return what changed."""
        if not self._watched and self._use_case.on_drift == "alert":
            return []
        if self.monitor is None:
            self.monitor = DriftMonitor(models=self._errors, a_day=self._blocks_a_day)
        self.monitor.records += 1
        alarms = self.monitor.advance(self.block_of(time))
        return [alarm for alarm in alarms if alarm.kind == "error"]

    def block_of(self, time: float) -> int:
        """Return the number of the block that contains a time."""
        return int(time // self._use_case.window)

    def errors(self, errors: Mapping[str, float]) -> None:
        """Count the error of each model on one labelled example."""
        if self.monitor is not None:
            for name, error in errors.items():
                if name in self.monitor.errors:
                    self.monitor.update_error(name, error)

    def _begin(self, x: Vector) -> DriftMonitor:
        kinds = {name: self._is_category(name, x.get(name)) for name in self._watched}
        return DriftMonitor(
            numeric=[name for name, category in kinds.items() if not category],
            categories=[name for name, category in kinds.items() if category],
            models=self._errors,
            a_day=self._blocks_a_day,
        )

    @property
    def _blocks_a_day(self) -> int:
        return max(1, math.ceil(days(1) / self._use_case.window))

    def _is_category(self, name: str, value: Any) -> bool:
        feature = self._use_case.features[name]
        if isinstance(feature, Window):
            return feature.may_be_text and isinstance(value, str)
        if isinstance(feature, Column):
            field = self._use_case.event.model_fields.get(feature.name)
            return field is not None and not _is_number(field.annotation)
        return isinstance(value, str | bool)

    def lifecycle_change(self, alarm: DriftAlarm, done: str) -> dict[str, Any]:
        """Return the drift record of an alarm and of the action taken, without personal values.

        Personal values are masked here, since alerts, webhooks and logs pass on the record's
        fields.
        """
        of = "" if alarm.kind in ("numeric", "category", "prediction") else f"{alarm.kind}:"
        shares = alarm.histograms
        since = datetime.fromtimestamp(alarm.since * self._use_case.window, UTC)
        record = {
            "use_case": self._use_case.name,
            "detector": f"{alarm.kind}: {'plain rule' if alarm.plainly else 'ranks of blocks'}",
            "subject": f"{of}{alarm.name}",
            "was": self._in_words(alarm, alarm.before),
            "now": self._in_words(alarm, alarm.after),
            "since": since,
            "severity": "alarm" if alarm.kind == "error" else "warning",
            "done": done,
            "edges": None if shares is None else shares.edges,
            "names": None if shares is None else shares.names,
            "then": None if shares is None else shares.then,
            "now_shares": None if shares is None else shares.now,
        }
        masked: dict[str, Any] = self._masking.value("drift", record)
        return masked

    def _in_words(self, alarm: DriftAlarm, words: str) -> str:
        """Return the words with the length of a block inserted."""
        if alarm.kind != "volume":
            return words
        return words.replace("a block", f"in {spoken(self._blocks_a_day * self._use_case.window)}")


def _is_number(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_is_number(part) for part in typing.get_args(annotation))
    return annotation in (int, float)
