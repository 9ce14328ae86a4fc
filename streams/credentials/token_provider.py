"""One token for all Kafka clients of a process, fetched again before it expires.

A token is renewed after four fifths of its life. If that fails, the old one serves until it
expires, and the source is asked again every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from streams.credentials.token import Token, TokenSource

log = logging.getLogger("riverrun.credentials")

RENEW_AFTER = 0.8
"""Share of a token's life after which the next one is fetched."""

RETRY_S = 5.0
"""Seconds between two attempts while the old token still serves."""


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """What aiokafka asks for tokens. Any thread and any event loop may ask; one token is kept."""

    def __init__(
        self,
        source: TokenSource,
        extensions: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._extensions = dict(extensions or {})
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._renew_at = 0.0

    async def token(self) -> str:
        """Return a token that has not expired.

        Raises `TokenUnavailable` or `TokenRefused` when there is none.
        """
        token = self._token
        if token is not None and self._clock() < self._renew_at:
            return token.value
        return await asyncio.to_thread(self.renewed)

    def extensions(self) -> dict[str, str]:
        """Return what is sent beside the token (KIP-342)."""
        return self._extensions

    def renewed(self) -> str:
        """Return the token, fetched again if it is due; blocks. Raises as `token`."""
        with self._lock:
            now = self._clock()
            if self._token is not None and now < self._renew_at:
                return self._token.value
            try:
                token = self._source.fetch()
            except KafkaError as error:
                if self._token is None or self._token.expires_at <= now:
                    raise
                left_s = self._token.expires_at - now
                log.warning("the old token serves for another %.0f s: %s", left_s, error)
                self._renew_at = min(now + RETRY_S, self._token.expires_at)
                return self._token.value
            self._token = token
            self._renew_at = now + RENEW_AFTER * (token.expires_at - now)
            return token.value


@lru_cache
def provider_of(source: TokenSource, extensions: tuple[tuple[str, str], ...] = ()) -> TokenProvider:
    """Return this process's provider for a source: all its clients share one token."""
    return TokenProvider(source, dict(extensions))
