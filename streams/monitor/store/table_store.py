"""The store of rows: Redis, filled by the monitor, or memory, filled from the topics.

    riverrun:monitor:5:{<group>}:table:<name>           a hash, one field a row
    riverrun:monitor:5:{<group>}:tables                 the names of all tables
    riverrun:monitor:5:{<group>}:position:<kind>:<n>    offset after the last record read of
                                                        partition n
    riverrun:monitor:5:{<group>}:alive                  set by the monitor, expires in ten seconds
    riverrun:monitor:5:{<group>}:leader                 which of several monitors evaluates alerts

Rows and positions are written in one MULTI/EXEC under WATCH of the positions: a writer that knows
other positions than the stored ones gets a `PositionConflict` and reads its positions again. So a
monitor that was killed, frozen or doubled leaves the same rows, and one that finds Redis empty
starts again. The braces put all keys into one slot of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import redis.asyncio as redis
from redis.exceptions import WatchError

from streams.monitor.store.record_rows import Row, entries_max, entry_name, newest_names
from streams.telemetry import worker_status

Table = Mapping[str, bytes]


class KindPartition(NamedTuple):
    """A partition of the topic of a kind."""

    kind: str
    partition: int


FORMAT = 5
"""The format of the rows: a monitor that expects another one fills its own tables."""

ALIVE_S = 10
TRIM_SHARE = 1.25
TIMEOUT_S = 5.0


class MetricsSource(Protocol):
    """The tables of one use case, to read from."""

    async def tables(self, names: Sequence[str]) -> list[Table]:
        """Return the entries of each table that count; empty for a missing table."""

    async def select(self, names: Sequence[str], fields: Sequence[str]) -> list[Table]:
        """Return only these fields of each table, where it has them."""

    async def workers(self) -> list[dict[str, Any]]:
        """Return the status of each worker (streams/worker/worker_process.py: status)."""


class PositionConflict(Exception):
    """The stored positions differ from those the writer knows; nothing was written."""


def connect(redis_url: str) -> Any:
    """Return a client that fails after `TIMEOUT_S` rather than waits."""
    return redis.from_url(redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


class MetricsTables:
    """The tables of one use case in Redis. Errors of the client are passed on."""

    def __init__(self, client: Any, group: str) -> None:
        self._client = client
        self._group = group
        self._prefix = f"riverrun:monitor:{FORMAT}:{{{group}}}"

    # Reading.

    async def tables(self, names: Sequence[str]) -> list[Table]:
        """Return the entries of each table that count; empty for a missing table."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(self._table_key(name))
        hashes = await pipe.execute() if names else []
        return [
            newest_entries(name, {field.decode(): value for field, value in table.items()})
            for name, table in zip(names, hashes, strict=True)
        ]

    async def select(self, names: Sequence[str], fields: Sequence[str]) -> list[Table]:
        """Return only these fields of each table, where it has them."""
        if not names or not fields:
            return [{} for _ in names]
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hmget(self._table_key(name), fields)
        return [
            {field: v for field, v in zip(fields, values, strict=True) if v is not None}
            for values in await pipe.execute()
        ]

    async def table_names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        names = await self._client.smembers(f"{self._prefix}:tables")
        return sorted(name.decode() for name in names)

    async def workers(self) -> list[dict[str, Any]]:
        """Return the status of each worker of the last seconds."""
        return await worker_status.statuses(self._client, self._group)

    async def has_live_monitor(self) -> bool:
        """Return whether a monitor fills these tables."""
        return bool(await self._client.exists(f"{self._prefix}:alive"))

    # Writing: the monitor alone.

    async def positions(self, partitions: Iterable[KindPartition]) -> dict[KindPartition, int]:
        """Return the stored position of each partition that has one."""
        keys = list(partitions)
        values = await self._client.mget([self._position_key(key) for key in keys]) if keys else []
        return {p: int(value) for p, value in zip(keys, values, strict=True) if value is not None}

    async def put(
        self,
        rows: Iterable[Row],
        before: Mapping[KindPartition, int | None],
        after: Mapping[KindPartition, int],
    ) -> None:
        """Write rows and positions together.

        Raises `PositionConflict` unless the stored positions are `before`.
        """
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(*(self._position_key(key) for key in before))
            stored = await pipe.mget([self._position_key(key) for key in before])
            if [None if position is None else int(position) for position in stored] != list(
                before.values()
            ):
                raise PositionConflict
            pipe.multi()
            self._queue(pipe, rows)
            for key, position in after.items():
                pipe.set(self._position_key(key), position)
            try:
                await pipe.execute()
            except WatchError as error:
                raise PositionConflict from error

    async def add(self, rows: Iterable[Row]) -> None:
        """Write rows that come from no topic."""
        async with self._client.pipeline(transaction=True) as pipe:
            self._queue(pipe, rows)
            await pipe.execute()

    async def remove(self, name: str, fields: Sequence[str]) -> None:
        """Remove fields of a table."""
        await self._client.hdel(self._table_key(name), *fields)

    def _queue(self, pipe: Any, rows: Iterable[Row]) -> None:
        tables: dict[str, dict[str, bytes]] = {}
        for row in rows:
            tables.setdefault(row.table, {})[row.field] = row.value
        for name, fields in tables.items():
            pipe.hset(self._table_key(name), mapping=fields)
        if tables:
            pipe.sadd(f"{self._prefix}:tables", *tables)

    async def trim(self, names: Iterable[str]) -> None:
        """Remove entries that no longer count from tables beyond `TRIM_SHARE` of their bound."""
        for name in names:
            keep = entries_max(name)
            if keep is None or await self._client.hlen(self._table_key(name)) <= keep * TRIM_SHARE:
                continue
            fields = [field.decode() for field in await self._client.hkeys(self._table_key(name))]
            names = newest_names(fields, keep)
            surplus = [field for field in fields if entry_name(field) not in names]
            if surplus:
                await self._client.hdel(self._table_key(name), *surplus)

    async def clear(self) -> None:
        """Remove all rows and positions: the topics were created again."""
        names = await self.table_names()
        keys = [self._table_key(name) for name in names]
        async for key in self._client.scan_iter(f"{self._prefix}:position:*"):
            keys.append(key)  # noqa: PERF401 - redis has no list of them
        await self._client.delete(*keys, f"{self._prefix}:tables")

    async def lead(self, monitor_id: str) -> bool:
        """Return whether `monitor_id` is the leader; it becomes so if there is none."""
        key = f"{self._prefix}:leader"
        if await self._client.set(key, monitor_id, nx=True, ex=ALIVE_S):
            return True
        if await self._client.get(key) != monitor_id.encode():
            return False
        await self._client.expire(key, ALIVE_S)
        return True

    async def renew_heartbeat(self) -> None:
        """Mark the monitor as alive for `ALIVE_S` seconds."""
        await self._client.set(f"{self._prefix}:alive", b"1", ex=ALIVE_S)

    def _table_key(self, name: str) -> str:
        return f"{self._prefix}:table:{name}"

    def _position_key(self, key: KindPartition) -> str:
        return f"{self._prefix}:position:{key.kind}:{key.partition}"


class MemoryStore:
    """Tables in this process; `workers` are the workers' statuses, where known."""

    def __init__(self, workers: Sequence[dict[str, Any]] = ()) -> None:
        self._tables: dict[str, dict[str, bytes]] = {}
        self._workers = list(workers)

    def put(self, rows: Iterable[Row]) -> None:
        """Write rows."""
        for row in rows:
            self._tables.setdefault(row.table, {})[row.field] = row.value

    async def tables(self, names: Sequence[str]) -> list[Table]:
        """Return the entries of each table that count; empty for a missing table."""
        return [newest_entries(name, self._tables.get(name, {})) for name in names]

    async def select(self, names: Sequence[str], fields: Sequence[str]) -> list[Table]:
        """Return only these fields of each table, where it has them."""
        tables = [self._tables.get(name, {}) for name in names]
        return [{field: table[field] for field in fields if field in table} for table in tables]

    async def workers(self) -> list[dict[str, Any]]:
        """Return the workers' statuses."""
        return self._workers


def newest_entries(name: str, table: Mapping[str, bytes]) -> Table:
    """Return the entries of a table that count, ordered by field."""
    names = newest_names(table, entries_max(name))
    return {field: table[field] for field in sorted(table) if entry_name(field) in names}
