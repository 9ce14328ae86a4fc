"""The newest record of each key of a compacted topic: what counts on it now."""

from __future__ import annotations

from typing import Any

from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader


async def newest(kind: str, topic: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the newest value of each key of each partition, in the order in which keys first came.

    What cannot be read does not replace what could. Memory: one value a key. Raises `Unavailable`
    if there is no such topic, or no Kafka.
    """
    rows: dict[tuple[int, bytes], dict[str, Any]] = {}
    async with TopicReader([topic], settings, required=True) as reader:
        async for records in reader.to_the_end():
            for record in records:
                key = record.partition, record.key
                if record.value is None:
                    rows.pop(key, None)
                elif (row := reader.row(kind, record)) is not None:
                    rows[key] = row
    return list(rows.values())
