"""The newest record of each key of a compacted topic: what counts on it now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import Unavailable
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


async def newest_values(client: Mapping[str, Any], topic: str) -> dict[bytes, bytes]:
    """Return the newest value of each key of a topic with one partition, as bytes, as committed.

    Raises `Unavailable` if it cannot be read.
    """
    topic_partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(
        **client,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    values: dict[bytes, bytes] = {}
    try:
        await consumer.start()
        consumer.assign([topic_partition])
        end = (await consumer.end_offsets([topic_partition]))[topic_partition]
        start = (await consumer.beginning_offsets([topic_partition]))[topic_partition]
        consumer.seek(topic_partition, start)
        while await consumer.position(topic_partition) < end:
            fetched = await consumer.getmany(topic_partition, timeout_ms=250)
            for record in fetched.get(topic_partition, ()):
                values.pop(record.key, None)
                if record.value is not None:
                    values[record.key] = record.value
        return values
    except KafkaError as error:
        raise Unavailable(f"{topic} cannot be read: {error}") from error
    finally:
        await consumer.stop()
