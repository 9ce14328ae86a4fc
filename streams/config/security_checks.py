"""Which settings would be a connection with less security than was asked for.

aiokafka connects in plain text when SASL is named without a TLS context, and ignores credentials
in an address; whoever sets these means them to be used. All checks raise `ValueError` without any
secret in it, except that a misspelt name is `Misdeclared`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from schemas.errors import Misdeclared

if TYPE_CHECKING:
    from streams.settings import Settings

SNAPSHOT_KEY_BYTES_MIN = 16
# A misspelt one of these would otherwise be a connection without security.
SECURITY_NAMES = re.compile(r"KAFKA_(SASL|SSL|SECURITY)_")


def check_addresses(servers: str) -> None:
    """Refuse anything but host:port, comma separated."""
    if "@" in servers:
        raise ValueError(
            "KAFKA_BOOTSTRAP_SERVERS holds credentials, which Kafka clients would ignore. Set "
            "KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD instead"
        )
    if "://" in servers:
        raise ValueError(
            "KAFKA_BOOTSTRAP_SERVERS takes host:port, comma separated, without a scheme. The "
            "protocol is KAFKA_SECURITY_PROTOCOL"
        )
    for address in servers.split(","):
        if not re.fullmatch(r"\s*(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):\d{1,5}\s*", address):
            raise ValueError(
                f"KAFKA_BOOTSTRAP_SERVERS: {address.strip()!r} is not of the form host:port"
            )


def check_redis_url(url: str) -> None:
    """Say what is wrong with the address, without repeating it: it may hold a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("redis", "rediss") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = None
    if not usable:
        raise ValueError("REDIS_URL must be redis://[user:password@]host:port/0 or rediss://…")


def check_security(s: Settings) -> None:
    """Refuse settings that contradict each other."""
    protocol = s.kafka_security_protocol or "PLAINTEXT"
    credentials = s.kafka_sasl_username, s.kafka_sasl_password
    if not protocol.startswith("SASL") and (any(credentials) or s.kafka_sasl_mechanism):
        raise ValueError(
            "KAFKA_SASL_* is set, but KAFKA_SECURITY_PROTOCOL is "
            f"{s.kafka_security_protocol or 'not set'}: the credentials would not be used. Set it "
            "to SASL_SSL (or, on a network that you trust, SASL_PLAINTEXT)"
        )
    if protocol.startswith("SASL") and not all(credentials):
        raise ValueError(f"{protocol} needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
    tls = s.kafka_ssl_cafile or s.kafka_ssl_certfile or s.kafka_ssl_keyfile
    if tls and not protocol.endswith("SSL"):
        raise ValueError(
            f"KAFKA_SSL_* is set, but KAFKA_SECURITY_PROTOCOL is "
            f"{s.kafka_security_protocol or 'not set'}: nothing would be encrypted. Set it to SSL "
            "or SASL_SSL"
        )
    if s.kafka_ssl_keyfile and not s.kafka_ssl_certfile:
        raise ValueError("KAFKA_SSL_KEYFILE is set without KAFKA_SSL_CERTFILE")
    if protocol != "PLAINTEXT" and s.kafka_bootstrap_servers is None:
        raise ValueError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} is set without KAFKA_BOOTSTRAP_SERVERS; the "
            "embedded servers have no such security"
        )
    key = s.riverrun_snapshot_key
    if key is not None and len(key.get_secret_value()) < SNAPSHOT_KEY_BYTES_MIN:
        raise ValueError(f"RIVERRUN_SNAPSHOT_KEY is shorter than {SNAPSHOT_KEY_BYTES_MIN} bytes")


def refuse_misspelt(environment: Iterable[str], fields: Iterable[str]) -> None:
    """Refuse names of the environment that look like a security setting and are none."""
    known = {name.upper() for name in fields}
    for name in environment:
        if SECURITY_NAMES.match(name.upper()) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else ""
            raise Misdeclared(
                f"{name} is set, but riverrun has no such security setting.", mend=hint
            )
