"""The `definitions` topic: every definition that ever ran, so that what it said can be verified."""

from __future__ import annotations

import orjson
from aiokafka import AIOKafkaProducer

from schemas.headers import stamp
from schemas.records import Definition
from streams.loading import Loaded, lock, runtime, versions
from streams.settings import Settings
from streams.topics import names_of


def record_of(loaded: Loaded) -> Definition:
    """The definition as it is now, with the versions that it runs on."""
    return Definition(
        use_case=loaded.use_case.name,
        definition=loaded.definition,
        file=loaded.path.name,
        source=loaded.source,
        lock=lock(),
        runtime=runtime(),
        **versions(),
    )


async def publish(loaded: Loaded, settings: Settings) -> None:
    """Write it under its hash; the topic is compacted, so writing it again changes nothing."""
    topic = names_of(loaded.use_case, settings)["definitions"]
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(
            topic,
            key=loaded.definition.encode(),
            value=orjson.dumps(record_of(loaded).model_dump()),
            headers=[
                *stamp("definitions", loaded.use_case.name, 0),
                ("ce_id", loaded.definition.encode()),
            ],
        )
    finally:
        await producer.stop()
