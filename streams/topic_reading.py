"""A topic read once from its beginning to what is its end now, committed records only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson

from models.moments import moment
from schemas.errors import Misdeclared
from streams.settings import Settings
from streams.tapes import Tapes, merged

Fields = Mapping[str, Any]


def read_topic(
    topic: str,
    settings: Settings,
    limit: int | None = None,
    on_broken: Callable[[int], None] = lambda _: None,
) -> list[Fields]:
    """The JSON objects on a topic, partitions merged by their times; other values are counted.

    Memory: all of them, at most `limit`. Raises `Misdeclared` if there is no such topic,
    `Unavailable` if Kafka does not answer.
    """
    found, broken = asyncio.run(_read(topic, settings, limit))
    if broken:
        on_broken(broken)
    return found


async def _read(topic: str, settings: Settings, limit: int | None) -> tuple[list[Fields], int]:
    found: list[Fields] = []
    broken = 0

    async def rows(records: AsyncIterator[Any]) -> AsyncIterator[Fields]:
        nonlocal broken
        async for record in records:
            fields = _fields(record.value)
            if fields is not None:
                yield fields
            elif record.value is not None:
                broken += 1

    async with Tapes([topic], settings) as tapes:
        if not tapes.places:
            raise Misdeclared(
                f"There is neither a file nor a topic named {topic!r}.",
                mend="Give a file's path, or the topic's full name.",
            )
        each = [rows(tapes.records(place)) for place in tapes.places]
        async for fields in merged(each, _time):
            found.append(fields)
            if limit is not None and len(found) >= limit:
                break
    return found, broken


def _time(fields: Fields) -> float:
    for name in ("event_time", "outcome_time"):
        time = moment(fields.get(name))
        if time is not None:
            return time
    return float("-inf")


def _fields(value: bytes | None) -> Fields | None:
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
