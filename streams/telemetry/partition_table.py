"""The partitions of a use case as operators see them, from what its workers tell."""

from __future__ import annotations

from time import time
from typing import Any

import redis.asyncio as redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError

from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.kafka.group_members import members
from streams.telemetry import worker_status

UNTOLD = "untold"
"""The state of a partition whose worker Kafka knows of, and Redis does not."""

PROBE_KEY = "riverrun:probe"


async def workers(group_id: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the status of every worker that reported in the last seconds.

    Raise `Unavailable` without Redis.
    """
    assert settings.redis_url is not None
    try:
        return await worker_status.read(settings.redis_address(), group_id)
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.public_redis_address()} does not answer ({type(error).__name__}). "
            "See `riverrun doctor`."
        ) from error


async def heard(group_id: str, settings: Settings, topic: str, count: int) -> list[dict[str, Any]]:
    """Return every worker's status as it reported it.

    For a partition that none reports, the owner in Kafka's group.

    Such a partition is `untold`, with what keeps its worker from telling: Redis does not answer, or
    takes no writes. Where Redis is well, a partition that nobody tells of is unowned.
    """
    try:
        told = await workers(group_id, settings)
        missing = set(range(count)) - {row["partition"] for w in told for row in w["partitions"]}
        why = await refusal(settings) if missing else ""
    except Unavailable as error:
        told, missing, why = [], set(range(count)), str(error)
    return [*told, *await _untold(group_id, settings, topic, missing, why)] if why else told


async def refusal(settings: Settings) -> str:
    """Return why Redis takes no writes, with what to do; empty where it takes them."""
    assert settings.redis_url is not None
    client = redis.from_url(settings.redis_address(), socket_timeout=5, socket_connect_timeout=5)
    try:
        await client.set(PROBE_KEY, b"1", ex=1)
    except redis.ResponseError as error:
        return f"Redis at {settings.public_redis_address()} takes no writes: {refused(error)}"
    except (RedisError, OSError) as error:
        return (
            f"Redis at {settings.public_redis_address()} does not answer ({type(error).__name__})."
        )
    finally:
        await client.aclose()
    return ""


def refused(error: Exception) -> str:
    """Return why a write is refused and what to do, from the first word of Redis' error."""
    word = type(error).__name__
    if isinstance(error, ReadOnlyError):
        return "it is a replica. Give the primary's address in REDIS_URL."
    if isinstance(error, OutOfMemoryError):
        return "its memory is full. Raise maxmemory, or give riverrun a Redis of its own."
    if isinstance(error, NoPermissionError):
        return "the user may not write riverrun's keys. See the ACL in OPERATIONS."
    text = str(error).partition("\n")[0][:200]
    return f"{text or word}. Its log says more."


async def _untold(
    group_id: str, settings: Settings, topic: str, missing: set[int], why: str
) -> list[dict[str, Any]]:
    error = f"its worker's figures are not known: {why}"
    return [
        {
            "worker": member.name,
            "host": member.host,
            "pid": None,
            "ready": False,
            "time": time(),
            "partitions": [
                {"partition": number, "state": UNTOLD, "error": error, "counts": None}
                for number in member.partitions
                if number in missing
            ],
        }
        for member in await members(settings, group_id, topic)
        if missing & set(member.partitions)
    ]


def partitions(workers: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return one row a partition, also for one without an owner."""
    rows = {number: _nobody(number) for number in range(count)}
    for worker in workers:
        for row in worker["partitions"]:
            owner = {"worker": worker["worker"], "pid": worker["pid"]}
            rows[row["partition"]] = row | (row.pop("counts", None) or {}) | owner
    return [rows[number] for number in sorted(rows)]


def _nobody(number: int) -> dict[str, Any]:
    return {"partition": number, "state": "unowned", "error": "no worker owns it"}
