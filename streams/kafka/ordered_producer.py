"""Recorded events and outcomes, sent to a use case's topics in the order of their times.

Two topics have no common order, and a worker that reads one ahead of the other learns late. So
records go out in blocks: both topics have everything up to a time before either gets more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from time import monotonic
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from models.inputs.json_bytes import encoded
from models.replay.backtest import identity
from models.spec.use_case import UseCase, fold_of
from schemas.errors import ConfigError
from streams.config.settings import Settings

BLOCK = 250
"""Records after which all that was sent is waited for."""


class OrderedProducer:
    """Counts what it sent; `run` may be cancelled at any time."""

    def __init__(
        self,
        use_case: UseCase,
        settings: Settings,
        names: Mapping[str, str],
        *,
        speed: float | None = None,
    ) -> None:
        self.events = 0
        self.outcomes = 0
        self.time: str | None = None
        self.done = False
        self._use_case = use_case
        self._settings = settings
        self._names = names
        self._speed = speed
        self._keys: dict[str, bytes] = {}
        self._began: tuple[float, float] | None = None

    async def run(self, recorded: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Send everything; `speed` is a multiple of real time, None is as fast as can be."""
        producer = AIOKafkaProducer(
            **self._settings.kafka_client(),
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=262_144,
        )
        await producer.start()
        try:
            sent: list[Any] = []
            for kind, fields in recorded:
                await self._wait_for(fields)
                sent.append(await self._send(producer, kind, fields))
                if len(sent) >= BLOCK or self._speed is not None:
                    await asyncio.gather(*sent)
                    sent.clear()
            await asyncio.gather(*sent)
            self.done = True
        finally:
            await producer.stop()

    async def _send(self, producer: Any, kind: str, fields: Mapping[str, Any]) -> Any:
        event = kind == "event"
        self.time = fields["event_time" if event else "outcome_time"]
        topic = self._names["events" if event else "outcomes"]
        if event:
            self.events += 1
        else:
            self.outcomes += 1
        return await producer.send(topic, orjson.dumps(fields), key=self._key(kind, fields))

    def _key(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        event_id, key = identity(self._use_case, kind, fields, encoded(fields))
        if kind == "event" and key is not None:
            self._keys[event_id] = key
        if key is None:  # of a folded label there may be more outcomes
            known = self._keys.pop if fold_of(self._use_case) is None else self._keys.get
            key = known(event_id, None)
        if key is None:
            name = self._use_case.key
            raise ConfigError(f"the outcome of {event_id!r} has no {name!r}, so no Kafka key.")
        return key

    async def _wait_for(self, fields: Mapping[str, Any]) -> None:
        if self._speed is None:
            return
        text = fields.get("event_time") or fields["outcome_time"]
        time = datetime.fromisoformat(text).timestamp()
        if self._began is None:
            self._began = (monotonic(), time)
        began, first = self._began
        due = began + (time - first) / self._speed
        await asyncio.sleep(max(0.0, due - monotonic()))
