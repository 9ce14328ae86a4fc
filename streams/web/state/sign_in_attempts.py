"""Failed sign-in attempts by client: each delays the next response to that client.

The right secret is always accepted at once. Only a secret that a person chose can be guessed, so
for it at most `DELAYED_MAX` attempts of one client wait at the same time; a token of 192 bits
cannot, and is always checked. Memory: `CLIENTS_MAX` counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from time import monotonic

DELAY_S, DELAY_S_MAX = 0.25, 8.0
"""The first wrong secret's delay, doubled with each further one up to the maximum."""

FORGET_S = 600.0
"""A client's count is reset after so long without an attempt."""

DELAYED_MAX = 16
CLIENTS_MAX = 1_024


class SignInAttempts:
    """The failed attempts of every client. wrong: one failed, and its response waits."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._delayed: Counter[str] = Counter()

    def is_crowded(self, client: str) -> bool:
        """Return whether the most responses to this client already wait."""
        return self._delayed[client] >= DELAYED_MAX

    async def wrong(self, client: str) -> None:
        """Count a wrong secret, and wait before the response."""
        delay_s = self._count(client)
        if self.is_crowded(client):
            return
        self._delayed[client] += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self._delayed[client] -= 1
            if not self._delayed[client]:
                del self._delayed[client]

    def forget(self, client: str) -> None:
        """Reset a client's count: the right secret came."""
        self._wrong.pop(client, None)

    def _count(self, client: str) -> float:
        now = monotonic()
        count, at = self._wrong.pop(client, (0, now))
        count = 1 if now - at > FORGET_S else count + 1
        self._wrong[client] = count, now
        while len(self._wrong) > CLIENTS_MAX:
            self._wrong.popitem(last=False)
        return float(min(DELAY_S * 2.0 ** min(count - 1, 30), DELAY_S_MAX))
