"""A bearer token with its end, and what can go wrong with fetching one.

Errors are aiokafka's own kinds, so that its client treats them as it treats a broker's: what may
pass is tried again, what was refused is not. No message holds a token or a secret.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple, Protocol

from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError


class Token(NamedTuple):
    """What is sent to Kafka; `expires_at` in seconds since the epoch."""

    value: str
    expires_at: float


class TokenUnavailable(KafkaConnectionError):  # type: ignore[misc]  # aiokafka has no types
    """No token can be had at the moment; the next attempt may give one."""


class TokenRefused(AuthenticationFailedError):  # type: ignore[misc]  # aiokafka has no types
    """Whoever issues tokens refuses to give one: a client id, secret, scope or grant is wrong."""


class TokenSource(Protocol):
    """Where tokens come from. Hashable: one provider serves all clients of the same source."""

    def fetch(self) -> Token:
        """Return a new token; blocks. Raises `TokenUnavailable` or `TokenRefused`."""


def expiry_of(jwt: str) -> float | None:
    """Return the `exp` claim of a JSON Web Token; None if it is no such token or has none.

    The signature is not looked at: the broker checks it, and only the time of renewal depends on
    what is read here.

    >>> expiry_of("e30.eyJleHAiOiAxNzAwMDAwMDAwfQ.c2ln")
    1700000000.0
    >>> expiry_of("opaque") is None
    True
    """
    parts = jwt.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None
