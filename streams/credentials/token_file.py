"""Tokens that something else writes into a file and renews there, as Kubernetes does for a pod."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from streams.credentials.token import Token, TokenUnavailable, expiry_of

REREAD_S = 60.0
"""A token that does not tell its end is read again after so long."""


@dataclass(frozen=True)
class FileTokens:
    """A file that holds a token for Kafka itself."""

    path: Path

    def fetch(self) -> Token:
        """Read the file; see `TokenSource`."""
        return read_token(self.path)


def read_token(path: Path) -> Token:
    """Return the token in a file. Raises `TokenUnavailable` if there is none that still holds."""
    try:
        value = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenUnavailable(f"{path} cannot be read: {type(error).__name__}") from None
    if not value or any(c.isspace() for c in value):
        raise TokenUnavailable(f"{path} does not hold one token")
    now = time.time()
    expires_at = expiry_of(value)
    if expires_at is not None and expires_at <= now:
        raise TokenUnavailable(
            f"the token in {path} expired {now - expires_at:.0f} s ago: what writes the file does "
            "not renew it"
        )
    return Token(value, expires_at or now + REREAD_S)
