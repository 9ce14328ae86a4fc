"""The board of each use case, kept open: the figures that the monitor keeps, or else the topics.

Without a monitor the same figures are gathered from the topics now and then, which is slower and
not live; the page says so.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from schemas.errors import Unavailable
from streams.monitor.opening import gathered
from streams.monitor.shelves import MemoryShelves, RedisShelves, connect
from streams.monitor.views import Board
from streams.operating import group_of
from streams.ops.scene import Case
from streams.topics import partitions_of

COUNT_S, GATHER_S = 30.0, 10.0
"""How long the number of partitions, and figures gathered from topics, are good for."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A board, and whether a monitor keeps it current."""

    board: Board
    monitored: bool


class Boards:
    """One use case's board, asked for again and again. Raises `Unavailable`."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._client: Any = None
        self._count: tuple[float, int] | None = None
        self._gathered: tuple[float, MemoryShelves] | None = None

    async def open(self) -> Opened:
        """The board as it is now."""
        case = self._case
        count = await self._partitions()
        if case.settings.redis_url is None:
            return Opened(Board(case.use_case, count, await self._topics()), False)
        if self._client is None:
            self._client = connect(case.settings.redis_url.get_secret_value())
        shelves = RedisShelves(self._client, group_of(case.loaded, case.settings))
        try:
            if await shelves.alive():
                return Opened(Board(case.use_case, count, shelves), True)
        except (RedisError, OSError) as error:
            raise unreachable(case, error) from error
        return Opened(Board(case.use_case, count, await self._topics()), False)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()

    async def _partitions(self) -> int:
        if self._count is None or monotonic() - self._count[0] > COUNT_S:
            count = await partitions_of(self._case.use_case, self._case.settings)
            self._count = monotonic(), count
        return self._count[1]

    async def _topics(self) -> MemoryShelves:
        if self._gathered is None or monotonic() - self._gathered[0] > GATHER_S:
            shelves = await gathered(self._case.loaded, self._case.settings)
            self._gathered = monotonic(), shelves
        return self._gathered[1]


def unreachable(case: Case, error: Exception) -> Unavailable:
    """What to say when Redis fails, without its credentials."""
    place = case.settings.redis_place()
    return Unavailable(
        f"Redis at {place} does not answer ({type(error).__name__}). See `riverrun doctor`."
    )
