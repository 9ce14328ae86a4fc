"""Records of topics, decoded: what everybody reads who shows, counts or folds them.

Whoever may write to a topic may write anything, so a reader never stops at a record: one that
cannot be read is left out, counted and named (`Unreadable`). Where leaving one out would change
what is proved (the journal, definitions), the reader raises instead: `streams/replay/kafka_log.py`,
`streams/replay/definition_history.py`.

A published record is checked against its model, strictly; fields that a newer riverrun writes are
tolerated. Its fields about its partition must be true. An input is any JSON object with an id, as
it may be one that a worker refused.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
from aiokafka import TopicPartition
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from models.spec.experiment_arms import GROUPS
from riverrun.client.predictions import lenient
from schemas.commands import Command
from schemas.topics import BY_KIND, LEARNER
from schemas.unreadable_records import Unreadable

LOOSE = ("events", "outcomes", "history")


class RecordDecoder:
    """Topics that are read row by row; `unreadable` is what was left out."""

    def __init__(self) -> None:
        self.unreadable = Unreadable()

    def records(
        self, topic_partition: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """Yield the visible records of a partition, as they are."""
        raise NotImplementedError

    def row(
        self,
        kind: str,
        record: Any,
        check: Callable[[Mapping[str, Any]], None] = lambda row: None,
    ) -> dict[str, Any] | None:
        """Return a record of that kind of topic as JSON has it; None for a tombstone, and for what
        cannot be read, or is refused by `check` (which raises `ValueError`): that is counted.
        """
        if record.value is None:
            return None
        try:
            row = content(kind, record)
            check(row)
        except ValueError as error:
            self.unreadable.note(record, error)
            return None
        return row

    async def rows(
        self, kind: str, topic_partition: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        """Yield what can be read of `records`, each with its row."""
        async for record in self.records(topic_partition, start, end):
            row = self.row(kind, record)
            if row is not None:
                yield record, row


def decoded(value: bytes | None) -> Any:
    """Return the JSON of a value, as far as a worker takes it: NaN and infinity, too.

    Raises `ValueError` for anything else, no value among it.

    >>> decoded(b'{"a": NaN}')
    {'a': nan}
    """
    if value is None:
        raise ValueError("there is no value")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return _narrowed(from_json(value, allow_inf_nan=True))


def _narrowed(value: Any) -> Any:
    """Return it with integers of more than 64 bits as floats, as orjson reads them."""
    if isinstance(value, dict):
        return {name: _narrowed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_narrowed(each) for each in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        if value.bit_length() < 1024:
            return float(value)
        return math.inf if value > 0 else -math.inf
    return value


def time_of(timestamp_ms: int) -> str:
    """Return a record's Kafka timestamp, ISO 8601, UTC; `ValueError` where it is none."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"its Kafka timestamp is {timestamp_ms}") from None


BY_LEARNER = ("lifecycle", "drift")
"""Kinds of which the learner of shared models writes records, too."""


def content(kind: str, record: Any) -> dict[str, Any]:
    """Return a record as JSON has it. Raise `ValueError`, with why, for one that is none of its
    kind.
    """
    time_of(record.timestamp)
    try:
        row = decoded(record.value)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    if kind in LOOSE:
        if not isinstance(row.get("event_id"), str):
            raise ValueError("it has no event_id")
        return row
    adapter, times = _shape(kind)
    try:
        adapter.validate_json(record.value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        name = BY_KIND[kind].record.__name__
        raise ValueError(f"it is no {name}: {where}: {first['msg']}") from None
    for name in times:
        if isinstance(row.get(name), str):
            datetime.fromisoformat(row[name])
    if kind != "dead-letter" and _partition_of(kind, row, record) != record.partition:
        raise ValueError(f"it says that it is of partition {row['partition']}")
    if (check := _CHECKS.get(kind)) is not None:
        check(row)
    return row


def _partition_of(kind: str, row: dict[str, Any], record: Any) -> Any:
    """Return the partition that a record is of; the learner's are on partition 0."""
    number = row.get("partition", record.partition)
    return 0 if kind in BY_LEARNER and number == LEARNER else number


@cache
def _shape(kind: str) -> tuple[TypeAdapter[Any], tuple[str, ...]]:
    model = BY_KIND[kind].record
    times = (name for name, field in model.model_fields.items() if "atetime" in repr(field))
    adapter = TypeAdapter(model if model is Command else lenient(model))
    return adapter, tuple(times)


def _metric(row: Mapping[str, Any]) -> None:
    sums = row["sums"]
    if "n" not in sums:
        raise ValueError("its sums lack n")
    counted = ("n", "sq", "tp", "fp", "fn", "correct", "intervals")
    if any(sums.get(name, 0) < 0 for name in counted) or sums.get("correct", 0) > sums["n"]:
        raise ValueError("its sums cannot be")


def _delays(row: Mapping[str, Any]) -> None:
    if not len(row["edges_s"]) == len(row["labelled"]) == len(row["exposed"]) > 0:
        raise ValueError("its bins are not all told")


def _evidence(row: Mapping[str, Any]) -> None:
    for time in row["began"].values():
        datetime.fromisoformat(time)
    counts = [row["predictions"], row["missing"], row["paired_n"], row["kpi_n"] - row["paired_n"]]
    for arm in row["arms"].values():
        counts += [arm["n"], arm["predictions"] - arm["n"], *(n for n, _ in arm["groups"])]
        if len(arm["groups"]) != GROUPS:
            raise ValueError(f"an arm has {GROUPS} groups")
    if row["block_s"] <= 0 or min(counts) < 0:
        raise ValueError("its counts cannot be")


def _prediction(row: Mapping[str, Any]) -> None:
    if row.get("contributions") and None in (row.get("reference"), row.get("rest")):
        raise ValueError("its contributions lack what they begin with")


def _letter(row: Mapping[str, Any]) -> None:
    for text in (row["key_base64"], row["value_base64"], *(v for _, v in row["headers"])):
        b64decode(text or "", validate=True)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "metrics": _metric,
    "predictions": _prediction,
    "delays": _delays,
    "evidence": _evidence,
    "dead-letter": _letter,
}
