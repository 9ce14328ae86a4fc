"""Whether Redis is away: one verdict for all partitions of a worker, for some seconds.

Without it each partition, and each recovery after the next rebalance, would wait for a silent
Redis anew, while the log could have been folded.
"""

from __future__ import annotations

import time
from collections.abc import Callable

AWAY_S = 5.0


class RedisCircuitBreaker:
    """Given by whoever waited in vain; holds for `AWAY_S`. Used from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given: tuple[float, str] | None = None

    def away(self, error: Exception) -> None:
        """Redis did not answer."""
        self._given = self._clock() + AWAY_S, str(error)

    def reason(self) -> str | None:
        """Why nobody is to ask Redis now; None: ask."""
        given = self._given
        return None if given is None or self._clock() >= given[0] else given[1]
