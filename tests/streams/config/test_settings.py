from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.errors import ConfigError
from streams.config.settings import Settings
from tests.support.servers.secured_kafka import KEY_PASSWORD, Certificates

SECRET = "correct-horse-battery"  # not a password of anything
BEARER = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
OIDC = BEARER | {
    "KAFKA_SASL_TOKEN_SOURCE": "oidc",
    "KAFKA_SASL_OAUTH_TOKEN_URL": "https://idp.example.com/token",
    "KAFKA_SASL_OAUTH_CLIENT_ID": "riverrun",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting from the caller's environment or folder."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_nothing_set_means_the_embedded_servers() -> None:
    """Without any setting, no server is given and the home is ./.riverrun."""
    settings = Settings.load()
    assert not settings.external
    assert settings.home == Path.cwd() / ".riverrun"


def test_a_flag_beats_the_environment_beats_dotenv_beats_toml(bare: pytest.MonkeyPatch) -> None:
    """Files < environment < flags, and a flag that was not given (None) does not count."""
    Path("riverrun.toml").write_text('riverrun_topic_prefix = "toml"\n')
    assert Settings.load().riverrun_topic_prefix == "toml"
    Path(".env").write_text("RIVERRUN_TOPIC_PREFIX=dotenv\n")
    assert Settings.load().riverrun_topic_prefix == "dotenv"
    bare.setenv("RIVERRUN_TOPIC_PREFIX", "environment")
    assert Settings.load(riverrun_topic_prefix=None).riverrun_topic_prefix == "environment"
    assert Settings.load(riverrun_topic_prefix="flag").riverrun_topic_prefix == "flag"


def test_a_process_of_ones_own_is_handed_the_limits(bare: pytest.MonkeyPatch) -> None:
    """The demo's page alarms nobody about the queue that the demo makes."""
    bare.setenv("RIVERRUN_ALERT_LIMITS", "lag_records=5")
    handed = Settings.load().environment()
    assert handed["RIVERRUN_ALERT_LIMITS"] == "lag_records=5"


def test_settings_are_frozen() -> None:
    """Nobody changes them after they were built."""
    with pytest.raises(ValidationError):
        Settings.load().riverrun_topic_prefix = "other"  # type: ignore[misc]


def test_one_server_without_the_other_is_refused() -> None:
    """A given Kafka is not silently joined with an embedded Redis."""
    with pytest.raises(ConfigError, match="REDIS_URL is not set"):
        _ = Settings.load(kafka_bootstrap_servers="k:9092").external
    with pytest.raises(ConfigError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        _ = Settings.load(redis_url="redis://r:6379/0").external


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": SECRET}, "SASL_SSL"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "would not be used"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "needs both"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "u"}, "needs both"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SASL_PASSWORD": SECRET}, "would not be used"),
        ({"KAFKA_SSL_CAFILE": "/ca.pem"}, "nothing would be encrypted"),
        ({"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "KAFKA_SSL_CAFILE": "/c"}, "be encrypted"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEYFILE": "/k"}, "CERTFILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "ssl3"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_BOOTSTRAP_SERVERS": f"u:{SECRET}@k:9092"}, "holds credentials"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka://k:9092"}, "without a scheme"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092,k2"}, "host:port"),
        ({"KAFKA_SASL_PASWORD": SECRET}, "Did you mean KAFKA_SASL_PASSWORD"),
        ({"REDIS_URL": f"http://:{SECRET}@r:6379"}, "rediss://"),
        ({"REDIS_URL": f"redis://:{SECRET}@r:x"}, "rediss://"),
        ({"KAFKA_SASL_TOKEN_SOURCE": "file"}, "not OAUTHBEARER"),
        (BEARER, "needs KAFKA_SASL_TOKEN_SOURCE"),
        (BEARER | {"KAFKA_SASL_USERNAME": "u"}, "not used with OAUTHBEARER"),
        (BEARER | {"KAFKA_SASL_TOKEN_SOURCE": "aws"}, "needs KAFKA_SASL_AWS_REGION"),
        (BEARER | {"KAFKA_SASL_TOKEN_SOURCE": "azure"}, "needs KAFKA_SASL_OAUTH_SCOPE"),
        (OIDC, "needs either KAFKA_SASL_OAUTH_CLIENT_SECRET"),
        (
            OIDC
            | {
                "KAFKA_SASL_OAUTH_CLIENT_SECRET": SECRET,
                "KAFKA_SASL_OAUTH_TOKEN_URL": "http://idp.example.com/token",
            },
            "must be https",
        ),
        ({"KAFKA_SSL_KEY_PASSWORD": SECRET}, "without KAFKA_SSL_CERTFILE"),
        ({"REDIS_URL": "redis://r:6379/0", "REDIS_SSL_CAFILE": "/ca"}, "nothing would be"),
        ({"REDIS_SSL_CA_FILE": "/ca"}, "Did you mean REDIS_SSL_CAFILE"),
        ({"RIVERRUN_SNAPSHOT_KEY": "short"}, "shorter than 16"),
        ({"RIVERRUN_TOPIC_PREFIX": "a b"}, "RIVERRUN_TOPIC_PREFIX"),
        ({"RIVERRUN_HOME": ""}, "RIVERRUN_HOME is empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    bare: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    """Each is refused with a text that names the setting and never the secret."""
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    for name, value in environment.items():
        bare.setenv(name, value)
    with pytest.raises(ConfigError, match=message) as refused:
        Settings.load()
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(refused.value.__cause__)


def test_security_without_a_server_is_refused(bare: pytest.MonkeyPatch) -> None:
    """Whoever asks for TLS and forgets the address does not get the embedded Kafka."""
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    with pytest.raises(ConfigError, match="without KAFKA_BOOTSTRAP_SERVERS"):
        Settings.load()


def test_a_tls_client_has_a_context_that_verifies(bare: pytest.MonkeyPatch) -> None:
    """SASL_SSL gives aiokafka a context that checks certificate and host name."""
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    bare.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    bare.setenv("KAFKA_SASL_USERNAME", "u")
    bare.setenv("KAFKA_SASL_PASSWORD", SECRET)
    client = Settings.load().kafka_client()
    context = client.pop("ssl_context")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert client == {
        "bootstrap_servers": "k:9092",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": SECRET,
    }


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_tls_that_cannot_be_set_up_is_refused(
    bare: pytest.MonkeyPatch, content: str | None
) -> None:
    """A CA file that is missing or broken ends the start instead of the encryption."""
    if content is not None:
        Path("ca.pem").write_text(content)
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    bare.setenv("KAFKA_SSL_CAFILE", "ca.pem")
    with pytest.raises(ConfigError, match="KAFKA_SSL_CAFILE"):
        Settings.load().kafka_client()


def test_sasl_in_plain_text_is_had_by_asking_for_it(bare: pytest.MonkeyPatch) -> None:
    """SASL_PLAINTEXT is used when it is named, and only then."""
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    bare.setenv("KAFKA_SASL_USERNAME", "u")
    bare.setenv("KAFKA_SASL_PASSWORD", SECRET)
    client = Settings.load().kafka_client()
    assert client["security_protocol"] == "SASL_PLAINTEXT"
    assert client["sasl_mechanism"] == "PLAIN"
    assert "ssl_context" not in client


def test_secrets_are_in_no_representation(bare: pytest.MonkeyPatch) -> None:
    """repr, str, a dump and the address for people hold no secret."""
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    bare.setenv("KAFKA_SASL_USERNAME", "u")
    bare.setenv("KAFKA_SASL_PASSWORD", SECRET)
    bare.setenv("REDIS_URL", f"rediss://u:{SECRET}@r:6380/1?ssl_ca_certs=/ca")
    bare.setenv("RIVERRUN_SNAPSHOT_KEY", SECRET)
    bare.setenv("RIVERRUN_ARCHIVE", f"ftp://u:{SECRET}@host/folder")
    settings = Settings.load()
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.public_redis_address()}"
    assert SECRET not in shown
    assert settings.public_redis_address() == "rediss://r:6380/1"
    assert settings.snapshot_key() == SECRET.encode()


@pytest.mark.parametrize("name", ["KAFKA_SASL_PASSWORD", "REDIS_URL", "RIVERRUN_SNAPSHOT_KEY"])
def test_a_secret_may_come_from_a_file(bare: pytest.MonkeyPatch, name: str) -> None:
    """X_FILE is read, without its last newline; a missing or empty one and both are refused."""
    value = f"redis://:{SECRET}@r:6379/0" if name == "REDIS_URL" else SECRET
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    bare.setenv("KAFKA_SASL_USERNAME", "u")
    if name != "KAFKA_SASL_PASSWORD":
        bare.setenv("KAFKA_SASL_PASSWORD", "other")
    bare.setenv(f"{name}_FILE", "secret")
    with pytest.raises(ConfigError, match=f"{name}_FILE cannot be read"):
        Settings.load()
    Path("secret").write_text("\n")
    with pytest.raises(ConfigError, match="empty file"):
        Settings.load()
    Path("secret").write_text(value + "\n")
    assert getattr(Settings.load(), name.lower()).get_secret_value() == value
    bare.setenv(name, value)
    with pytest.raises(ConfigError, match="both set"):
        Settings.load()


def test_the_snapshot_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Workers that start together get one key; a key that others can read is refused."""
    settings = Settings.load(riverrun_home=tmp_path / "home")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: settings.snapshot_key(), range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    file = settings.home / "snapshot.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [f.name for f in settings.home.glob("snapshot.key*")] == ["snapshot.key"]
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        settings.snapshot_key()


def test_servers_that_were_started_take_the_place_of_none() -> None:
    """`at` gives the same settings with addresses, and aiokafka's arguments with them."""
    settings = Settings.load(riverrun_topic_prefix="p").at("127.0.0.1:1", "redis://127.0.0.1:2/0")
    assert settings.external
    assert settings.riverrun_topic_prefix == "p"
    assert settings.kafka_client() == {
        "bootstrap_servers": "127.0.0.1:1",
        "security_protocol": "PLAINTEXT",
    }


def test_an_encrypted_key_needs_its_password(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without one nobody is asked at a terminal, and a wrong one is told."""
    files = Certificates(tmp_path)
    bare.setenv("KAFKA_BOOTSTRAP_SERVERS", "k:9092")
    bare.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    bare.setenv("KAFKA_SSL_CERTFILE", str(files.client))
    bare.setenv("KAFKA_SSL_KEYFILE", str(files.key))
    with pytest.raises(ConfigError, match="there is no password for it"):
        Settings.load().kafka_client()
    bare.setenv("KAFKA_SSL_KEY_PASSWORD", "wrong")
    with pytest.raises(ConfigError, match="cannot be set up") as refused:
        Settings.load().kafka_client()
    assert "KAFKA_SSL_KEY_PASSWORD is not the key's" in refused.value.hint
    bare.setenv("KAFKA_SSL_KEY_PASSWORD", KEY_PASSWORD)
    assert Settings.load().kafka_client()["ssl_context"].check_hostname
