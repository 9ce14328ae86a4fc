"""What the workers say of themselves in Redis, about once a second, under keys that expire."""

from __future__ import annotations

from typing import Any

import orjson
import redis

from schemas.errors import Unavailable
from streams.settings import Settings

COLUMNS = ("partition", "state", "worker", "lag", "events", "learnt", "error")


def workers(group: str, settings: Settings) -> list[dict[str, Any]]:
    """Every worker that spoke in the last seconds."""
    assert settings.redis_url is not None
    client = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=5)
    try:
        keys = sorted(client.scan_iter(f"riverrun:status:{group}:*", count=1000))
        values = client.mget(keys) if keys else []
    except (redis.RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.redis_place()} does not answer ({type(error).__name__}). "
            "See `riverrun doctor`."
        ) from error
    finally:
        client.close()
    return [orjson.loads(value) for value in values if value]


def partitions(workers: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """One row a partition; one that nobody owns says so."""
    rows = {number: _nobody(number) for number in range(count)}
    for worker in workers:
        for row in worker["partitions"]:
            rows[row["partition"]] = row | {"worker": worker["worker"], "pid": worker["pid"]}
    return [rows[number] for number in sorted(rows)]


def _nobody(number: int) -> dict[str, Any]:
    return {"partition": number, "state": "nobody's", "error": "no worker owns it"}
