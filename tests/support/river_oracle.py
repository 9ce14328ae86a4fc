"""River's own progressive validation beside the partition task's, on the same rows and delays.

River is asked twice: `stream.simulate_qa` for every single answer, `evaluate.progressive_val_score`
for the number that it publishes. The task is given the same rows as two inputs, events and
outcomes, and takes from them as `models.inputs.merge_order` says.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
from pydantic import create_model
from river import datasets, evaluate, metrics, stream

from models.inputs.decoder import EVENTS, OUTCOMES, DecodedRecord, PlainRecord
from models.replay.backtest import aligned
from models.spec.use_case import Kpi, UseCase
from models.task.partition_task import PartitionTask
from models.values.durations import days
from schemas.events import Event, Outcome

START = datetime(2020, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=1)
"""Rows are this far apart, so that delays of whole seconds make equal times, too."""

Row = tuple[dict[str, Any], Any]
Delay = Callable[[int], int]
"""Row number to the delay of its outcome in seconds."""
Make = Callable[[], Any]


@cache
def rows(name: str, limit: int | None = None) -> list[Row]:
    """The rows of one of River's datasets, read to the end, since that alone closes its file."""
    return list(getattr(datasets, name)())[:limit]


def moment(i: int) -> datetime:
    """When row `i` happens."""
    return START + i * STEP


@dataclass(frozen=True)
class River:
    """What River says: every answer by its row, the order of its answers, the metric's value."""

    answers: dict[int, Any]
    order: list[int]
    value: Any


def river_says(data: Sequence[Row], make: Make, metric: Any, delay: Delay | None) -> River:
    """River's numbers; a delay of None is its plain progressive validation."""
    when: dict[str, Any] = {}
    if delay is not None:
        # River asks for each row's moment and delay once, in the order of the rows.
        moments, delays = itertools.count(), itertools.count()
        when = {
            "moment": lambda _x: moment(next(moments)),
            "delay": lambda _x, _y: timedelta(seconds=delay(next(delays))),
        }
    evaluate.progressive_val_score(data, make(), metric, **when)
    if delay is not None:
        moments, delays = itertools.count(), itertools.count()
    else:
        when = {"moment": None, "delay": None}
    model, answers, order = make(), {}, []
    classifier = hasattr(metric, "requires_labels")
    ask = model.predict_proba_one if classifier else model.predict_one
    for i, x, y in stream.simulate_qa(data, **when):
        if y is None:
            answers[i] = ask(x)
        else:
            order.append(i)
            model.learn_one(x, y)
    return River(answers, order, values_of(metric))


def values_of(metric: Any) -> list[float]:
    """A metric's value, or those of several added with `+`, in full precision."""
    several = isinstance(metric, metrics.base.Metrics)
    return [each.get() for each in (metric if several else [metric])]


@dataclass(frozen=True)
class Said:
    """What the task published: the model's answer by row, and the examples in their order."""

    answers: dict[int, Any]
    examples: list[dict[str, Any]]
    task: PartitionTask

    def metric(self, metric: Any, name: str) -> list[float]:
        """River's metric over the recorded answers, in the order in which they were scored."""
        for row in self.examples:
            prediction = row["shadows"][name]
            # River skips a row of which the model had nothing to say; so does this.
            if prediction is not None and prediction != {}:
                if hasattr(metric, "requires_labels") and metric.requires_labels:
                    prediction = row["prediction"]
                metric.update(y_true=row["label"], y_pred=prediction)
        return values_of(metric)


def use_case_for(data: Sequence[Row], models: dict[str, Make]) -> UseCase:
    """Columns as features, the label as it is, nothing that River's own validation lacks."""
    label = type(data[0][1])
    kind = {bool: "binary", str: "multiclass"}.get(label, "regression")
    plain: dict[str, Any] = {
        column: (type(value) if isinstance(value, str) else float, ...)
        for column, value in data[0][0].items()
    }
    # A whole number must stay one: a tree splits on it as on a category of its own type.
    for column in plain:
        if all(type(x[column]) is int for x, _ in data):
            plain[column] = (int, ...)
        elif any(type(x[column]) is int for x, _ in data):
            plain[column] = (int | float, ...)
    event = create_model("Row", __base__=Event, site=(str, ...), **plain)
    outcome = create_model("Answer", __base__=Outcome, y=(label, ...))
    baselines = {"regression": 0.0, "binary": False, "multiclass": "none of them"}
    return UseCase(
        name="oracle",
        owner="tests",
        event=event,
        outcome=outcome,
        key="site",
        label=lambda _e, o: o.y,
        features=event.fields(*plain),
        models=models,
        champion=next(iter(models)),
        baseline=lambda _e: baselines[kind],
        kind=kind,
        metric="mae" if kind == "regression" else "accuracy",
        kpi=Kpi(lambda _e, _o, _s: 0.0, unit="EUR", better="lower", range=(0, 1)),
        horizon=days(30),
        warmup=0,
    )


def task_says(data: Sequence[Row], models: dict[str, Make], delay: Delay) -> Said:
    """The task's numbers on the same rows, through its two inputs and its alignment."""
    use_case = use_case_for(data, models)
    task = PartitionTask(use_case, partition=0, partitions=1, definition="oracle")
    answers: dict[int, Any] = {}
    examples = []
    for taken in aligned([_events(task, data), _outcomes(task, data, delay)]):
        for output in task.apply(taken):
            if output.kind == "predictions":
                record = orjson.loads(output.value)
                answers[int(record["event_id"])] = record
            elif output.kind == "examples":
                examples.append(orjson.loads(output.value))
            elif output.kind == "dead-letter":
                raise AssertionError(orjson.loads(output.value)["error"])
    return Said(answers, examples, task)


def _events(task: PartitionTask, data: Sequence[Row]) -> Iterator[DecodedRecord]:
    for i, (x, _) in enumerate(data):
        fields = {"event_id": str(i), "event_time": moment(i), "site": "a", **x}
        yield _taken(task, EVENTS, i, fields)


def _outcomes(task: PartitionTask, data: Sequence[Row], delay: Delay) -> Iterator[DecodedRecord]:
    due = sorted((moment(i) + timedelta(seconds=delay(i)), i) for i in range(len(data)))
    for offset, (time, i) in enumerate(due):
        fields = {"event_id": str(i), "outcome_time": time, "y": data[i][1]}
        yield _taken(task, OUTCOMES, offset, fields)


def _taken(task: PartitionTask, index: int, offset: int, fields: dict[str, Any]) -> DecodedRecord:
    timestamp = 10**13  # replayed long after
    record = PlainRecord("rows", 0, offset, timestamp, b"a", orjson.dumps(fields))
    return task.read(index, record)
