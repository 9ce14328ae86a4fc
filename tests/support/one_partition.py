"""A small use case and a partition to drive by hand: records in, decoded outputs out."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import orjson
from river import linear_model, preprocessing, tree

from models.features.window_declarations import over_events, over_outcomes
from models.inputs.decoder import (
    COMMANDS,
    EVENTS,
    HISTORY,
    KIND_HEADER,
    OUTCOMES,
    DecodedRecord,
    PlainRecord,
)
from models.outputs.output_records import Output
from models.pending.codec import PendingPrediction
from models.spec.use_case import Kpi, Segments, UseCase
from models.task.checkpoint import parts_of
from models.task.model_restore import Unseal
from models.task.partition_task import PartitionTask
from models.values.durations import hours, minutes
from schemas import records
from schemas.events import Event, Outcome
from schemas.topics import INPUTS

START = datetime(2020, 1, 1, tzinfo=UTC)
REPLAYED = START + timedelta(days=3_650)
"""The Kafka timestamp of records unless a test says otherwise: long after all that they tell of."""

RECORDS: dict[str, type[records.OutputRecord]] = {
    "features": records.Features,
    "predictions": records.Prediction,
    "examples": records.Example,
    "metrics": records.Metric,
    "evidence": records.Evidence,
    "delays": records.Delays,
    "lifecycle": records.Lifecycle,
    "dead-letter": records.DeadLetter,
}


class Order(Event):
    """A parcel is sent."""

    shop: str
    weight: float
    items: int = 1
    colour: str | None = None


class Delivery(Outcome):
    """It arrived."""

    took: float


FEATURES: dict[str, Any] = {
    **Order.fields("weight", "items", "colour"),
    "recent": over_events(by="shop", last=minutes(10)).count(),
    "usual": over_outcomes(by="shop", half_life=hours(1)).mean(lambda _e, o, _x: o.took, empty=5.0),
    "worst": over_outcomes(by=("shop", "items"), last=minutes(30)).max(
        lambda _e, o, _x: o.took, empty=0.0
    ),
    "odd": over_outcomes(by="shop", last=minutes(20)).mean(
        lambda _e, o, x: o.took - x["usual"], prior="usual", weight=2
    ),
    "per item": lambda e: e.weight / e.items,
}


def linear() -> Any:
    """A scaled linear model."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def use_case(**changes: Any) -> UseCase:
    """One with windows, segments, slices and two models; `changes` replace its fields."""
    plain: dict[str, Any] = {
        "name": "parcels",
        "owner": "tests",
        "event": Order,
        "outcome": Delivery,
        "key": "shop",
        "label": lambda _e, o: o.took,
        "features": FEATURES,
        "models": {"linear": linear, "tree": tree.HoeffdingTreeRegressor},
        "champion": "linear",
        "baseline": lambda _e: 5.0,
        "metric": "mae",
        "kpi": Kpi(lambda _e, o, s: abs(s - o.took), unit="EUR", better="lower", range=(0, 100)),
        "horizon": hours(1),
        "limits": (-1_000, 1_000),
        "segments": Segments("items", limit=2),
        "slices": {"colour": "colour"},
        "window": minutes(30),
        "warmup": 2,
    }
    return UseCase(**(plain | changes))


def at(second: float) -> str:
    """A time of the test's own clock, as a record has it."""
    return (START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


def order(event_id: str, second: float, **fields: Any) -> dict[str, Any]:
    """An event."""
    plain = {"event_id": event_id, "event_time": at(second), "shop": "a", "weight": 2.0, "items": 1}
    return plain | fields


def delivery(event_id: str, second: float, took: float = 7.0, **fields: Any) -> dict[str, Any]:
    """An outcome."""
    return {"event_id": event_id, "outcome_time": at(second), "took": took} | fields


def command(command_id: str, verb: str, **fields: Any) -> dict[str, Any]:
    """A command."""
    plain = {"command_id": command_id, "verb": verb, "who": "ann", "why": "a test", "time": at(0)}
    return plain | fields


class Out(NamedTuple):
    """One output, decoded."""

    kind: str
    value: dict[str, Any]
    raw: Output


@dataclass
class Partition:
    """One partition task; every record that it is given takes the next offset of its input."""

    case: UseCase = field(default_factory=use_case)
    partitions: int = 1
    number: int = 0
    outputs: list[Out] = field(default_factory=list)
    unseal: Unseal | None = None

    def __post_init__(self) -> None:
        self.task = PartitionTask(
            self.case,
            partition=self.number,
            partitions=self.partitions,
            definition="d1",
            unseal=self.unseal,
        )
        self.offsets = [0] * len(INPUTS)

    def event(self, event_id: str, second: float, **fields: Any) -> list[Out]:
        """Give it an event of shop `a`, unless `fields` says otherwise."""
        fields = order(event_id, second, **fields)
        return self.give(EVENTS, fields, key=str(fields["shop"]).encode())

    def outcome(self, event_id: str, second: float, took: float = 7.0, **fields: Any) -> list[Out]:
        """Give it an outcome of shop `a`."""
        return self.give(OUTCOMES, delivery(event_id, second, took, **fields))

    def command(self, command_id: str, verb: str, **fields: Any) -> list[Out]:
        """Give it a command."""
        return self.give(COMMANDS, command(command_id, verb, **fields), key=command_id.encode())

    def history(self, kind: str, fields: dict[str, Any]) -> list[Out]:
        """Give it a backfilled record."""
        return self.give(HISTORY, fields, headers=((KIND_HEADER, kind.encode()),))

    def give(
        self,
        index: int,
        value: bytes | dict[str, Any] | None,
        key: bytes | None = b"a",
        **rest: Any,
    ) -> list[Out]:
        """Give it one record of an input, and return what it says to that."""
        return self.apply(self.read(index, value, key, **rest))

    def read(
        self,
        index: int,
        value: bytes | dict[str, Any] | None,
        key: bytes | None = b"a",
        *,
        timestamp: datetime = REPLAYED,
        headers: tuple[tuple[str, bytes | None], ...] = (),
        partition: int | None = None,
    ) -> DecodedRecord:
        """A record with the next offset, read but not applied."""
        raw = orjson.dumps(value) if isinstance(value, dict) else value
        on_partition = self.number if partition is None else partition
        stamp = int(timestamp.timestamp() * 1000)
        record = PlainRecord(
            INPUTS[index], on_partition, self.offsets[index], stamp, key, raw, headers
        )  # type: ignore[arg-type]
        self.offsets[index] += 1
        return self.task.read(index, record)

    def apply(self, taken: DecodedRecord) -> list[Out]:
        """Apply a record that was read."""
        outputs = [Out(o.kind, orjson.loads(o.value), o) for o in self.task.apply(taken)]
        self.outputs += outputs
        return outputs

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All that it said of one kind so far."""
        return [out.value for out in self.outputs if out.kind == kind]


def letters(outputs: list[Out]) -> list[dict[str, Any]]:
    """The dead letters among them."""
    return [out.value for out in outputs if out.kind == "dead-letter"]


def kinds(outputs: list[Out]) -> list[str]:
    """The kinds of the outputs in their order, lifecycle and what sums up left out."""
    summed = ("lifecycle", "metrics", "evidence")
    return [out.kind for out in outputs if out.kind not in summed]


def dump(task: PartitionTask) -> dict[str, Any]:
    """All state as comparable values, but for the place in the journal and what was counted."""
    parts = parts_of(task)
    for name in ("position", "counts"):
        del parts[name]
    parts["ids"] = {event_id: _known(task, event_id) for event_id in task.ledger.entries}
    return {name: _plain(part) for name, part in parts.items()}


def _known(task: PartitionTask, event_id: str) -> Any:
    """What is known of an id, whether it is packed or not."""
    pending = task.ledger.find(event_id)
    if not isinstance(pending, PendingPrediction):
        return pending
    event = task.use_case.event.model_validate_json(pending.event)
    return pending._replace(x=task.packing.features(event, pending.x))


def _plain(value: Any) -> Any:
    """Objects as their attributes, floats as they are."""
    if isinstance(value, Random):
        return value.getstate()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if type(value).__module__.startswith("river"):
        return [type(value).__name__, _learnt(value)]
    if hasattr(value, "__slots__") and not isinstance(value, tuple):
        names = [name.lstrip("_") for name in value.__slots__ if name not in ("_fast", "changed")]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, int | float | str | bytes | None) else repr(value)


def _learnt(value: Any) -> Any:
    """What a pickle would hold of an object of River's; its bytes depend on which strings are the
    same object, too.
    """
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    _, arguments, *rest = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    state, *items = (*rest, None, None, None)[:3]
    own = [one for one in arguments if not isinstance(one, type)]
    return _plain([own, state, *(list(each or ()) for each in items)])


def started(**changes: Any) -> Partition:
    """Event `first` waits, event `done` has its outcome, an outcome waits for event `early`."""
    partition = Partition(use_case(**changes))
    partition.event("done", 0)
    partition.event("first", 10)
    partition.outcome("done", 60)
    partition.outcome("early", 60)
    return partition
