"""What goes in: shipments at a steady rate, each with its arrival some seconds later."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

START = datetime(2024, 1, 1, tzinfo=UTC)
DEPOTS = [f"depot{n}" for n in range(24)]
STEP_S = 2.0  # event time between two shipments
IN_FLIGHT_MAX = 20_000


class Publisher:
    """Sends `events` at `rate` a second; what a broker did not confirm is sent again."""

    def __init__(
        self, client: Mapping[str, Any], topics: Mapping[str, str], rate: float, seed: int
    ) -> None:
        self.client = client
        self.topics = topics
        self.rate = rate
        self.rng = random.Random(seed)
        self.sent = 0
        self.again = 0
        self._flying: set[asyncio.Task[None]] = set()

    async def run(self, events: int, over: asyncio.Event) -> None:
        """Send at least so many, and until `over`; returns once all is confirmed."""
        producer = AIOKafkaProducer(
            **self.client,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=20_000,
        )
        await producer.start()
        outcomes: deque[tuple[int, bytes, bytes]] = deque()
        began = time.monotonic()
        try:
            while self.sent < events or not over.is_set() or outcomes:
                events = self.sent + 1_000 if self.sent >= events and not over.is_set() else events
                due = int((time.monotonic() - began) * self.rate) + 1
                while self.sent < events and self.sent < due and len(self._flying) < IN_FLIGHT_MAX:
                    key, event, outcome = self._shipment(self.sent)
                    self._send(producer, "events", key, event)
                    outcomes.append((self.sent + 40, key, outcome))
                    self.sent += 1
                    if outcomes[0][0] <= self.sent:
                        _, key, outcome = outcomes.popleft()
                        self._send(producer, "outcomes", key, outcome)
                while self.sent == events and outcomes:
                    _, key, outcome = outcomes.popleft()
                    self._send(producer, "outcomes", key, outcome)
                await asyncio.sleep(0.005)
            while self._flying:
                await asyncio.wait(set(self._flying))
        finally:
            await producer.stop()

    def _send(self, producer: Any, kind: str, key: bytes, value: bytes) -> None:
        task = asyncio.create_task(self._confirmed(producer, self.topics[kind], key, value))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _confirmed(self, producer: Any, topic: str, key: bytes, value: bytes) -> None:
        while True:
            try:
                await producer.send_and_wait(topic, value, key=key)
                return
            except KafkaError:
                self.again += 1
                await asyncio.sleep(0.5)

    def _shipment(self, n: int) -> tuple[bytes, bytes, bytes]:
        rng = self.rng
        depot = rng.choice(DEPOTS)
        weight, miles = round(rng.uniform(0.5, 20), 2), rng.randrange(5, 400)
        took = round(1 + miles / 60 + weight / 10 + rng.uniform(0, 1), 2)
        left = START + timedelta(seconds=STEP_S * n)
        there = left + timedelta(seconds=STEP_S * 40)
        event = {
            "event_id": f"s{n}",
            "event_time": left.isoformat(),
            "depot": depot,
            "weight": weight,
            "miles": miles,
            "road": rng.choice(("coast", "hills")),
        }
        outcome = {"event_id": f"s{n}", "outcome_time": there.isoformat(), "hours": took}
        return depot.encode(), orjson.dumps(event), orjson.dumps(outcome)
