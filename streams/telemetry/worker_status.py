"""What each worker tells about itself, in Redis, for `riverrun status`.

One key a worker, `riverrun:status:<group>:<worker>`, rewritten about once a second, gone ten
seconds after the worker, and one set of their names, so that nobody searches all of Redis. Without
Redis nobody is told and nothing stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson
import redis.asyncio as redis
from redis.exceptions import RedisError, ResponseError

STATUS_S = 1.0
STATUS_TTL_S = 10


def status_key(group_id: str, worker: str) -> str:
    """Return the key of a worker's status."""
    return f"riverrun:status:{group_id}:{worker}"


def names_key(group_id: str) -> str:
    """Return the key of the set of a group's workers."""
    return f"riverrun:status:{group_id}"


async def publish(
    redis_url: str, group_id: str, worker: str, status: Callable[[], dict[str, Any]]
) -> None:
    """Tell the status about once a second, until cancelled."""
    client = redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
    speeds = Speeds(monotonic())
    while True:
        await asyncio.sleep(STATUS_S)
        told = status()
        speeds.add_to(told, monotonic())
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            pipe = client.pipeline(transaction=False)
            pipe.set(status_key(group_id, worker), orjson.dumps(told), ex=STATUS_TTL_S)
            pipe.sadd(names_key(group_id), worker)
            await pipe.execute()


class Speeds:
    """How fast a worker and its partitions go, between two looks at their counts."""

    def __init__(self, now: float) -> None:
        self._before = now
        self._counts: dict[int, tuple[int, int]] = {}

    def add_to(self, told: dict[str, Any], now: float) -> None:
        """Write `records_per_s` and `events_per_s` into a status; what is new counts from now."""
        passed, self._before = max(now - self._before, 1e-3), now
        before, self._counts = self._counts, {}
        for row in told["partitions"]:
            counted = row["counts"]
            events = counted.get("events", 0) if isinstance(counted, dict) else 0
            counts = row["records"], events
            self._counts[row["partition"]] = counts
            was = before.get(row["partition"], counts)
            row["records_per_s"] = max(0, counts[0] - was[0]) / passed
            row["events_per_s"] = max(0, counts[1] - was[1]) / passed
        for name in ("records_per_s", "events_per_s"):
            told[name] = sum(row[name] for row in told["partitions"])


async def read(redis_url: str, group_id: str) -> list[dict[str, Any]]:
    """Return the newest status of each of the group's workers, by worker."""
    client = redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5)
    try:
        return await statuses(client, group_id)
    finally:
        await client.aclose()


async def statuses(client: Any, group_id: str) -> list[dict[str, Any]]:
    """Return the same with an open client; forget workers that are silent."""
    names = sorted(name.decode() for name in await client.smembers(names_key(group_id)))
    if not names:
        return []
    values = await client.mget([status_key(group_id, name) for name in names])
    silent = [name for name, value in zip(names, values, strict=True) if value is None]
    if silent:
        with contextlib.suppress(ResponseError):  # a replica forgets nobody
            await client.srem(names_key(group_id), *silent)
    return [orjson.loads(value) for value in values if value is not None]
