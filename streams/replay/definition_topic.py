"""The `definitions` topic: every definition that ever ran, so that what it said can be verified.

Its source is run again by whoever verifies, so a record carries a signature (HMAC-SHA256 over
its value, under RIVERRUN_SNAPSHOT_KEY) in the header `riverrun_signature`: who may write to the
topic may not thereby run code. docs/adr/0012-definitions-are-signed.md
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

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


SIGNATURE = "riverrun_signature"


def signature(value: bytes, key: bytes) -> bytes:
    """Of one record's value."""
    return hmac.new(key, b"riverrun definition\0" + value, hashlib.sha256).hexdigest().encode()


def is_signed(value: bytes, headers: Iterable[tuple[str, bytes]], key: bytes) -> bool:
    """Whether a record carries the right signature."""
    right = signature(value, key)
    return any(
        name == SIGNATURE and hmac.compare_digest(found or b"", right) for name, found in headers
    )


async def publish(loaded: Loaded, settings: Settings) -> None:
    """Write it under its hash; the topic is compacted, so writing it again changes nothing."""
    topic = names_of(loaded.use_case, settings)["definitions"]
    value = orjson.dumps(record_of(loaded).model_dump())
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(
            topic,
            key=loaded.definition.encode(),
            value=value,
            headers=[
                *stamp("definitions", loaded.use_case.name, 0),
                ("ce_id", loaded.definition.encode()),
                (SIGNATURE, signature(value, settings.snapshot_key())),
            ],
        )
    finally:
        await producer.stop()
