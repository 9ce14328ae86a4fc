"""The relay in a worker: the runner of a partition, on foreign inputs, as long as it is owned.

It runs in the worker that owns the last partition. It restarts after any failure; only a foreign
topic that was replaced by another ends the worker, since a person has to decide then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from faust.types import TP

from models.relay.relay_task import RELAY, RelayInput
from schemas.errors import ConfigError, Incompatible
from streams.kafka.direct_consumer import DirectConsumer
from streams.kafka.faust_transport import Batch
from streams.partition.direct_source import DirectSource
from streams.partition.runner import PartitionRunner
from streams.partition.shared_topic import GroupMember
from streams.registry.known_schemas import KnownSchemas
from streams.sources.relay_plan import RelayPlan
from streams.sources.schema_gate import SchemaGate
from streams.telemetry.measurements import Measurements

log = logging.getLogger("riverrun.sources")

AGAIN_S = 5.0
WATCH_S = 0.5
Consume = Callable[[Mapping[str, Any], Collection[TP], Callable[[Batch], None]], DirectConsumer]


class Relay:
    """The relay, from the assignment of the last partition to its revocation: run → stop."""

    def __init__(
        self,
        plan: RelayPlan,
        generation: int,
        group: GroupMember,
        *,
        counts: Callable[[], Mapping[str, int]],
        schemas: KnownSchemas,
        measures: Measurements,
        consume: Consume = DirectConsumer,
    ) -> None:
        self.runner: PartitionRunner | None = None
        self.error: str | None = None
        self.inputs: list[RelayInput] = []
        self._gate: SchemaGate | None = None
        self._plan = plan
        self._generation = generation
        self._group = group
        self._counts = counts
        self._schemas = schemas
        self._measures = measures
        self._consume = consume
        self._stopping = False
        self._restarted = asyncio.Event()

    async def run(self) -> None:
        """Relay until stopped. Raise only errors that a person has to decide about."""
        while not self._stopping:
            self._restarted.clear()
            self.inputs = self._plan.inputs(self._counts())
            try:
                if self.inputs:
                    await self._life()
                else:
                    await self._restarted.wait()
            except (asyncio.CancelledError, Incompatible, ConfigError):
                raise
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                log.exception("the relay stopped; it begins again in %g s", AGAIN_S)
                await self._pause()

    def restart(self) -> None:
        """Restart with the inputs that exist now."""
        self._restarted.set()

    def stop(self) -> None:
        """End after the transaction in flight."""
        self._stopping = True
        self._restarted.set()

    async def _life(self) -> None:
        plan = self._plan
        wiring = plan.wiring(self.inputs, self._schemas)
        runner: PartitionRunner | None = None

        def accept(batch: Batch) -> None:
            assert runner is not None
            runner.accept(batch)

        known = self._schemas
        gate = self._gate = SchemaGate(plan.registered, known.by_id, known.fetch, accept)
        consumer = self._consume(plan.client, wiring.inputs, gate.give)
        runner = self.runner = PartitionRunner(
            RELAY,
            self._generation,
            DirectSource(consumer, self._group),
            wiring,
            measures=self._measures,
        )
        consumer.start()
        running = asyncio.create_task(runner.run())
        sides = [
            asyncio.create_task(self._watch(runner, gate)),
            asyncio.create_task(self._restarted.wait()),
        ]
        try:
            await asyncio.wait({running, *sides}, return_when=asyncio.FIRST_COMPLETED)
            if sides[0].done():
                sides[0].result()  # it has stalled
            runner.stop()
            await running
            self.error = None
        finally:
            for task in (running, *sides):
                task.cancel()
            self.runner = self._gate = None
            gate.close()
            await consumer.close()

    async def _watch(self, runner: PartitionRunner, gate: SchemaGate) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            if not gate.waiting:  # else inputs stand still, for as long as the registry is away
                runner.watch()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(AGAIN_S):
                await self._restarted.wait()
        except TimeoutError:
            return

    def status(self) -> dict[str, Any]:
        """Return plain values for `riverrun status`."""
        runner = self.runner
        told = {} if runner is None else runner.status()
        return {
            "inputs": [[each.source.topic, each.partition] for each in self.inputs],
            "state": told.get("state", "waiting"),
            "next": told.get("next"),
            "lag": told.get("lag"),
            "records": told.get("records"),
            "commits": told.get("commits"),
            "counts": told.get("counts"),
            "error": self.error or (self._gate and self._gate.error) or told.get("error"),
        }
