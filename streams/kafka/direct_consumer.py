"""Fixed partitions, fetched without a group: stamped batches as the group's member gives them.

The learner reads every partition of `examples`, and each worker the one partition of `models`: no
group could assign that. Whoever reads sets positions, from a journal; nothing is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.types import TP

from streams.kafka.connection_timeout import Silence
from streams.kafka.faust_transport import (
    FETCH_SILENT_S,
    Batch,
    fetch_batches,
    fetch_state,
    newest_answer,
    wake_fetch,
)
from streams.kafka.header_names import tolerate

log = logging.getLogger("riverrun.transport")

FETCH_WAIT_MS = 100
FETCH_BYTES_MAX = 4 << 20  # of one partition at once; a version may be large
RETRY_S = 0.5
CONNECT_S_MAX = 10.0


class DirectConsumer:
    """A reader of fixed partitions on the running loop. start → (seek_and_open | shut)* → close.

    `route` is called with each batch of an open partition, in the order of offsets. It connects in
    the background and again whenever the connection is lost.
    """

    def __init__(
        self, client: Mapping[str, Any], partitions: Collection[TP], route: Callable[[Batch], None]
    ) -> None:
        self.opened: set[TP] = set()
        self._client = client
        self._partitions = partitions
        self._route = route
        self._silence = Silence(FETCH_SILENT_S)
        self._consumer: AIOKafkaConsumer | None = None
        self._connected = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop fetching and let go of the connections, within seconds."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        consumer, self._consumer = self._consumer, None
        await _stopped(consumer)

    async def seek_and_open(self, positions: Mapping[TP, int]) -> None:
        """Set positions and let the records come. Raises `TimeoutError` while Kafka is away."""
        async with asyncio.timeout(CONNECT_S_MAX):
            await self._connected.wait()
        assert self._consumer is not None
        for tp, offset in positions.items():
            self._consumer.seek(tp, offset)
        await self.open(positions)

    async def open(self, partitions: Collection[TP]) -> None:
        """Let the records of these come."""
        self.opened.update(partitions)
        if self._consumer is not None:
            wake_fetch(self._consumer)

    def shut(self, partitions: Collection[TP]) -> None:
        """Keep the records of these back."""
        self.opened.difference_update(partitions)

    def stable(self, tp: TP) -> int | None:
        """Return the last stable offset as of the newest fetch; None before the first."""
        state = None if self._consumer is None else fetch_state(self._consumer, tp)
        return None if state is None else state.lso

    def answered(self, tp: TP) -> tuple[int, int] | None:
        """Return when the newest answer to a fetch came (ms), and the offset that is written next,
        open transactions included; None before the first.
        """
        return None if self._consumer is None else newest_answer(self._consumer, tp)

    def fetch_position(self, tp: TP) -> int | None:
        """Return the offset that the next batch will start at; None while there is none."""
        state = None if self._consumer is None else fetch_state(self._consumer, tp)
        return state.position if state is not None and state.has_valid_position else None

    async def ends(self, partitions: Collection[TP]) -> dict[TP, int]:
        """Ask for the last stable offsets of any partitions. Raises aiokafka's errors."""
        async with asyncio.timeout(CONNECT_S_MAX):
            await self._connected.wait()
        assert self._consumer is not None
        ends = await self._consumer.end_offsets(list(partitions))
        return {TP(*tp): end for tp, end in ends.items()}

    async def _run(self) -> None:
        await self._connect()
        assert self._consumer is not None
        while True:
            try:
                for batch in await fetch_batches(self._consumer, self.opened, 1.0, self._silence):
                    self._route(batch)
            except ConsumerStoppedError:
                return
            except (KafkaError, OSError) as error:
                log.warning("%s cannot be read: %r", sorted(self.opened), error)
                await asyncio.sleep(RETRY_S)

    async def _connect(self) -> None:
        tolerate()
        while True:
            consumer = AIOKafkaConsumer(
                **self._client,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="none",  # a position that is gone is an error, never a jump
                fetch_max_wait_ms=FETCH_WAIT_MS,
                max_partition_fetch_bytes=FETCH_BYTES_MAX,
            )
            try:
                await consumer.start()
            except (KafkaError, OSError) as error:
                log.warning("Kafka cannot be reached: %r", error)
                await _stopped(consumer)
                await asyncio.sleep(RETRY_S)
            else:
                consumer.assign(list(self._partitions))
                self._consumer = consumer
                self._connected.set()
                return


async def _stopped(consumer: AIOKafkaConsumer | None) -> None:
    if consumer is not None:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(3):
                await consumer.stop()
