"""Predicts an event as a partition's task would if it came next, without changing the task.

For scoring in batches and for exported models: features, models, limits and intervals are the
stream's own code and state, so the floats are the stream's own. What a prediction teaches, counts
or sets off is left out.

Events are to come in the order of their times (a sliding window that was read at a time cannot be
read at an earlier one). A model that changes by being asked is asked in that order, too.
"""

from __future__ import annotations

from typing import Any

from models.inputs.decoder import EVENTS, DecodedRecord, Record
from models.serving.model_router import Answer, PredictionSet
from models.task.partition_task import PartitionTask
from schemas.errors import Malformed, Rejected
from schemas.events import Event

Said = dict[str, Any]
"""The fields of a prediction, as `schemas.records.Prediction` has them, without its reasons."""


class OfflinePredictor:
    """Asks one task. `model`: only this global model answers, whichever is champion."""

    def __init__(self, task: PartitionTask, model: str | None = None) -> None:
        self.task = task
        self.model = model

    def say(self, record: Record) -> Said:
        """Return what would be said of an event's record; raise `Rejected` where it would be
        refused.
        """
        taken = self.task.read(EVENTS, record)
        if taken.error is not None:
            raise taken.error
        if not isinstance(taken.body, Event):
            raise Malformed("the record is empty.")
        return self._say(taken, taken.body)

    def _say(self, taken: DecodedRecord, event: Event) -> Said:
        task = self.task
        reached = task.watermark.time
        now = taken.time if reached is None else max(taken.time, reached)
        task.windows.settle()
        x = task.featurizer.compute(event, now)
        segment = task.grouping.segment(event)
        asked = self._asked(event, segment, x)
        answer = asked.answer
        sure = self.model in (None, task.router.champion)
        region = task.intervals.region(answer.prediction, segment) if sure else None
        return task.publish.prediction_fields(event, asked, segment, region) | {
            "step": task.step,
            "partition": task.partition,
        }

    def _asked(self, event: Event, segment: str | None, x: dict[str, Any]) -> PredictionSet:
        router, threshold = self.task.router, self.task.threshold(event)
        base = self.task.baseline(event, x, threshold)
        x = self.task.featurizer.shown(x)
        if self.model is not None:
            return router.alone(self.model, x, base, threshold)
        assignment = self.task.assignment
        drawn = assignment.drawn(event, router.experiment, router.champion)
        paired = assignment.in_shadow(event.event_id)
        arm = None if drawn is None else drawn.arm
        return router.ask(segment, x, base, everybody=paired, arm=arm, threshold=threshold)


__all__ = ["Answer", "OfflinePredictor", "Rejected", "Said"]
