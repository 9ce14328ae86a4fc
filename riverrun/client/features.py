"""Features by key, as the feature store keeps them: the newest vector of each entity, in Redis.

    riverrun:features:{<prefix><use case>}:<entity>    a hash: t event time µs, s step, p partition,
                                                       v the record of the features topic
    riverrun:features:{<prefix><use case>}             a hash: partition → next offset of that topic

A reader needs the package `redis` and nothing else (`pip install riverrun[consumer]`):

    with FeatureReader("redis://localhost:6379/0", "flight_eta") as features:
        found = features.get("EWR")

What is stored was committed before. It is a cache of the topic: after a FLUSHALL the workers fill
it again.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import orjson

from schemas.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Served:
    """The newest features of one entity, with their event and their place in the journal."""

    entity: str
    features: dict[str, Any]
    event_id: str
    event_time: datetime
    partition: int
    step: int


def entity_key(use_case: str, entity: str, prefix: str = "") -> str:
    """The Redis key of an entity; the braces make a use case one slot of a cluster.

    >>> entity_key("flight_eta", "EWR")
    'riverrun:features:{flight_eta}:EWR'
    """
    return f"{place_key(use_case, prefix)}:{entity}"


def place_key(use_case: str, prefix: str = "") -> str:
    """The Redis key of how far each partition's topic has been stored."""
    return f"riverrun:features:{{{prefix}{use_case}}}"


def served(entity: str, partition: bytes, value: bytes) -> Served:
    """What is stored of an entity: its partition and the features record."""
    record = orjson.loads(value)
    return Served(
        entity,
        record["features"],
        record["event_id"],
        datetime.fromisoformat(record["event_time"]),
        int(partition),
        record["step"],
    )


def needed(package: str, to: str) -> Any:
    """A package that the core does not need; raises `Unavailable` that says how to get it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{to} needs the package {package}: pip install 'riverrun[consumer]'"
        ) from error


class FeatureReader:
    """Reads features by key; for threads and for one-off scripts. with → (get | many)* → left.

    `redis_url` may carry credentials and `rediss://`; they are in no message. Waits at most
    `timeout_s` for an answer, then raises `Unavailable`.
    """

    def __init__(
        self, redis_url: str, use_case: str, *, prefix: str = "", timeout_s: float = 1.0
    ) -> None:
        self._redis = needed("redis", "reading features")
        self._use_case, self._prefix = use_case, prefix
        self._client = self._redis.Redis.from_url(
            redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def get(self, entity: str) -> Served | None:
        """The newest features of an entity; None if it has none."""
        return self.many([entity])[0]

    def many(self, entities: Iterable[str]) -> list[Served | None]:
        """The newest features of each, in one round trip."""
        names = list(entities)
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hmget(entity_key(self._use_case, name, self._prefix), "p", "v")
        try:
            found = pipe.execute()
        except (self._redis.RedisError, OSError) as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error
        return [
            None if value is None else served(name, partition, value)
            for name, (partition, value) in zip(names, found, strict=True)
        ]
