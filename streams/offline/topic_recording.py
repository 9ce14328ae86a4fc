"""A topic read once from its beginning to what is its end now, committed records only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from schemas.errors import ConfigError
from schemas.timestamps import moment
from streams.config.settings import Settings
from streams.kafka.record_decoder import decoded
from streams.kafka.topic_reader import TopicReader, merged
from streams.recordings.topic_values import TopicValue


def read_topic(topic: str, settings: Settings, limit: int | None = None) -> list[TopicValue]:
    """Return the values on a topic, partitions merged by their times; tombstones are left out.

    The time of one whose own is not known here, as of other formats, is that of Kafka. Memory: all
    of them, at most `limit`. Raises `ConfigError` if there is no such topic, `Unavailable` if Kafka
    does not answer.
    """
    return asyncio.run(_read(topic, settings, limit))


async def _read(topic: str, settings: Settings, limit: int | None) -> list[TopicValue]:
    values: list[TopicValue] = []
    async with TopicReader([topic], settings, as_written=True) as reader:
        if not reader.topic_partitions:
            raise ConfigError(
                f"There is neither a file nor a topic named {topic!r}.",
                hint="Give a file's path, or the topic's full name.",
            )
        each = [_values(reader.records(each)) for each in reader.topic_partitions]
        async for record in merged(each, _time):
            location = f"partition {record.partition}, offset {record.offset}"
            values.append(TopicValue(location, record.value, record.timestamp))
            if limit is not None and len(values) >= limit:
                break
    return values


async def _values(records: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for record in records:
        if record.value is not None:
            yield record


def _time(record: Any) -> float:
    try:
        fields = decoded(record.value)
    except ValueError:
        return float(record.timestamp) / 1000
    if isinstance(fields, dict):
        for name in ("event_time", "outcome_time"):
            time = moment(fields.get(name))
            if time is not None:
                return time
    return float(record.timestamp) / 1000
