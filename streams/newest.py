"""The newest record of each key of compacted topics: what counts on them now."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from streams.settings import Settings
from streams.tapes import Tapes


async def newest(topics: Collection[str], settings: Settings) -> list[dict[str, Any]]:
    """The newest value of each key of each partition, in the order in which keys first came.

    Memory: one value a key. Raises `Unavailable` if there is no such topic, or no Kafka.
    """
    found: dict[tuple[str, int, bytes], bytes] = {}
    async with Tapes(topics, settings, required=True) as reader:
        async for records in reader.to_the_end():
            for record in records:
                place = record.topic, record.partition, record.key
                if record.value is None:
                    found.pop(place, None)
                else:
                    found[place] = record.value
    return [orjson.loads(value) for value in found.values()]
