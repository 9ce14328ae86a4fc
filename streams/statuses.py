"""The partitions of a use case as operators see them, from what its workers tell."""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError

from schemas.errors import Unavailable
from streams import status
from streams.settings import Settings


async def workers(group_id: str, settings: Settings) -> list[dict[str, Any]]:
    """Every worker that spoke in the last seconds; raises `Unavailable` without Redis."""
    assert settings.redis_url is not None
    try:
        return await status.read(settings.redis_url.get_secret_value(), group_id)
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"Redis at {settings.redis_place()} does not answer ({type(error).__name__}). "
            "See `riverrun doctor`."
        ) from error


def partitions(workers: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """One row a partition; one that nobody owns says so."""
    rows = {number: _nobody(number) for number in range(count)}
    for worker in workers:
        for row in worker["partitions"]:
            owner = {"worker": worker["worker"], "pid": worker["pid"]}
            rows[row["partition"]] = row | (row.pop("counts", None) or {}) | owner
    return [rows[number] for number in sorted(rows)]


def _nobody(number: int) -> dict[str, Any]:
    return {"partition": number, "state": "nobody's", "error": "no worker owns it"}
