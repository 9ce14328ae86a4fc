"""Connections that are open and say nothing.

A network that half-opens, or a firewall that forgets, leaves a connection that no error ends.
Kafka's client waits for an answer on it for as long as the slowest request may take, 40 s by
default. What is asked here is answered in milliseconds, so a connection that owes an answer for
seconds is given up, and another takes its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic
from typing import Any

log = logging.getLogger("riverrun.silence")


class Silence:
    """How long connections have owed the same answer; as exact as it is asked often."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._owed: dict[Any, tuple[int, float]] = {}

    def beyond(self, unanswered: Iterable[tuple[Any, int]]) -> list[Any]:
        """Return connections, of all with their oldest request, that owe it for longer than the
        limit.
        """
        now, before = monotonic(), self._owed
        self._owed = {}
        for connection, request in unanswered:
            asked, since = before.get(connection, (request, now))
            self._owed[connection] = request, since if asked == request else now
        return [one for one, (_, since) in self._owed.items() if now - since > self.limit_s]

    def hang_up(self, unanswered: Iterable[tuple[Any, int]]) -> None:
        """Close those: what waits on them fails, and is asked again on a new one."""
        for connection in self.beyond(unanswered):
            log.warning(
                "no answer from %s:%d for %.0f s: reconnecting",
                *(connection.host, connection.port, self.limit_s),
            )
            connection.close()
