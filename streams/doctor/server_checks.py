"""What `riverrun doctor` asks the servers themselves: do they answer, and can they be relied on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import redis
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import Misdeclared
from streams.embedded.finding import Finding, bad, doubtful, good
from streams.settings import Settings

TIMEOUT_S = 15.0
CLOCK_SKEW_S_MAX = 5.0
REDIS_MAJOR_MIN = 6
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")


def check_kafka(settings: Settings) -> Finding:
    """Whether Kafka answers and gives a transactional producer its id."""
    where = settings.kafka_bootstrap_servers
    try:
        asyncio.run(_begin_transactions(settings.kafka_client()))
    except Misdeclared as error:
        return bad("kafka", error.reason, error.mend)
    except TimeoutError:
        return bad(
            "kafka",
            f"{where} gave no transactional producer within {TIMEOUT_S:.0f} s",
            "Is it a Kafka of 2.5 or later, with its transaction topic healthy?",
        )
    except (KafkaError, OSError) as error:
        return bad(
            "kafka",
            f"{where}: {type(error).__name__}: {error}",
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


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers, keeps what it is given, and agrees about the time."""
    if settings.redis_url is None:
        return
    place = settings.redis_place()
    url = settings.redis_url.get_secret_value()
    try:
        with redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        ) as client:
            before = time.time()
            seconds, micros = client.time()
            skew_s = abs(seconds + micros / 1e6 - (before + time.time()) / 2)
            about: dict[str, Any] = client.info()
    except redis.AuthenticationError:
        yield bad("redis", f"{place} refuses the credentials", "Mend REDIS_URL.")
        return
    except (redis.RedisError, OSError, ValueError) as error:
        # The error's own text may repeat the address with its password.
        cause = f"{place} does not answer: {type(error).__name__}"
        yield bad("redis", cause, "Does it run (`riverrun up`), and is REDIS_URL right?")
        return
    yield _version(place, about)
    yield _eviction(about)
    yield _persistence(about)
    yield _clock(skew_s)


def _version(place: str, about: dict[str, Any]) -> Finding:
    version = str(about.get("redis_version", "0"))
    if int(version.split(".")[0]) < REDIS_MAJOR_MIN:
        cause = f"{place} is Redis {version}"
        return bad("redis", cause, f"Use Redis {REDIS_MAJOR_MIN} or later, or Valkey.")
    return good("redis", f"{place} answers, version {version}")


def _eviction(about: dict[str, Any]) -> Finding:
    policy = str(about.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys") and about.get("maxmemory"):
        return bad(
            "redis eviction",
            f"maxmemory-policy is {policy}: when memory runs out, snapshots are thrown away and "
            "every start folds the log from its beginning",
            "`CONFIG SET maxmemory-policy noeviction`, or a Redis of its own for riverrun",
        )
    return good("redis eviction", f"maxmemory-policy {policy}")


def _persistence(about: dict[str, Any]) -> Finding:
    if about.get("aof_enabled"):
        return good("redis persistence", "append-only file")
    if about.get("rdb_last_save_time") and about.get("rdb_saves"):
        return good("redis persistence", "snapshots to disk")
    return doubtful(
        "redis persistence",
        "no append-only file: after a restart of Redis, state is rebuilt from the log, slowly",
        "`CONFIG SET appendonly yes`",
    )


def _clock(skew_s: float) -> Finding:
    if skew_s > CLOCK_SKEW_S_MAX:
        cause = f"this machine and Redis differ by {skew_s:.0f} s"
        return doubtful("clock", cause, "Synchronise both (NTP).")
    return good("clock", f"this machine and Redis agree within {max(1, round(skew_s))} s")


def check_security(settings: Settings) -> Iterator[Finding]:
    """What travels in plain text beyond this machine, and whose key signs the snapshots."""
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
            cause = f"snapshots travel to {settings.redis_place()} in plain text"
            yield doubtful("security", cause, "Use rediss:// in REDIS_URL.")
        if parts.hostname not in LOOPBACK_HOSTS and settings.riverrun_snapshot_key is None:
            yield doubtful(
                "snapshot key",
                "each machine makes its own: workers elsewhere cannot use this one's snapshots",
                "Set one RIVERRUN_SNAPSHOT_KEY_FILE for all of them.",
            )
