"""The newest value of each key of a compacted topic: what counts on it now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from riverrun.client.packages import needed
from schemas.errors import Unavailable


async def newest_values(client: Mapping[str, Any], topic: str) -> dict[bytes, bytes]:
    """Return the newest value of each key of a topic with one partition, as bytes, as committed.

    `client`: aiokafka's connection arguments. Raises `Unavailable` if the topic cannot be read.
    """
    kafka = needed("aiokafka", "reading a topic")
    topic_partition = kafka.TopicPartition(topic, 0)
    consumer = kafka.AIOKafkaConsumer(
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
    except kafka.errors.KafkaError as error:
        raise Unavailable(f"{topic} cannot be read: {error}") from error
    finally:
        await consumer.stop()
