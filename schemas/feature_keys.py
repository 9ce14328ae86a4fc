"""Features by key, as the feature store keeps them: the newest vector of each entity, in Redis.

    riverrun:features:{<prefix><use case>}:<entity>    a hash: t event time µs, s step, p partition,
                                                       v the record of the features topic
    riverrun:features:{<prefix><use case>}             a hash: partition → next offset of that topic

`riverrun.client.FeatureReader` reads them. What is stored was committed before. It is a cache of
the topic: after a FLUSHALL the workers fill it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Served:
    """The newest features of one entity, with their event and their journal position."""

    entity: str
    features: dict[str, Any]
    event_id: str
    event_time: datetime
    partition: int
    step: int


def entity_key(use_case: str, entity: str, prefix: str = "") -> str:
    """Return the Redis key of an entity; the braces keep a use case in one slot of a cluster.

    >>> entity_key("flight_eta", "EWR")
    'riverrun:features:{flight_eta}:EWR'
    """
    return f"{place_key(use_case, prefix)}:{entity}"


def place_key(use_case: str, prefix: str = "") -> str:
    """Return the Redis key of the offsets up to which each partition's features are stored."""
    return f"riverrun:features:{{{prefix}{use_case}}}"


def served(entity: str, partition: bytes, value: bytes) -> Served:
    """Return an entity's partition and its features record, decoded from the hash."""
    record = orjson.loads(value)
    return Served(
        entity,
        record["features"],
        record["event_id"],
        datetime.fromisoformat(record["event_time"]),
        int(partition),
        record["step"],
    )
