"""Where the servers are, how to talk to them, and where this machine keeps its data.

One frozen object, built once by the command line and passed down. A value comes from a flag, else
the environment, else `.env`, else `riverrun.toml` (same names, lower case). Whatever a prediction
depends on is in the use case and not here.

Nothing falls back to plain text: settings that ask for security and cannot have it are refused.
(aiokafka would connect in plain text with SASL and no `ssl_context`, and ignore credentials in an
address.) Secrets are `SecretStr` or come from a file, and are in no message.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.errors import Misdeclared
from streams.home import make_home, write_new_key
from streams.security import check_addresses, check_redis_url, check_security, refuse_misspelt

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

SNAPSHOT_KEY_FILE = "snapshot.key"
COMPRESSION = "zstd"
"""Of all that is written to Kafka: aiokafka asks for LZ4 at level 9 (docs/adr/0053)."""
SECRETS = (
    "kafka_sasl_password",
    "redis_url",
    "riverrun_snapshot_key",
    "riverrun_ops_password",
    "riverrun_alert_webhook",
    "riverrun_alert_webhook_secret",
)
"""What can come from a file, too."""


class Settings(BaseSettings):
    """All that differs between one machine and another. Fields are named as the environment's."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=".env",
        toml_file="riverrun.toml",
        hide_input_in_errors=True,
    )

    kafka_bootstrap_servers: str | None = Field(
        None, description="`host:port`, comma separated. None: the embedded servers."
    )
    kafka_security_protocol: Protocol | None = Field(
        None, description="`PLAINTEXT` (what none means), `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."
    )
    kafka_sasl_mechanism: Mechanism | None = Field(
        None, description="`PLAIN` (what none means), `SCRAM-SHA-256` or `SCRAM-SHA-512`."
    )
    kafka_sasl_username: str | None = Field(None, description="Who riverrun is to Kafka.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Its password.")
    kafka_sasl_password_file: Path | None = Field(None, description="A file that holds it.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="Certificates to trust (PEM); none: the system's."
    )
    kafka_ssl_certfile: Path | None = Field(
        None, description="Client certificate (PEM), for mutual TLS."
    )
    kafka_ssl_keyfile: Path | None = Field(None, description="Its key (PEM).")
    redis_url: SecretStr | None = Field(
        None, description="`redis://` or `rediss://` (TLS), with credentials."
    )
    redis_url_file: Path | None = Field(None, description="A file that holds it.")
    riverrun_home: Path = Field(
        Path(".riverrun"),
        description="Folder of the embedded servers' data and of a snapshot key that was made.",
    )
    riverrun_snapshot_key: SecretStr | None = Field(
        None,
        description="Secret that signs snapshots, 16 bytes or more; all workers need the same. "
        "None: one is made in `RIVERRUN_HOME`.",
    )
    riverrun_snapshot_key_file: Path | None = Field(None, description="A file that holds it.")
    riverrun_archive: SecretStr | None = Field(
        None,
        description="fsspec URL of the snapshot archive, such as `s3://bucket/riverrun`. None: no "
        "archive.",
    )
    riverrun_archive_interval_s: float = Field(
        3_600.0,
        ge=1,
        le=86_400,
        description="Seconds between two archived snapshots of a partition: what is folded at most "
        "where Redis was lost. All of the last day are kept.",
    )
    riverrun_topic_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]*$",
        max_length=100,
        description="Put before every topic's name and into the group's; `--prefix` is the same.",
    )
    riverrun_http_host: str = Field("127.0.0.1", description="Where health is served.")
    riverrun_http_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Its port, as `--health-port`; with `--processes` the first one's, the others "
        "take those after it. 0: a free one.",
    )
    riverrun_ops_password: SecretStr | None = Field(
        None,
        description="What is asked for to act on the page (`riverrun ops`), and to read it beyond "
        "loopback; 12 characters or more. None: a token is made at each start.",
    )
    riverrun_ops_password_file: Path | None = Field(None, description="A file that holds it.")
    riverrun_ops_names: str = Field(
        "",
        description="Host names that the page answers to, comma separated, beside `localhost` and "
        "addresses.",
    )
    riverrun_alert_webhook: SecretStr | None = Field(
        None,
        description="Where the monitor posts alerts; see [ALERTS](ALERTS.md#webhooks). "
        "None: nowhere.",
    )
    riverrun_alert_webhook_file: Path | None = Field(None, description="A file that holds it.")
    riverrun_alert_webhook_secret: SecretStr | None = Field(
        None, description="Signs what is posted."
    )
    riverrun_alert_webhook_secret_file: Path | None = Field(
        None, description="A file that holds it."
    )
    riverrun_alert_limits: str = Field(
        "",
        description="What rules compare with, `lag_records=50000, gone_s=60`; see "
        "[ALERTS](ALERTS.md#limits).",
    )

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Build from flags (None: not given), environment and files; `Misdeclared` if it cannot."""
        refuse_misspelt(os.environ, cls.model_fields)
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            raise _as_misdeclared(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, environment, `.env`, `riverrun.toml`: the first that has a value decides."""
        del file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, dotenv_settings, toml

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read each secret whose file is named in the place of its value."""
        for name in SECRETS:
            if file := values.get(f"{name}_file"):
                if values.get(name):
                    raise ValueError(f"{name.upper()} and {name.upper()}_FILE are both set")
                values = {**values, name: _read_secret(name, Path(file))}
        return values

    @model_validator(mode="after")
    def _be_consistent(self) -> Self:
        if self.kafka_bootstrap_servers is not None:
            check_addresses(self.kafka_bootstrap_servers)
        if self.redis_url is not None:
            check_redis_url(self.redis_url.get_secret_value())
        check_security(self)
        return self

    @property
    def home(self) -> Path:
        """The project folder, absolute."""
        return self.riverrun_home.absolute()

    @property
    def external(self) -> bool:
        """Whether servers are given, both of them; False means the embedded ones."""
        if (self.kafka_bootstrap_servers is None) != (self.redis_url is None):
            missing = "REDIS_URL" if self.redis_url is None else "KAFKA_BOOTSTRAP_SERVERS"
            raise Misdeclared(
                f"{missing} is not set.",
                mend="Set both KAFKA_BOOTSTRAP_SERVERS and REDIS_URL, or neither for the embedded "
                "servers.",
            )
        return self.redis_url is not None

    def at(self, bootstrap_servers: str, redis_url: str) -> Self:
        """The same settings for servers that were just started."""
        servers = {
            "kafka_bootstrap_servers": bootstrap_servers,
            "redis_url": SecretStr(redis_url),
        }
        return self.model_copy(update=servers)

    def environment(self) -> dict[str, str]:
        """What hands servers, home and prefix on to a process of one's own, beside `os.environ`."""
        return {
            "PYTHONHASHSEED": "0",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers or "",
            "REDIS_URL": self.redis_url.get_secret_value() if self.redis_url else "",
            "RIVERRUN_HOME": str(self.home),
            "RIVERRUN_TOPIC_PREFIX": self.riverrun_topic_prefix,
        }

    def kafka_client(self) -> dict[str, Any]:
        """The connection arguments of every aiokafka client, `ssl_context` included.

        Raises `Misdeclared` if there is no address, or if TLS is asked for and its files do not
        make a context.
        """
        if self.kafka_bootstrap_servers is None:
            raise Misdeclared(
                "KAFKA_BOOTSTRAP_SERVERS is not set.", mend="`riverrun up` starts a Kafka."
            )
        protocol = self.kafka_security_protocol or "PLAINTEXT"
        client: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "security_protocol": protocol,
        }
        if protocol.endswith("SSL"):
            client["ssl_context"] = self._ssl_context()
        if protocol.startswith("SASL") and self.kafka_sasl_password:
            client["sasl_mechanism"] = self.kafka_sasl_mechanism or "PLAIN"
            client["sasl_plain_username"] = self.kafka_sasl_username
            client["sasl_plain_password"] = self.kafka_sasl_password.get_secret_value()
        return client

    def redis_place(self) -> str:
        """The Redis address without its credentials, for people."""
        if self.redis_url is None:
            return "(none)"
        parts = urlsplit(self.redis_url.get_secret_value())
        return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"

    def snapshot_key(self) -> bytes:
        """The secret that signs snapshots: the one given, else one made once in the home folder."""
        if self.riverrun_snapshot_key is not None:
            return self.riverrun_snapshot_key.get_secret_value().encode()
        file = make_home(self.home) / SNAPSHOT_KEY_FILE
        if not file.exists():
            write_new_key(file)
        if file.stat().st_mode & 0o077:
            raise Misdeclared(f"{file} can be read by others.", mend=f"chmod 600 {file}")
        return file.read_text("utf-8").strip().encode()

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.kafka_ssl_cafile)
            if self.kafka_ssl_certfile:
                context.load_cert_chain(self.kafka_ssl_certfile, self.kafka_ssl_keyfile)
        except (OSError, ssl.SSLError) as error:
            raise Misdeclared(
                f"TLS for Kafka cannot be set up: {error}.",
                mend="See KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE (PEM files).",
            ) from error
        return context


def _read_secret(name: str, file: Path) -> str:
    try:
        secret = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name.upper()}_FILE cannot be read: {type(error).__name__}") from None
    if not secret:
        raise ValueError(f"{name.upper()}_FILE names an empty file")
    return secret


def _as_misdeclared(error: ValidationError) -> Misdeclared:
    """Pydantic's findings without any input, by the names that people set."""
    findings = []
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        name = "_".join(str(part) for part in found["loc"]).upper()
        message = found["msg"].removeprefix("Value error, ")
        findings.append(f"{name}: {message}" if name else message)
    return Misdeclared("; ".join(findings) + ".", mend="See `riverrun doctor`.")
