"""What `riverrun doctor` asks the servers themselves: do they answer, and can they be relied on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

from schemas.errors import ConfigError
from streams.config.check_result import CheckResult, bad, doubtful, good
from streams.config.security_checks import LOOPBACK_HOSTS
from streams.config.settings import Settings
from streams.doctor.grant_checks import CLOSE_S, refusal
from streams.telemetry.partition_table import PROBE_KEY, refused
from streams.topics.timestamp_limit import unbounded_here

TIMEOUT_S = 15.0
CLOCK_SKEW_S_MAX = 5.0
REDIS_MAJOR_MIN = 6


def check_kafka(settings: Settings) -> CheckResult:
    """Check that Kafka answers and assigns a transactional producer its id."""
    where = settings.kafka_bootstrap_servers
    try:
        asyncio.run(_begin_transactions(settings.kafka_client()))
    except ConfigError as error:
        return bad("kafka", error.reason, error.hint)
    except TimeoutError:
        return bad(
            "kafka",
            f"{where} gave no transactional producer within {TIMEOUT_S:.0f} s",
            "Is it a Kafka of 2.5 or later, with its transaction topic healthy?",
        )
    except TransactionalIdAuthorizationFailed:
        return doubtful(
            "kafka",
            f"{where} answers; this user may not use transactional ids of any name",
            "Grant WRITE and DESCRIBE on those of a use case: `riverrun doctor USECASE` checks it.",
        )
    except (KafkaError, OSError) as error:
        return bad(
            "kafka",
            f"{where}: {refusal(settings) or f'{type(error).__name__}: {error}'}",
            "Does it run (`riverrun up`), is the address right, and do KAFKA_SECURITY_PROTOCOL and "
            "the credentials fit its listener?",
        )
    return good("kafka", f"{where} answers and takes transactions")


async def _begin_transactions(client: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(**client, transactional_id="riverrun-doctor")
    try:
        await asyncio.wait_for(producer.start(), TIMEOUT_S)
    finally:
        await producer.stop()
        await asyncio.sleep(CLOSE_S)


def check_timestamps(settings: Settings) -> Iterator[CheckResult]:
    """Check whether producers may date records arbitrarily far ahead."""
    try:
        wrong = asyncio.run(unbounded_here(settings))
    except (KafkaError, OSError) as error:
        cause = f"the topics' settings cannot be read: {type(error).__name__}"
        yield doubtful("timestamps", cause, "Allow DESCRIBE and DESCRIBE_CONFIGS on the topics.")
        return
    for finding in wrong:
        cause, _, remedy = finding.partition(". ")
        yield doubtful("timestamps", cause, remedy)
    if not wrong:
        yield good("timestamps", "no input of a use case takes records dated far ahead")


def check_redis(settings: Settings) -> Iterator[CheckResult]:
    """Check that Redis answers, stores what it is sent, and agrees about the time."""
    if settings.redis_url is None:
        return
    address = settings.public_redis_address()
    url = settings.redis_address()
    try:
        with redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        ) as client:
            before = time.time()
            seconds, micros = client.time()
            skew_s = abs(seconds + micros / 1e6 - (before + time.time()) / 2)
            about: dict[str, Any] = client.info()
            refused_write = _write(client)
    except redis.AuthenticationError:
        yield bad("redis", f"{address} refuses the credentials", "Fix REDIS_URL.")
        return
    except (redis.RedisError, OSError, ValueError) as error:
        # The error's own text may repeat the address with its password.
        cause = f"{address} does not answer: {type(error).__name__}"
        yield bad("redis", cause, "Does it run (`riverrun up`), and is REDIS_URL right?")
        return
    yield _version(address, about)
    if refused_write:
        cause, _, remedy = refused_write.partition(". ")
        lost = "workers go on, and neither snapshots nor figures are kept"
        yield bad("redis writes", f"{address} takes no writes, {cause}: {lost}", remedy)
    else:
        yield good("redis writes", f"{address} takes them")
    yield _eviction(about)
    yield _persistence(about)
    yield _clock(skew_s)


def _write(client: redis.Redis) -> str:
    """Return why a key that lasts a second cannot be written; empty if it can."""
    try:
        client.set(PROBE_KEY, b"1", ex=1)
    except redis.ResponseError as error:
        return refused(error)
    return ""


def _version(address: str, about: dict[str, Any]) -> CheckResult:
    version = str(about.get("redis_version", "0"))
    if int(version.split(".")[0]) < REDIS_MAJOR_MIN:
        cause = f"{address} is Redis {version}"
        return bad("redis", cause, f"Use Redis {REDIS_MAJOR_MIN} or later, or Valkey.")
    return good("redis", f"{address} answers, version {version}")


def _eviction(about: dict[str, Any]) -> CheckResult:
    policy = str(about.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys") and about.get("maxmemory"):
        return bad(
            "redis eviction",
            f"maxmemory-policy is {policy}: when memory runs out, snapshots are thrown away and "
            "every start folds the log from its beginning",
            "`CONFIG SET maxmemory-policy noeviction`, or a Redis of its own for riverrun",
        )
    return good("redis eviction", f"maxmemory-policy {policy}")


def _persistence(about: dict[str, Any]) -> CheckResult:
    if about.get("aof_enabled"):
        return good("redis persistence", "append-only file")
    if about.get("rdb_last_save_time") and about.get("rdb_saves"):
        return good("redis persistence", "snapshots to disk")
    return doubtful(
        "redis persistence",
        "no append-only file: after a restart of Redis, state is rebuilt from the log, slowly",
        "`CONFIG SET appendonly yes`",
    )


def _clock(skew_s: float) -> CheckResult:
    if skew_s > CLOCK_SKEW_S_MAX:
        cause = f"this machine and Redis differ by {skew_s:.0f} s"
        return doubtful("clock", cause, "Synchronise both (NTP).")
    return good("clock", f"this machine and Redis agree within {max(1, round(skew_s))} s")


def check_security(settings: Settings) -> Iterator[CheckResult]:
    """Report what travels in plain text beyond this machine, and whose key signs the snapshots."""
    protocol = settings.kafka_security_protocol or "PLAINTEXT"
    servers = (settings.kafka_bootstrap_servers or "").split(",")
    far = [s for s in servers if s and s.strip().rpartition(":")[0] not in LOOPBACK_HOSTS]
    if far and protocol.endswith("PLAINTEXT"):
        yield doubtful(
            "security",
            f"records{' and the password' if protocol.startswith('SASL') else ''} travel to "
            f"{far[0]} in plain text ({protocol})",
            "Set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL.",
        )
    if settings.redis_url is not None:
        parts = urlsplit(settings.redis_url.get_secret_value())
        if parts.scheme == "redis" and parts.hostname not in LOOPBACK_HOSTS:
            cause = f"snapshots travel to {settings.public_redis_address()} in plain text"
            yield doubtful("security", cause, "Use rediss:// in REDIS_URL.")
        if parts.hostname not in LOOPBACK_HOSTS and settings.riverrun_snapshot_key is None:
            yield doubtful(
                "snapshot key",
                "each machine makes its own: workers elsewhere cannot use this one's snapshots",
                "Set one RIVERRUN_SNAPSHOT_KEY_FILE for all of them.",
            )
