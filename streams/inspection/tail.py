"""Records of a topic as people look at them: decoded, filtered by their fields."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from models.spec.personal_data import Masking
from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.inspection.filter_expression import Test, filter_of
from streams.kafka.record_decoder import decoded, time_of
from streams.kafka.topic_reader import TopicReader

PRODUCED = ("events", "outcomes", "history")
"""Kinds whose headers are whatever their producers wrote."""

CAUSE_HEADER = "__connect.errors.exception.message"


def row_of(record: Any) -> dict[str, Any]:
    """Return a record as plain data; bytes that are not text, or not JSON, as base64."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "time": _time(record.timestamp),
        "key": _text(record.key),
        "headers": {name: _text(value) for name, value in record.headers},
        "value": _decoded(record.value),
    }


def masked_row(row: dict[str, Any], kind: str, masking: Masking) -> dict[str, Any]:
    """Return a row of a kind of topic without personal data."""
    if not masking:
        return row
    headers = row["headers"]
    if kind in PRODUCED:
        headers = dict(masking.headers(headers.items()))
    if kind == "dead-letter" and row["value"] is not None and CAUSE_HEADER in headers:
        headers = headers | {CAUSE_HEADER: masking.value(kind, row["value"])["error"]}
    return row | {
        "key": masking.key_of(kind, row["key"]),
        "headers": headers,
        "value": masking.value(kind, row["value"]),
    }


def _time(timestamp_ms: int) -> str | None:
    try:
        return time_of(timestamp_ms)
    except ValueError:
        return None


def _text(raw: bytes | None) -> str | None:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return b64encode(raw).decode()


def _decoded(raw: bytes | None) -> Any:
    try:
        return None if raw is None else decoded(raw)
    except ValueError:
        return _text(raw)


async def tail(
    topic: str,
    settings: Settings,
    tests: Sequence[Test],
    *,
    beginning: bool,
    follow: bool,
    limit: int | None,
    shown: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield rows that pass all tests, at most `limit`; without `follow` up to the present end.

    The tests see what `shown` leaves of a row: nobody asks for what is masked by guessing it.
    """
    async with TopicReader([topic], settings) as reader:
        if not reader.topic_partitions:
            raise Unavailable(f"There is no topic {topic}. `riverrun topics` names them.")
        bounds = await reader.bounds()
        starts = {
            topic_partition: start if beginning else end
            for topic_partition, (start, end) in bounds.items()
        }
        ends = {topic_partition.partition: end for topic_partition, (_, end) in bounds.items()}
        left, silent = limit, 0
        async for records in reader.follow(starts):
            for record in records:
                if not follow and record.offset >= ends[record.partition]:
                    continue
                row = shown(row_of(record))
                if all(test(row) for test in tests):
                    yield row
                    left = None if left is None else left - 1
                    if left == 0:
                        return
            silent = 0 if records else silent + 1
            if not follow and (silent >= 2 or not beginning):
                return


__all__ = ["filter_of", "masked_row", "row_of", "tail"]
