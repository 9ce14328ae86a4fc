"""What each worker tells about itself, in Redis, for `riverrun status`.

One key a worker, `riverrun:status:<group>:<worker>`, rewritten about once a second, gone ten
seconds after the worker. Without Redis nobody is told and nothing stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson
import redis.asyncio as redis
from redis.exceptions import RedisError

STATUS_S = 1.0
STATUS_TTL_S = 10


def status_key(group_id: str, worker: str = "*") -> str:
    """The key of a worker's status; with no worker the pattern of all of the group."""
    return f"riverrun:status:{group_id}:{worker}"


async def publish(redis_url: str, key: str, status: Callable[[], dict[str, Any]]) -> None:
    """Tell the status about once a second, until cancelled."""
    client = redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
    taken_before, before = 0, monotonic()
    while True:
        await asyncio.sleep(STATUS_S)
        told, now = status(), monotonic()
        taken = sum(partition["records"] for partition in told["partitions"])
        told["records_per_s"] = max(0, taken - taken_before) / (now - before)
        taken_before, before = taken, now
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await client.set(key, orjson.dumps(told), ex=STATUS_TTL_S)


async def read(redis_url: str, group_id: str) -> list[dict[str, Any]]:
    """What the group's workers told last, by worker."""
    client = redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5)
    try:
        keys = sorted([key async for key in client.scan_iter(status_key(group_id))])
        values = await client.mget(keys) if keys else []
        return [orjson.loads(value) for value in values if value is not None]
    finally:
        await client.aclose()
