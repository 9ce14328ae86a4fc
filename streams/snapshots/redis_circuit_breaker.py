"""One circuit breaker for all partitions of a worker: whether Redis answers, remembered for
seconds.

Without it each partition, and each recovery after the next rebalance, would wait for a silent
Redis again, while the log could have been folded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import RedisError

T = TypeVar("T")

AWAY_S = 5.0

PATIENCE_S = 2.0
"""How long a Redis that refuses is tried; a silent one takes it one time-out."""

FAILURES = (RedisError, OSError)


class RedisCircuitBreaker:
    """Opened for `AWAY_S` by any caller that waited in vain. Used from several threads."""

    def __init__(self) -> None:
        self._opened: tuple[float, str] | None = None

    def read(self, request: Callable[[], T]) -> tuple[T | None, str | None]:
        """Return the answer to a request, tried for `PATIENCE_S`, or why Redis is not asked now."""
        deadline = time.monotonic() + PATIENCE_S
        while (reason := self.reason()) is None:
            try:
                return request(), None
            except FAILURES as error:
                if time.monotonic() > deadline:
                    self.away(error)
                else:
                    time.sleep(0.2)
        return None, reason

    def away(self, error: Exception) -> None:
        """Open it: Redis did not answer."""
        self._opened = time.monotonic() + AWAY_S, str(error)

    def reason(self) -> str | None:
        """Return why Redis is not asked now; None: it may be asked."""
        opened = self._opened
        return None if opened is None or time.monotonic() >= opened[0] else opened[1]
