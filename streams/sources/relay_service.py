"""The relay beside a worker that owns the last partition, and the foreign topics that it reads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Any

from schemas.errors import Incompatible, Unavailable
from streams.partition.shared_topic import GroupMember
from streams.registry.known_schemas import KnownSchemas
from streams.replay.input_check import START_OVER
from streams.sources.relay import Relay
from streams.sources.relay_plan import RelayPlan
from streams.telemetry.measurements import Measurements
from streams.topics.topic_identity import TopicIdentity, Topics

log = logging.getLogger("riverrun.sources")

LOOK_S = 5.0
STOP_S_MAX = 5.0


class RelayService:
    """start → (begin | end)* → close. `fail` gets errors after which a worker must stop."""

    def __init__(self, plan: RelayPlan, fail: Callable[[Exception], None]) -> None:
        self.plan = plan
        self.relay: Relay | None = None
        self.warnings: list[str] = []
        self.measures = Measurements()
        self._fail = fail
        self._run: asyncio.Task[None] | None = None
        self._topics: dict[str, TopicIdentity] = {}
        self._schemas = KnownSchemas(plan.registry)
        self._schemas_read = not plan.registered
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to watch the foreign topics."""
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Stop watching."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    def begin(self, numbers: Collection[int], generation: int, group: GroupMember) -> None:
        """Relay, if the relay belongs to one of these partitions."""
        if self.plan.beside not in numbers:
            return
        self.relay = Relay(
            self.plan,
            generation,
            group,
            counts=self._counts,
            schemas=self._schemas,
            measures=self.measures,
        )
        self._run = asyncio.create_task(self.relay.run(), name="relay")
        self._run.add_done_callback(self._ended)

    async def end(self) -> None:
        """Let the transaction in flight end, bounded."""
        relay, self.relay = self.relay, None
        run, self._run = self._run, None
        if relay is not None and run is not None:
            relay.stop()
            await asyncio.wait([run], timeout=STOP_S_MAX)
            run.cancel()

    def _ended(self, run: asyncio.Task[None]) -> None:
        error = None if run.cancelled() else run.exception()
        if isinstance(error, Exception):
            log.error("relay: %s", error)
            self._fail(error)

    # The foreign topics.

    def _counts(self) -> dict[str, int]:
        return {topic: identity.partitions for topic, identity in self._topics.items()}

    async def _look(self) -> None:
        while True:
            try:
                if not self._schemas_read:
                    await self._schemas.read(self.plan.client, self.plan.topics["schemas"])
                    self._schemas_read = True
                async with Topics(self.plan.client) as topics:
                    while True:
                        self._heed(await topics.identities(self.plan.sources))
                        await asyncio.sleep(LOOK_S)
            except Unavailable as error:  # others tell of it, and wait
                log.debug("foreign topics: %s", error)
            await asyncio.sleep(LOOK_S)

    def _heed(self, now: dict[str, TopicIdentity]) -> None:
        for topic, identity in now.items():
            before = self._topics.get(topic)
            if before is not None and before.id != identity.id:
                text = (
                    f"{topic} was deleted and created again while this worker read it. {START_OVER}"
                )
                self._fail(Incompatible(text))
        warnings = [
            f"there is no topic {topic} that a source names; it is read as soon as there is"
            for topic in self.plan.sources
            if topic not in {**self._topics, **now}
        ]
        for text in warnings:
            if text not in self.warnings:
                log.warning("%s", text)
        self.warnings = warnings
        counts = self._counts()
        self._topics = {**self._topics, **now}
        if self.relay is not None and self._counts() != counts:
            self.relay.restart()

    # What is told.

    def status(self) -> dict[str, Any] | None:
        """Return plain values for `riverrun status`; None where this worker does not relay."""
        relay = self.relay
        return relay.status() if relay is not None and relay.inputs else None
