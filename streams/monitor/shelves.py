"""Where rows are kept: Redis, filled by the monitor, or memory, filled from the topics.

    riverrun:monitor:4:{<group>}:shelf:<name>      a hash, one field a row
    riverrun:monitor:4:{<group>}:shelves           the names of all shelves
    riverrun:monitor:4:{<group>}:at:<kind>:<n>     offset after the last record taken of partition n
    riverrun:monitor:4:{<group>}:alive             told by the monitor, gone ten seconds after it
    riverrun:monitor:4:{<group>}:leader            which of several monitors watches for alerts

Rows and positions are written in one MULTI/EXEC under WATCH of the positions: whoever knows of
another position than what is stored is outrun and reads its positions again. So a monitor that was
killed, frozen or doubled leaves the same rows, and one that finds Redis empty begins anew. The
braces make it one slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import redis.asyncio as redis
from redis.exceptions import WatchError

from streams import status
from streams.monitor.rows import Row, entry_of, keep_of, newest

Shelf = Mapping[str, bytes]
Place = tuple[str, int]
"""A topic's kind and a partition."""

FORMAT = 4
"""Of the rows: whoever expects others fills shelves of its own from the topics."""

ALIVE_S = 10
TIDY_SHARE = 1.25
TIMEOUT_S = 5.0


class Source(Protocol):
    """Shelves of one use case to read from."""

    async def shelves(self, names: Sequence[str]) -> list[Shelf]:
        """Their entries that count; empty for one that is not there."""

    async def picked(self, names: Sequence[str], fields: Sequence[str]) -> list[Shelf]:
        """Of each shelf only these fields, where it has them."""

    async def named(self, beginning: str) -> list[str]:
        """The names of shelves that begin so, sorted."""

    async def workers(self) -> list[dict[str, Any]]:
        """What each worker told in the last seconds (streams/worker.py: status)."""


class Outrun(Exception):
    """The stored positions are not those that the writer knows of; nothing was written."""


def connect(redis_url: str) -> Any:
    """A client that gives up rather than waits."""
    return redis.from_url(redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


class RedisShelves:
    """The shelves of one use case in Redis. Errors of the client go through."""

    def __init__(self, client: Any, group: str) -> None:
        self._client = client
        self._group = group
        self._prefix = f"riverrun:monitor:{FORMAT}:{{{group}}}"

    # Reading.

    async def shelves(self, names: Sequence[str]) -> list[Shelf]:
        """Their entries that count; empty for one that is not there."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(self._shelf(name))
        found = await pipe.execute() if names else []
        return [
            counting(name, {field.decode(): value for field, value in shelf.items()})
            for name, shelf in zip(names, found, strict=True)
        ]

    async def picked(self, names: Sequence[str], fields: Sequence[str]) -> list[Shelf]:
        """Of each shelf only these fields, where it has them."""
        if not names or not fields:
            return [{} for _ in names]
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hmget(self._shelf(name), fields)
        return [
            {field: v for field, v in zip(fields, values, strict=True) if v is not None}
            for values in await pipe.execute()
        ]

    async def named(self, beginning: str) -> list[str]:
        """The names of shelves that begin so, sorted."""
        names = [name.decode() for name in await self._client.smembers(f"{self._prefix}:shelves")]
        return sorted(name for name in names if name.startswith(beginning))

    async def workers(self) -> list[dict[str, Any]]:
        """What each worker told in the last seconds."""
        return await status.told(self._client, self._group)

    async def alive(self) -> bool:
        """Whether a monitor fills these shelves."""
        return bool(await self._client.exists(f"{self._prefix}:alive"))

    # Writing: the monitor alone.

    async def positions(self, places: Iterable[Place]) -> dict[Place, int]:
        """Where the rows of these end; a place that nothing was taken of is missing."""
        wanted = list(places)
        found = await self._client.mget([self._at(place) for place in wanted]) if wanted else []
        return {p: int(at) for p, at in zip(wanted, found, strict=True) if at is not None}

    async def put(
        self, rows: Iterable[Row], before: Mapping[Place, int | None], after: Mapping[Place, int]
    ) -> None:
        """Put rows and positions together; raises `Outrun` unless the stored ones are `before`."""
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(*(self._at(place) for place in before))
            stored = await pipe.mget([self._at(place) for place in before])
            if [None if at is None else int(at) for at in stored] != list(before.values()):
                raise Outrun
            pipe.multi()
            self._fill(pipe, rows)
            for place, at in after.items():
                pipe.set(self._at(place), at)
            try:
                await pipe.execute()
            except WatchError as error:
                raise Outrun from error

    async def add(self, rows: Iterable[Row]) -> None:
        """Put rows that come of no topic."""
        async with self._client.pipeline(transaction=True) as pipe:
            self._fill(pipe, rows)
            await pipe.execute()

    def _fill(self, pipe: Any, rows: Iterable[Row]) -> None:
        shelves: dict[str, dict[str, bytes]] = {}
        for row in rows:
            shelves.setdefault(row.shelf, {})[row.field] = row.value
        for name, fields in shelves.items():
            pipe.hset(self._shelf(name), mapping=fields)
        if shelves:
            pipe.sadd(f"{self._prefix}:shelves", *shelves)

    async def tidy(self, names: Iterable[str]) -> None:
        """Remove what counts no more, of shelves that have outgrown their bound by a quarter."""
        for name in names:
            keep = keep_of(name)
            if keep is None or await self._client.hlen(self._shelf(name)) <= keep * TIDY_SHARE:
                continue
            fields = [field.decode() for field in await self._client.hkeys(self._shelf(name))]
            kept = newest(fields, keep)
            gone = [field for field in fields if entry_of(field) not in kept]
            if gone:
                await self._client.hdel(self._shelf(name), *gone)

    async def clear(self) -> None:
        """Forget everything: the topics are others than those that were read."""
        names = await self.named("")
        keys = [self._shelf(name) for name in names]
        async for key in self._client.scan_iter(f"{self._prefix}:at:*"):
            keys.append(key)  # noqa: PERF401 - redis has no list of them
        await self._client.delete(*keys, f"{self._prefix}:shelves")

    async def lead(self, who: str) -> bool:
        """Whether it is `who` that watches for alerts; it is, if nobody else does."""
        key = f"{self._prefix}:leader"
        if await self._client.set(key, who, nx=True, ex=ALIVE_S):
            return True
        if await self._client.get(key) != who.encode():
            return False
        await self._client.expire(key, ALIVE_S)
        return True

    async def tell_alive(self) -> None:
        """Say that a monitor is there."""
        await self._client.set(f"{self._prefix}:alive", b"1", ex=ALIVE_S)

    def _shelf(self, name: str) -> str:
        return f"{self._prefix}:shelf:{name}"

    def _at(self, place: Place) -> str:
        return f"{self._prefix}:at:{place[0]}:{place[1]}"


class MemoryShelves:
    """Shelves filled in this process; `told` is what workers told, where it is known."""

    def __init__(self, told: Sequence[dict[str, Any]] = ()) -> None:
        self._shelves: dict[str, dict[str, bytes]] = {}
        self._told = list(told)

    def put(self, rows: Iterable[Row]) -> None:
        """Put rows."""
        for row in rows:
            self._shelves.setdefault(row.shelf, {})[row.field] = row.value

    async def shelves(self, names: Sequence[str]) -> list[Shelf]:
        """Their entries that count; empty for one that is not there."""
        return [counting(name, self._shelves.get(name, {})) for name in names]

    async def picked(self, names: Sequence[str], fields: Sequence[str]) -> list[Shelf]:
        """Of each shelf only these fields, where it has them."""
        found = [self._shelves.get(name, {}) for name in names]
        return [{field: shelf[field] for field in fields if field in shelf} for shelf in found]

    async def named(self, beginning: str) -> list[str]:
        """The names of shelves that begin so, sorted."""
        return sorted(name for name in self._shelves if name.startswith(beginning))

    async def workers(self) -> list[dict[str, Any]]:
        """What workers told."""
        return self._told


def counting(name: str, shelf: Mapping[str, bytes]) -> Shelf:
    """The entries of a shelf that count, in the order of their fields."""
    kept = newest(shelf, keep_of(name))
    return {field: shelf[field] for field in sorted(shelf) if entry_of(field) in kept}
