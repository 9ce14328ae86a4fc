"""Reads dead letters and sends them again: the original bytes to the original topic.

A record that is sent again says so in the header `riverrun_attempt`, and of which letter in
`riverrun_letter`; one that comes back too often is left where it is. Sending twice what was taken
is harmless while its id is remembered: it is counted as a repetition. What became of each letter is
in streams/operations/dead_letter_states.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from models.spec.personal_data import Masking
from schemas.errors import Implausible
from schemas.partitioner import partition_of
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader

ATTEMPT_HEADER = "riverrun_attempt"
LETTER_HEADER = "riverrun_letter"
"""Of a record that is sent again: the position of its dead letter."""

ATTEMPTS_MAX = 3
SOURCE_STAGE = "source"
"""The stage of a dead letter whose record a relay could not map."""

VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,:TZ+-]*")


def cause_of(error: str) -> str:
    """Return an error's words without what differs from case to case.

    >>> cause_of("weight: input should be a valid number (given: 'heavy')")
    'weight: input should be a valid number (given: …)'
    """
    return VARYING.sub("…", error)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, by its position on the dead-letter topic: `partition/offset`."""

    position: str
    timestamp_ms: int
    body: Mapping[str, Any]

    @property
    def value(self) -> bytes:
        """Return the original bytes, as far as they are stored."""
        return b64decode(self.body["value_base64"] or "")

    @property
    def key(self) -> bytes | None:
        """Return the original key."""
        raw = self.body["key_base64"]
        return None if raw is None else b64decode(raw)

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Return the original headers, as far as they are stored."""
        return [(name, b64decode(value)) for name, value in self.body["headers"]]

    @property
    def attempt(self) -> int:
        """Return how often the record was sent again."""
        raw = dict(self.headers).get(ATTEMPT_HEADER, b"0")
        return int(raw) if raw.isdigit() and len(raw) < 10 else 0

    @property
    def error_class(self) -> str:
        """Return the error's class, by which it is counted."""
        return str(self.body["error_class"])

    @property
    def parent(self) -> str:
        """Return the letter that was sent again and came back as this one; empty for the first."""
        return dict(self.headers).get(LETTER_HEADER, b"").decode("utf-8", "replace")

    @property
    def event_id(self) -> str:
        """Return the event whose quarantined outcome this letter holds; else empty."""
        if self.error_class != Implausible.fault:
            return ""
        try:
            return str(orjson.loads(self.value)["event_id"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ""

    def why_not(self, attempts_max: int, commands: str) -> str | None:
        """Return why it cannot be sent again; None if it can."""
        if self.body["value_bytes"] > len(self.value):
            return f"only {len(self.value)} of its {self.body['value_bytes']} bytes were kept"
        if self.body["topic"] == commands:
            return "a command is not resent: send a new one"
        if self.body.get("stage") == SOURCE_STAGE:
            return (
                "its topic belongs to others. Ask them to send a corrected record; if the source "
                "was wrong, correct it and bring the record in with `riverrun backfill`"
            )
        if self.key is None:
            return "it has no key, which would be refused again"
        if self.attempt >= attempts_max:
            return f"it was sent again {self.attempt} times"
        return None

    def as_json(self, masking: Masking) -> dict[str, Any]:
        """Return all of it as plain data, text where it is text; personal data masked."""
        body = {name: value for name, value in self.body.items() if "base64" not in name}
        key = self.key
        plain = body | {
            "position": self.position,
            "refused_ms": self.timestamp_ms,
            "attempt": self.attempt,
            "key": None if key is None else key.decode("utf-8", "replace"),
            "value": self.value.decode("utf-8", "replace"),
            "headers": [(n, v.decode("utf-8", "replace")) for n, v in self.headers],
        }
        return masking.letter(plain)


async def letters(topic: str, settings: Settings) -> AsyncIterator[Letter]:
    """Yield all dead letters of a use case, partition by partition, in their order."""
    async with TopicReader([topic], settings) as reader:
        for topic_partition in reader.topic_partitions:
            async for record, body in reader.rows("dead-letter", topic_partition):
                yield Letter(f"{record.partition}/{record.offset}", record.timestamp, body)


@dataclass(slots=True)
class Redriven:
    """The result of a resend.

    Letters that were not sent: position → why; `records`: position → the record that was sent,
    topic/partition/offset.
    """

    sent: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)


async def redrive(
    chosen: Sequence[Letter],
    settings: Settings,
    names: Mapping[str, str],
    *,
    attempts_max: int = ATTEMPTS_MAX,
) -> Redriven:
    """Send them again: to the topic that they came on, where Kafka's partitioner puts their key."""
    done = Redriven()
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for letter in chosen:
            reason = letter.why_not(attempts_max, names["commands"])
            if reason is not None:
                done.left[letter.position] = reason
                continue
            topic, key = letter.body["topic"], letter.key
            assert key is not None
            partitions = len(await producer.partitions_for(topic))
            own_headers = (ATTEMPT_HEADER, LETTER_HEADER)
            original_headers = [
                (name, value) for name, value in letter.headers if name not in own_headers
            ]
            metadata = await producer.send_and_wait(
                topic,
                letter.value,
                key=key,
                partition=partition_of(key, partitions),
                timestamp_ms=letter.body["timestamp_ms"],
                headers=[
                    *original_headers,
                    (ATTEMPT_HEADER, str(letter.attempt + 1).encode()),
                    (LETTER_HEADER, letter.position.encode()),
                ],
            )
            done.sent.append(letter.position)
            done.records[letter.position] = f"{topic}/{metadata.partition}/{metadata.offset}"
    finally:
        await producer.stop()
    return done
