"""The addresses of Kafka and Redis, riverrun's identity there, and its connection arguments."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from schemas.errors import ConfigError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
TokenSourceName = Literal["oidc", "file", "aws", "azure"]


class ServerSettings(BaseSettings):
    """What the two servers' clients need. Fields are named as the environment's."""

    kafka_bootstrap_servers: str | None = Field(
        None, description="`host:port`, comma separated. None: the embedded servers."
    )
    kafka_security_protocol: Protocol | None = Field(
        None,
        description="`PLAINTEXT` (what none means), `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. Without "
        "`SSL`, data and a `PLAIN` password can be read on the network.",
    )
    kafka_sasl_mechanism: Mechanism | None = Field(
        None,
        description="`PLAIN` (what none means), `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`.",
    )
    kafka_sasl_username: str | None = Field(None, description="Who riverrun is to Kafka.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Its password.")
    kafka_sasl_password_file: Path | None = Field(None, description="A file that holds it.")
    kafka_sasl_token_source: TokenSourceName | None = Field(
        None,
        description="Where tokens for `OAUTHBEARER` come from: `oidc` (a token endpoint), `file`, "
        "`aws` (IAM of MSK) or `azure` (Entra ID, for Event Hubs); see "
        "[OPERATIONS](../how-to/OPERATIONS.md#tokens).",
    )
    kafka_sasl_token_file: Path | None = Field(
        None,
        description="With `file`: a file that holds the token. With `oidc`: one that holds the "
        "client's signed assertion, in place of a secret. Read again whenever a token is due.",
    )
    kafka_sasl_oauth_token_url: str | None = Field(
        None, description="The token endpoint of an OpenID Connect provider; `https`."
    )
    kafka_sasl_oauth_client_id: str | None = Field(None, description="Who riverrun is to it.")
    kafka_sasl_oauth_client_secret: SecretStr | None = Field(None, description="Its secret there.")
    kafka_sasl_oauth_client_secret_file: Path | None = Field(
        None, description="A file that holds it."
    )
    kafka_sasl_oauth_scope: str | None = Field(
        None,
        description="What is asked for, separated by spaces. With `azure`: "
        "`https://NAMESPACE.servicebus.windows.net/.default`.",
    )
    kafka_sasl_oauth_extensions: str = Field(
        "",
        description="Sent to Kafka beside the token, `name=value` with commas between "
        "(Confluent Cloud: `logicalCluster=lkc-…,identityPoolId=pool-…`).",
    )
    kafka_sasl_oauth_cafile: Path | None = Field(
        None, description="Certificates to trust at the token endpoint (PEM); none: the system's."
    )
    kafka_sasl_aws_region: str | None = Field(
        None, description="With `aws`: the region of the MSK cluster."
    )
    kafka_ssl_cafile: Path | None = Field(
        None, description="Certificates to trust (PEM); none: the system's."
    )
    kafka_ssl_certfile: Path | None = Field(
        None, description="Client certificate (PEM), for mutual TLS."
    )
    kafka_ssl_keyfile: Path | None = Field(None, description="Its key (PEM).")
    kafka_ssl_key_password: SecretStr | None = Field(
        None, description="The key's password, where it is encrypted."
    )
    kafka_ssl_key_password_file: Path | None = Field(None, description="A file that holds it.")
    schema_registry_url: str | None = Field(
        None, description="Where schemas of sources and predictions are. None: no Schema Registry."
    )
    schema_registry_username: str | None = Field(None, description="Who riverrun is to it.")
    schema_registry_password: SecretStr | None = Field(None, description="Its password.")
    schema_registry_password_file: Path | None = Field(None, description="A file that holds it.")
    schema_registry_cafile: Path | None = Field(
        None, description="Certificates to trust there (PEM); none: the system's."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://` or `rediss://` (TLS), with credentials: "
        "`rediss://USER:PASSWORD@HOST:PORT/0` for a user of its access lists.",
    )
    redis_url_file: Path | None = Field(None, description="A file that holds it.")
    redis_ssl_cafile: Path | None = Field(
        None, description="Certificates to trust (PEM); none: the system's."
    )
    redis_ssl_certfile: Path | None = Field(
        None, description="Client certificate (PEM), for mutual TLS."
    )
    redis_ssl_keyfile: Path | None = Field(None, description="Its key (PEM).")
    redis_ssl_key_password: SecretStr | None = Field(
        None, description="The key's password, where it is encrypted."
    )
    redis_ssl_key_password_file: Path | None = Field(None, description="A file that holds it.")

    def kafka_client(self) -> dict[str, Any]:
        """Return the connection arguments of every aiokafka client, `ssl_context` included.

        Raises `ConfigError` if there is no address, if TLS is asked for and its files do not make
        a context, or if a library that gives tokens is missing.
        """
        if self.kafka_bootstrap_servers is None:
            raise ConfigError(
                "KAFKA_BOOTSTRAP_SERVERS is not set.", hint="`riverrun up` starts a Kafka."
            )
        protocol = self.kafka_security_protocol or "PLAINTEXT"
        client: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": protocol,
        }
        if protocol.endswith("SSL"):
            client["ssl_context"] = self._ssl_context()
        if protocol.startswith("SASL"):
            client |= self._sasl()
        return client

    def _sasl(self) -> dict[str, Any]:
        from streams.credentials import reauthentication

        reauthentication.install()
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            return {
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauth_token_provider": self.kafka_tokens(),
            }
        assert self.kafka_sasl_password is not None
        return {
            "sasl_mechanism": self.kafka_sasl_mechanism or "PLAIN",
            "sasl_plain_username": self.kafka_sasl_username,
            "sasl_plain_password": self.kafka_sasl_password.get_secret_value(),
        }

    def kafka_tokens(self) -> Any:
        """Return the provider of tokens for Kafka; the mechanism is OAUTHBEARER."""
        from streams.credentials.token_provider import provider_of

        pairs = [pair.partition("=") for pair in self.kafka_sasl_oauth_extensions.split(",")]
        extensions = tuple((name.strip(), value.strip()) for name, _, value in pairs if name)
        return provider_of(self._token_source(), extensions)

    def _token_source(self) -> Any:
        from streams.credentials import cloud_identity as cloud
        from streams.credentials.oidc import OidcTokens
        from streams.credentials.token_file import FileTokens

        if self.kafka_sasl_token_source == "aws":
            cloud.require(cloud.AWS, "aws")
            return cloud.AwsTokens(self.kafka_sasl_aws_region or "")
        if self.kafka_sasl_token_source == "azure":
            cloud.require(cloud.AZURE, "azure")
            return cloud.AzureTokens(self.kafka_sasl_oauth_scope or "")
        if self.kafka_sasl_token_source == "file":
            assert self.kafka_sasl_token_file is not None
            return FileTokens(self.kafka_sasl_token_file)
        secret = self.kafka_sasl_oauth_client_secret
        return OidcTokens(
            self.kafka_sasl_oauth_token_url or "",
            self.kafka_sasl_oauth_client_id or "",
            None if secret is None else secret.get_secret_value(),
            self.kafka_sasl_token_file,
            self.kafka_sasl_oauth_scope,
            self.kafka_sasl_oauth_cafile,
        )

    def redis_address(self) -> str:
        """Return the URL for redis-py, with the files of its TLS.

        Raises `ConfigError` if there is none, or if a file does not hold what it should.
        """
        if self.redis_url is None:
            raise ConfigError("REDIS_URL is not set.", hint="`riverrun up` starts a Redis.")
        url, secret = self.redis_url.get_secret_value(), self.redis_ssl_key_password
        if not (self.redis_ssl_cafile or self.redis_ssl_certfile):
            return url
        password = None if secret is None else secret.get_secret_value()
        cafile, certfile, keyfile = (
            self.redis_ssl_cafile,
            self.redis_ssl_certfile,
            self.redis_ssl_keyfile,
        )
        tls_context("REDIS", cafile, certfile, keyfile, password)
        files = {
            "ssl_ca_certs": cafile,
            "ssl_certfile": certfile,
            "ssl_keyfile": keyfile,
            "ssl_password": password,
        }
        given = {name: str(value) for name, value in files.items() if value}
        query = urlencode(given, quote_via=quote)
        return f"{url}{'&' if urlsplit(url).query else '?'}{query}"

    def public_redis_address(self) -> str:
        """Return the Redis address without its credentials, for people."""
        if self.redis_url is None:
            return "(none)"
        parts = urlsplit(self.redis_url.get_secret_value())
        return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"

    def _ssl_context(self) -> ssl.SSLContext:
        password = self.kafka_ssl_key_password
        return tls_context(
            "KAFKA",
            self.kafka_ssl_cafile,
            self.kafka_ssl_certfile,
            self.kafka_ssl_keyfile,
            None if password is None else password.get_secret_value(),
        )


def tls_context(
    server: str,
    cafile: Path | str | None,
    certfile: Path | str | None,
    keyfile: Path | str | None,
    password: str | None,
) -> ssl.SSLContext:
    """Return a context that verifies the server, with the client's certificate if there is one.

    Raises `ConfigError`, which names the settings of `server`, for files that cannot be used.
    """
    names = f"{server}_SSL_CAFILE, {server}_SSL_CERTFILE and {server}_SSL_KEYFILE (PEM files)"
    try:
        context = ssl.create_default_context(cafile=cafile)
        if certfile:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(certfile, keyfile, password if password else _ask_nobody)
    except _KeyIsEncrypted:
        raise ConfigError(
            f"The key of {server}_SSL_CERTFILE is encrypted, and there is no password for it.",
            hint=f"Set {server}_SSL_KEY_PASSWORD or {server}_SSL_KEY_PASSWORD_FILE.",
        ) from None
    except (OSError, ssl.SSLError) as error:
        wrong = f", or {server}_SSL_KEY_PASSWORD is not the key's" if password else ""
        raise ConfigError(
            f"TLS for {server.capitalize()} cannot be set up: {error}.",
            hint=f"See {names}{wrong}.",
        ) from error
    return context


class _KeyIsEncrypted(Exception):
    """OpenSSL asks for a key's password."""


def _ask_nobody() -> str:
    raise _KeyIsEncrypted
