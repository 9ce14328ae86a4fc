"""Checks for settings that would give a connection with less security than was asked for.

aiokafka connects in plain text when SASL is named without a TLS context, and ignores credentials
in an address; whoever sets these means them to be used. All checks raise `ValueError` without any
secret in it, except that a misspelt name is `ConfigError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from streams.config.settings import Settings

SNAPSHOT_KEY_BYTES_MIN = 16
# A misspelt one of these would otherwise be a connection without security.
SECURITY_NAMES = re.compile(r"(KAFKA_(SASL|SSL|SECURITY)|REDIS_SSL)_")
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")


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
    """Refuse a wrong address without repeating it: it may hold a password."""
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
    _check_tokens(s)
    by_password = s.kafka_sasl_mechanism != "OAUTHBEARER"
    if protocol.startswith("SASL") and by_password and not all(credentials):
        raise ValueError(f"{protocol} needs both KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
    tls = s.kafka_ssl_cafile or s.kafka_ssl_certfile or s.kafka_ssl_keyfile
    if tls and not protocol.endswith("SSL"):
        raise ValueError(
            f"KAFKA_SSL_* is set, but KAFKA_SECURITY_PROTOCOL is "
            f"{s.kafka_security_protocol or 'not set'}: nothing would be encrypted. Set it to SSL "
            "or SASL_SSL"
        )
    for server in ("kafka", "redis"):
        for rest in ("keyfile", "key_password"):
            if getattr(s, f"{server}_ssl_{rest}") and not getattr(s, f"{server}_ssl_certfile"):
                name = f"{server}_ssl_{rest}".upper()
                raise ValueError(f"{name} is set without {server.upper()}_SSL_CERTFILE")
    url = s.redis_url.get_secret_value() if s.redis_url else ""
    if (s.redis_ssl_cafile or s.redis_ssl_certfile) and not url.startswith("rediss:"):
        raise ValueError(
            "REDIS_SSL_* is set, but REDIS_URL is not of the form rediss://…: nothing would be "
            "encrypted"
        )
    if protocol != "PLAINTEXT" and s.kafka_bootstrap_servers is None:
        raise ValueError(
            f"KAFKA_SECURITY_PROTOCOL={protocol} is set without KAFKA_BOOTSTRAP_SERVERS. Name "
            "your servers, or unset it: the embedded ones have a password of their own"
        )
    key = s.riverrun_snapshot_key
    if key is not None and len(key.get_secret_value()) < SNAPSHOT_KEY_BYTES_MIN:
        raise ValueError(f"RIVERRUN_SNAPSHOT_KEY is shorter than {SNAPSHOT_KEY_BYTES_MIN} bytes")


TOKEN_SETTINGS = {
    "oidc": ("kafka_sasl_oauth_token_url", "kafka_sasl_oauth_client_id"),
    "file": ("kafka_sasl_token_file",),
    "aws": ("kafka_sasl_aws_region",),
    "azure": ("kafka_sasl_oauth_scope",),
}
"""What each source of tokens needs."""


def _check_tokens(s: Settings) -> None:
    """Refuse settings of tokens that would not be used, or that cannot give one."""
    source, bearer = s.kafka_sasl_token_source, s.kafka_sasl_mechanism == "OAUTHBEARER"
    if not bearer:
        names = [name for name in type(s).model_fields if name.startswith(_OF_TOKENS)]
        if used := [name.upper() for name in names if getattr(s, name)]:
            raise ValueError(f"{used[0]} is set, but KAFKA_SASL_MECHANISM is not OAUTHBEARER")
        return
    if s.kafka_sasl_username or s.kafka_sasl_password:
        raise ValueError(
            "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are not used with OAUTHBEARER. Unset "
            "them, or name another KAFKA_SASL_MECHANISM"
        )
    if source is None:
        raise ValueError("OAUTHBEARER needs KAFKA_SASL_TOKEN_SOURCE: oidc, file, aws or azure")
    if missing := [name.upper() for name in TOKEN_SETTINGS[source] if not getattr(s, name)]:
        raise ValueError(f"KAFKA_SASL_TOKEN_SOURCE={source} needs {' and '.join(missing)}")
    if source == "oidc":
        _check_oidc(s)


_OF_TOKENS = ("kafka_sasl_token_", "kafka_sasl_oauth_", "kafka_sasl_aws_")


def _check_oidc(s: Settings) -> None:
    if (s.kafka_sasl_oauth_client_secret is None) == (s.kafka_sasl_token_file is None):
        raise ValueError(
            "KAFKA_SASL_TOKEN_SOURCE=oidc needs either KAFKA_SASL_OAUTH_CLIENT_SECRET (or its "
            "_FILE) or KAFKA_SASL_TOKEN_FILE with the client's assertion"
        )
    parts = urlsplit(s.kafka_sasl_oauth_token_url or "")
    if parts.scheme != "https" and not (
        parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    ):
        raise ValueError(
            "KAFKA_SASL_OAUTH_TOKEN_URL must be https://…: the client's secret travels to it"
        )


def refuse_misspelt(environment: Iterable[str], fields: Iterable[str]) -> None:
    """Refuse environment variables that look like a security setting and are not one."""
    known = {name.upper() for name in fields}
    for name in environment:
        if SECURITY_NAMES.match(name.upper()) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"{name} is set, but riverrun has no such security setting.", hint=hint
            )
