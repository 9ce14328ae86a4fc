"""The `definitions` topic: every definition that ever ran, so that what it said can be verified.

Its source is run again by whoever verifies, so a record carries a signature (HMAC-SHA256 over
its value, under RIVERRUN_SNAPSHOT_KEY) in the header `riverrun_signature`: who may write to the
topic may not thereby run code. The topic is not compacted: who may write to it could have a signed
record deleted by one of the same key. docs/adr/0012-definitions-are-signed.md
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from time import time
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError

from schemas.errors import Incompatible, Unavailable
from schemas.headers import stamp
from schemas.records.definitions import Definition, DefinitionFile
from streams.config.lookup_files import contents
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, lock, runtime, text_of, versions
from streams.kafka.clock_check import REFUSED
from streams.kafka.topic_reader import TopicReader
from streams.topics.topic_admin import names_of


def record_of(loaded: LoadedUseCase, published: Collection[str] = ()) -> Definition:
    """Return the definition as it is now, with the versions that it runs on.

    `published`: SHA-256 of the lookup files whose content is on the topic already.
    """
    packed = contents(tuple(file for file in loaded.files if file.sha256 not in published))
    return Definition(
        use_case=loaded.use_case.name,
        definition=loaded.definition,
        file=loaded.path.name,
        source=loaded.source,
        lock=lock(),
        runtime=runtime(),
        files=[
            DefinitionFile(
                name=file.name,
                sha256=file.sha256,
                path=str(file.path),
                content=packed.get(file.name),
            )
            for file in loaded.files
        ],
        **versions(),
    )


def _check_text(row: Mapping[str, Any], loaded: LoadedUseCase) -> None:
    if row["definition"] == loaded.definition and text_of(row["source"]) != text_of(loaded.source):
        raise Incompatible(
            f"another source ran under the name {loaded.definition}, which is the first 12 digits "
            f"of the hash of {loaded.path.name}, too. Change a comment in the file: that makes it "
            "another name; then carry the state over with `riverrun redefine`."
        )


SIGNATURE = "riverrun_signature"
DATED_BY_BROKER = 1
"""Kafka's timestamp type LogAppendTime."""


def signature(value: bytes, key: bytes) -> bytes:
    """Return the signature of one record's value."""
    return hmac.new(key, b"riverrun definition\0" + value, hashlib.sha256).hexdigest().encode()


def is_signed(value: bytes, headers: Iterable[tuple[str, bytes]], key: bytes) -> bool:
    """Return True if a record carries the right signature."""
    right = signature(value, key)
    return any(
        name == SIGNATURE and hmac.compare_digest(header_value or b"", right)
        for name, header_value in headers
    )


async def publish(loaded: LoadedUseCase, settings: Settings) -> float | None:
    """Write it under its hash, at each start: it tells this machine's clock from the broker's.

    Returns how many seconds this machine's clock is ahead of the broker's, which dates this topic;
    None where it does not. Raises `Unavailable` if the broker refuses this machine's own date, and
    `Incompatible` if another source was published under the same hash: 12 digits name a definition,
    its whole text is what it is.
    """
    topic = names_of(loaded.use_case, settings)["definitions"]
    key, published = settings.snapshot_key(), set()
    async with TopicReader([topic], settings) as reader:
        for topic_partition in reader.topic_partitions:
            async for record, row in reader.rows("definitions", topic_partition):
                if is_signed(record.value, record.headers, key):
                    _check_text(row, loaded)
                    published |= {
                        f["sha256"] for f in row.get("files", ()) if f["content"] is not None
                    }
    value = orjson.dumps(record_of(loaded, published).model_dump())
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        written = await producer.send_and_wait(
            topic,
            key=loaded.definition.encode(),
            value=value,
            headers=[
                *stamp("definitions", loaded.use_case.name, 0),
                ("ce_id", loaded.definition.encode()),
                (SIGNATURE, signature(value, key)),
            ],
        )
    except InvalidTimestampError as error:
        raise Unavailable(REFUSED) from error
    finally:
        await producer.stop()
    return None if written.timestamp_type != DATED_BY_BROKER else time() - written.timestamp / 1000
