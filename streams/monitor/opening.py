"""A board to read from: Redis where a monitor keeps it, else memory filled from the topics now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError

from schemas.errors import Unavailable
from streams import statuses
from streams.loading import Loaded
from streams.monitor.rows import KINDS, rows_of
from streams.monitor.shelves import MemoryShelves, RedisShelves, connect
from streams.monitor.views import Board
from streams.operating import group_of
from streams.settings import Settings
from streams.tapes import Tapes
from streams.topics import names_of, partitions_of

RECORDS_MAX = 20_000
"""Newest records that are read of a partition of each topic where no monitor runs."""


@asynccontextmanager
async def board_of(loaded: Loaded, settings: Settings) -> AsyncIterator[Board]:
    """A use case's board: what its monitor keeps, else what its topics say now, bounded.

    Raises `Unavailable` if a server does not answer or there are no topics.
    """
    count = await partitions_of(loaded.use_case, settings)
    if settings.redis_url is None:
        yield Board(loaded.use_case, count, await gathered(loaded, settings))
        return
    client = connect(settings.redis_url.get_secret_value())
    try:
        shelves = RedisShelves(client, group_of(loaded, settings))
        kept = await shelves.alive()
        yield Board(loaded.use_case, count, shelves if kept else await gathered(loaded, settings))
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.redis_place()} does not answer ({type(error).__name__}). "
            "See `riverrun doctor`."
        ) from error
    finally:
        await client.aclose()


async def gathered(loaded: Loaded, settings: Settings) -> MemoryShelves:
    """Shelves filled from the newest records of the topics; without Redis no worker is heard."""
    names = names_of(loaded.use_case, settings)
    told = []
    with suppress(Unavailable):
        if settings.redis_url is not None:
            told = await statuses.workers(group_of(loaded, settings), settings)
    shelves = MemoryShelves(told)
    kinds = {names[kind]: kind for kind in KINDS}
    async with Tapes(kinds, settings) as tapes:
        bounds = await tapes.bounds()
        for place in tapes.places:
            _, end = bounds[place]
            async for record in tapes.records(place, end - RECORDS_MAX, end):
                kind = kinds[record.topic]
                found = (record.partition, record.offset, record.timestamp, record.value)
                shelves.put(rows_of(kind, *found))
    return shelves


__all__ = ["board_of", "gathered"]
