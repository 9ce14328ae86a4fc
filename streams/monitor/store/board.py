"""A board to read from: Redis where a monitor runs, else memory filled from the topics.

Without a monitor the figures are read from the newest records of the topics, which is slower and
not live, and at most every `TOPICS_S` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from schemas.errors import Unavailable
from streams.config.naming import group_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.topic_reader import TopicReader
from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import KINDS, rows_of
from streams.monitor.store.table_store import MemoryStore, MetricsTables, connect
from streams.telemetry import partition_table
from streams.topics.topic_admin import names_of, partitions_of

RECORDS_MAX = 20_000
"""Newest records read from each partition of each topic where no monitor runs."""

COUNT_S, TOPICS_S = 30.0, 10.0
"""How long the number of partitions, and figures read from topics, stay valid."""


@dataclass(frozen=True, slots=True)
class OpenBoard:
    """A board, and whether a monitor updates it."""

    board: Board
    monitored: bool


class BoardPool:
    """One use case's board, opened repeatedly with one connection. Raises `Unavailable`."""

    def __init__(self, loaded: LoadedUseCase, settings: Settings) -> None:
        self._loaded, self._settings = loaded, settings
        self._client: Any = None
        self._count: tuple[float, int] | None = None
        self._from_topics: tuple[float, MemoryStore] | None = None
        self._turn = asyncio.Lock()  # concurrent requests share one read

    async def open(self) -> OpenBoard:
        """Return the board as it is now."""
        use_case, count = self._loaded.use_case, await self._partitions()
        if self._settings.redis_url is not None:
            if self._client is None:
                self._client = connect(self._settings.redis_address())
            store = MetricsTables(self._client, group_of(self._loaded, self._settings))
            # Without Redis the topics have the same, except workers' statuses.
            with contextlib.suppress(RedisError, OSError):
                if await store.has_live_monitor():
                    return OpenBoard(Board(use_case, count, store), True)
        return OpenBoard(Board(use_case, count, await self._read_topics()), False)

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()

    async def _partitions(self) -> int:
        async with self._turn:
            if self._count is None or monotonic() - self._count[0] > COUNT_S:
                count = await partitions_of(self._loaded.use_case, self._settings)
                self._count = monotonic(), count
            return self._count[1]

    async def _read_topics(self) -> MemoryStore:
        async with self._turn:
            if self._from_topics is None or monotonic() - self._from_topics[0] > TOPICS_S:
                store = await read_topics(self._loaded, self._settings)
                self._from_topics = monotonic(), store
            return self._from_topics[1]


@contextlib.contextmanager
def redis_errors(settings: Settings) -> Iterator[None]:
    """Raise `Unavailable`, without credentials, if Redis fails inside the context."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.public_redis_address()} does not answer ({type(error).__name__}). "
            "See `riverrun doctor`."
        ) from error


@contextlib.asynccontextmanager
async def board_of(loaded: LoadedUseCase, settings: Settings) -> AsyncIterator[Board]:
    """Open a use case's board once.

    Raises `Unavailable` if a server does not answer or there are no topics.
    """
    pool = BoardPool(loaded, settings)
    try:
        with redis_errors(settings):
            yield (await pool.open()).board
    finally:
        await pool.close()


async def read_topics(loaded: LoadedUseCase, settings: Settings) -> MemoryStore:
    """Return a store filled from the newest records of the topics, with workers' statuses.

    The statuses come from Redis, or from Kafka's group where Redis has none.
    """
    names = names_of(loaded.use_case, settings)
    workers = []
    if settings.redis_url is not None:
        count = await partitions_of(loaded.use_case, settings)
        workers = await partition_table.heard(
            group_of(loaded, settings), settings, names["events"], count
        )
    store = MemoryStore(workers)
    kinds = {names[kind]: kind for kind in KINDS}
    async with TopicReader(kinds, settings) as reader:
        bounds = await reader.bounds()
        for partition in reader.topic_partitions:
            _, end = bounds[partition]
            async for record in reader.records(partition, end - RECORDS_MAX, end):
                store.put(rows_of(kinds[record.topic], record, reader.unreadable))
    return store
