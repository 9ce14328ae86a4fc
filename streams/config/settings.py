"""All settings: where the servers are, how to connect, and where this machine keeps its data.

One frozen object, built once by the command line and passed down. A value comes from a flag, else
the environment, else `.env`, else `riverrun.toml` (same names, lower case). Whatever a prediction
depends on is in the use case and not here.

Nothing falls back to plain text: settings that ask for security and cannot have it are refused.
(aiokafka would connect in plain text with SASL and no `ssl_context`, and ignore credentials in an
address.) Secrets are `SecretStr` or come from a file, and are in no message.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from schemas.errors import ConfigError
from streams.config.project_dir import EMBEDDED_USER, secret_of
from streams.config.security_checks import (
    check_addresses,
    check_redis_url,
    check_security,
    refuse_misspelt,
)
from streams.config.server_settings import ServerSettings

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

SNAPSHOT_KEY_FILE = "snapshot.key"
COMPRESSION = "zstd"
"""Of all that is written to Kafka: aiokafka asks for LZ4 at level 9 (docs/adr/0053)."""
SECRETS = (
    "kafka_sasl_password",
    "kafka_sasl_oauth_client_secret",
    "kafka_ssl_key_password",
    "schema_registry_password",
    "redis_url",
    "redis_ssl_key_password",
    "riverrun_snapshot_key",
    "riverrun_ops_password",
    "riverrun_alert_webhook",
    "riverrun_alert_webhook_secret",
)
"""The secrets that can come from a file, too."""


class Settings(ServerSettings):
    """All that differs between machines. Fields are named as the environment variables."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=".env",
        toml_file="riverrun.toml",
        hide_input_in_errors=True,
    )

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
        description="Seconds between two archived snapshots of a partition: at most so much is "
        "folded after a loss of Redis. All of the last day are kept.",
    )
    riverrun_topic_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]*$",
        max_length=100,
        description="Put before every topic's name and into the group's; `--prefix` is the same.",
    )
    riverrun_trainers: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that train the models of a use case with shared learning, beside "
        "the worker that runs its learner; each model is one process's. Changes no byte of what is "
        "published, so it may differ between workers. 0: the learner trains them itself.",
    )
    riverrun_http_host: str = Field(
        "127.0.0.1", description="The address on which health is served."
    )
    riverrun_http_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Its port, as `--health-port`; with `--processes` the first one's, the others "
        "take those after it. 0: a free one.",
    )
    riverrun_log_level: LogLevel = Field(
        "info",
        description="The level of riverrun's own log: `debug`, `info`, `warning` or `error`; "
        "`--verbose` is `debug`, and more of the libraries.",
    )
    riverrun_log_format: LogFormat = Field(
        "text", description="`text`, or `json`: one object a line."
    )
    riverrun_ops_password: SecretStr | None = Field(
        None,
        description="The password for actions on the page (`riverrun ops`), and for reading it "
        "beyond loopback; 12 characters or more. None: a token is generated at each start.",
    )
    riverrun_ops_password_file: Path | None = Field(None, description="A file that holds it.")
    riverrun_ops_names: str = Field(
        "",
        description="Host names that the page answers to, comma separated, beside `localhost` and "
        "addresses.",
    )
    riverrun_ops_proxies: str = Field(
        "",
        description="Addresses of proxies before the page, comma separated: from them "
        "`X-Forwarded-Proto` and `X-Forwarded-For` are believed. With any, reading needs the "
        "secret on loopback, too.",
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
        description="Limits of the alert rules, such as `lag_records=50000, gone_s=60`; see "
        "[ALERTS](ALERTS.md#limits).",
    )

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Build from flags (None: not given), environment and files; `ConfigError` if it cannot."""
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
        """Return the sources in their order: flags, environment, `.env`, `riverrun.toml`."""
        del file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, dotenv_settings, toml

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read each secret whose file is named instead of its value."""
        if str(values.get("riverrun_home", ".")) == "":
            raise ValueError("RIVERRUN_HOME is empty; name a folder, or unset it")
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
        """Return the project folder, absolute."""
        return self.riverrun_home.absolute()

    @property
    def external(self) -> bool:
        """Return whether both servers' addresses are set; False means the embedded ones."""
        if (self.kafka_bootstrap_servers is None) != (self.redis_url is None):
            missing = "REDIS_URL" if self.redis_url is None else "KAFKA_BOOTSTRAP_SERVERS"
            raise ConfigError(
                f"{missing} is not set.",
                hint="Set both KAFKA_BOOTSTRAP_SERVERS and REDIS_URL, or neither for the embedded "
                "servers.",
            )
        return self.redis_url is not None

    def at(self, bootstrap_servers: str, redis_url: str, kafka_password: str | None = None) -> Self:
        """Return the same settings for servers that were just started.

        `kafka_password` is their Kafka's.
        """
        servers: dict[str, Any] = {
            "kafka_bootstrap_servers": bootstrap_servers,
            "redis_url": SecretStr(redis_url),
        }
        if kafka_password is not None:
            servers |= {
                "kafka_security_protocol": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_sasl_username": EMBEDDED_USER,
                "kafka_sasl_password": SecretStr(kafka_password),
            }
        return self.model_copy(update=servers)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that pass servers, home, prefix and limits to a child
        process.
        """
        credentials = {}
        if self.kafka_sasl_password is not None and self.kafka_sasl_password_file is None:
            credentials = {
                "KAFKA_SECURITY_PROTOCOL": self.kafka_security_protocol or "",
                "KAFKA_SASL_MECHANISM": self.kafka_sasl_mechanism or "PLAIN",
                "KAFKA_SASL_USERNAME": self.kafka_sasl_username or "",
                "KAFKA_SASL_PASSWORD": self.kafka_sasl_password.get_secret_value(),
            }
        return credentials | {
            "PYTHONHASHSEED": "0",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap_servers or "",
            "REDIS_URL": self.redis_url.get_secret_value() if self.redis_url else "",
            "RIVERRUN_HOME": str(self.home),
            "RIVERRUN_TOPIC_PREFIX": self.riverrun_topic_prefix,
            "RIVERRUN_ALERT_LIMITS": self.riverrun_alert_limits,
        }

    def snapshot_key(self) -> bytes:
        """Return the secret that signs snapshots.

        Without a configured one, it is created once in the home folder.
        """
        if self.riverrun_snapshot_key is not None:
            return self.riverrun_snapshot_key.get_secret_value().encode()
        return secret_of(self.home / SNAPSHOT_KEY_FILE).encode()


def _read_secret(name: str, file: Path) -> str:
    try:
        secret = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name.upper()}_FILE cannot be read: {type(error).__name__}") from None
    if not secret:
        raise ValueError(f"{name.upper()}_FILE names an empty file")
    return secret


def _as_misdeclared(error: ValidationError) -> ConfigError:
    """Return pydantic's errors without any input, by the names of the settings."""
    findings = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        name = "_".join(str(part) for part in detail["loc"]).upper()
        message = detail["msg"].removeprefix("Value error, ")
        findings.append(f"{name}: {message}" if name else message)
    return ConfigError("; ".join(findings) + ".", hint="See `riverrun doctor`.")
