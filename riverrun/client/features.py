"""Features by key, read from the feature store in Redis (`schemas.feature_keys`).

    with FeatureReader("redis://localhost:6379/0", "flight_eta") as features:
        newark = features.get("EWR")

Needs the package `redis` and nothing else: `pip install 'riverrun[consumer]'`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from riverrun.client.packages import needed
from schemas.errors import Unavailable
from schemas.feature_keys import Served, entity_key, served


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

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, entity: str) -> Served | None:
        """Return the newest features of an entity; None if it has none."""
        return self.many([entity])[0]

    def many(self, entities: Iterable[str]) -> list[Served | None]:
        """Return the newest features of each entity, in one round trip."""
        names = list(entities)
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            pipe.hmget(entity_key(self._use_case, name, self._prefix), "p", "v")
        try:
            values = pipe.execute()
        except (self._redis.RedisError, OSError) as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from error
        return [
            None if value is None else served(name, partition, value)
            for name, (partition, value) in zip(names, values, strict=True)
        ]
