"""Dead letters, looked at and sent again: the original bytes to the original topic.

A record that is sent again says so in the header `riverrun_attempt`; one that comes back too often
is left where it is. Sending twice what was taken is harmless while its id is remembered: it is
counted as a repetition.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from models.personal import Masking
from schemas.partitioner import partition_of
from streams.settings import Settings
from streams.tapes import Tapes

ATTEMPT_HEADER = "riverrun_attempt"
ATTEMPTS_MAX = 3
VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,:TZ+-]*")


def cause_of(error: str) -> str:
    """An error's words without what differs from case to case.

    >>> cause_of("weight: input should be a valid number (given: 'heavy')")
    'weight: input should be a valid number (given: …)'
    """
    return VARYING.sub("…", error)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, by its place on the dead-letter topic: `partition/offset`."""

    place: str
    timestamp_ms: int
    body: Mapping[str, Any]

    @property
    def value(self) -> bytes:
        """The original bytes, as far as they were kept."""
        return b64decode(self.body["value_base64"] or "")

    @property
    def key(self) -> bytes | None:
        """The original key."""
        raw = self.body["key_base64"]
        return None if raw is None else b64decode(raw)

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The original headers, as far as they were kept."""
        return [(name, b64decode(value)) for name, value in self.body["headers"]]

    @property
    def attempt(self) -> int:
        """How often it was sent again."""
        raw = dict(self.headers).get(ATTEMPT_HEADER, b"0")
        return int(raw) if raw.isdigit() else 0

    def why_not(self, attempts_max: int, commands: str) -> str | None:
        """Why it cannot be sent again; None if it can."""
        if self.body["value_bytes"] > len(self.value):
            return f"only {len(self.value)} of its {self.body['value_bytes']} bytes were kept"
        if self.body["topic"] == commands:
            return "a command is not sent again; give it anew"
        if self.key is None:
            return "it has no key, which would be refused again"
        if self.attempt >= attempts_max:
            return f"it was sent again {self.attempt} times"
        return None

    def as_json(self, masking: Masking) -> dict[str, Any]:
        """All of it as plain data, the value as text where it is text; personal data masked."""
        body = {name: value for name, value in self.body.items() if "base64" not in name}
        key = self.key
        plain = body | {
            "place": self.place,
            "refused_ms": self.timestamp_ms,
            "attempt": self.attempt,
            "key": None if key is None else key.decode("utf-8", "replace"),
            "value": self.value.decode("utf-8", "replace"),
            "headers": [(n, v.decode("utf-8", "replace")) for n, v in self.headers],
        }
        return masking.letter(plain)


async def letters(topic: str, settings: Settings) -> AsyncIterator[Letter]:
    """All dead letters of a use case, partition by partition, in their order."""
    async with Tapes([topic], settings) as tapes:
        for place in tapes.places:
            async for record in tapes.records(place):
                where = f"{record.partition}/{record.offset}"
                yield Letter(where, record.timestamp, orjson.loads(record.value))


@dataclass(slots=True)
class Redriven:
    """What was sent again, and what was not: place → why."""

    sent: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


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
                done.left[letter.place] = reason
                continue
            topic, key = letter.body["topic"], letter.key
            assert key is not None
            partitions = len(await producer.partitions_for(topic))
            kept = [(name, value) for name, value in letter.headers if name != ATTEMPT_HEADER]
            await producer.send_and_wait(
                topic,
                letter.value,
                key=key,
                partition=partition_of(key, partitions),
                timestamp_ms=letter.body["timestamp_ms"],
                headers=[*kept, (ATTEMPT_HEADER, str(letter.attempt + 1).encode())],
            )
            done.sent.append(letter.place)
    finally:
        await producer.stop()
    return done
