"""The topics of a use case on a real cluster: created from the catalogue, and checked.

All topics that follow the events have the same number of partitions, since a partition task owns
the same number of each. A change of that number under a running use case is refused; keys are never
re-hashed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

from models.spec.use_case import UseCase
from schemas.errors import Incompatible, Unavailable
from schemas.topics import CATALOGUE, Topic, topic_names, topics_of
from streams.config.settings import Settings
from streams.topics.timestamp_limit import BOUND, DATED, ahead_ms

LEADERS_S_MAX = 30.0
EXISTS = 36  # Kafka's error code TOPIC_ALREADY_EXISTS
UNKNOWN_SETTING = 40  # INVALID_CONFIG
VERSION_BYTES_MAX = 15 << 20
"""Of a record of `models`, as large as a request may be: a version of a forest has megabytes."""
COMPACT = {"min.cleanable.dirty.ratio": "0.1", "segment.ms": "600000"}


def names_of(use_case: UseCase, settings: Settings) -> dict[str, str]:
    """Return kind → topic name, with the prefix of the settings."""
    return topic_names(
        use_case.name, prefix=settings.riverrun_topic_prefix, adopted=use_case.topics
    )


def catalogue_of(use_case: UseCase, partitions: int) -> tuple[Topic, ...]:
    """Return the topics of a use case that has so many partitions."""
    return topics_of(
        shared=use_case.is_shared(partitions),
        sources=bool(use_case.sources),
        schemas=use_case.prediction_format != "json",
    )


async def ensure(use_case: UseCase, settings: Settings) -> int:
    """Create missing topics and check existing ones; return the number of partitions.

    An adopted events topic decides the number; else it is the use case's. Raises `Incompatible` if
    the topics differ in it, `Unavailable` if Kafka does not answer.
    """
    names = names_of(use_case, settings)
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        await admin.start()
        counts = await _partitions(admin, names)
        partitions = counts.get("events", use_case.partitions)
        _check(names, counts, partitions)
        topics = catalogue_of(use_case, partitions)
        missing = [topic for topic in topics if topic.kind not in counts]
        if missing:
            layout = partitions, ahead_ms(use_case)
            await _create(admin, names, missing, layout, await _replicas(admin))
            await _led(admin, [names[topic.kind] for topic in missing])
        return partitions
    except (KafkaConnectionError, OSError, TimeoutError) as error:
        raise _no_answer(settings, error) from error
    finally:
        await admin.close()


async def partitions_of(use_case: UseCase, settings: Settings) -> int:
    """Return the number of partitions of the events topic; raise `Unavailable` if it does not
    exist.
    """
    names = names_of(use_case, settings)
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        await admin.start()
        counts = await _partitions(admin, {"events": names["events"]})
    except (KafkaConnectionError, OSError) as error:
        raise _no_answer(settings, error) from error
    finally:
        await admin.close()
    if "events" not in counts:
        raise Unavailable(f"There is no topic {names['events']}: `riverrun worker` creates it.")
    return counts["events"]


def _no_answer(settings: Settings, error: Exception) -> Unavailable:
    return Unavailable(
        f"Kafka at {settings.kafka_bootstrap_servers} does not answer ({error}). Start one with "
        "`riverrun up`, or mend KAFKA_BOOTSTRAP_SERVERS."
    )


async def _partitions(admin: Any, names: Mapping[str, str]) -> dict[str, int]:
    described = await admin.describe_topics(sorted(set(names.values())))
    count = {t["topic"]: len(t["partitions"]) for t in described if not t["error_code"]}
    return {kind: count[name] for kind, name in names.items() if name in count}


def _check(names: Mapping[str, str], counts: Mapping[str, int], partitions: int) -> None:
    wrong = [
        f"{names[topic.kind]} has {counts[topic.kind]}"
        for topic in CATALOGUE
        if topic.partitioned and counts.get(topic.kind, partitions) != partitions
    ]
    if wrong:
        raise Incompatible(
            f"{names['events']} has {partitions} partitions, but {', '.join(wrong)}. All topics of "
            "a use case need the same number, and it does not change under a running use case: "
            f"`riverrun repartition USECASE N` replays into new topics."
        )


async def _replicas(admin: Any) -> int:
    cluster = await admin.describe_cluster()
    return min(3, len(cluster["brokers"]))


async def _create(
    admin: Any,
    names: Mapping[str, str],
    missing: list[Topic],
    layout: tuple[int, int | None],
    replicas: int,
) -> None:
    """Create topics of a `layout`: how many partitions, how far ahead records may be dated."""
    partitions, ahead = layout
    new = [
        NewTopic(
            names[topic.kind],
            partitions if topic.partitioned else 1,
            replicas,
            topic_configs=_config(topic, replicas, ahead),
        )
        for topic in missing
    ]
    response = await admin.create_topics(new)
    if ahead is not None and any(code == UNKNOWN_SETTING for _, code, *_ in response.topic_errors):
        # A broker older than 3.6 knows no such bound; `streams.topics.timestamp_limit` tells of it.
        await _create(admin, names, missing, (partitions, None), replicas)
        return
    for name, code, *message in response.topic_errors:
        if code not in (0, EXISTS):
            raise Unavailable(
                f"Topic {name} could not be created: {for_code(code).__name__} {message}"
            )


async def _led(admin: Any, names: list[str]) -> None:
    """Wait until every partition of new topics has a leader, so that clients find one."""
    async with asyncio.timeout(LEADERS_S_MAX):
        while True:
            described = await admin.describe_topics(names)
            if not any(
                topic["error_code"] or any(p["error_code"] for p in topic["partitions"])
                for topic in described
            ):
                return
            await asyncio.sleep(0.05)


def _config(topic: Topic, replicas: int, ahead: int | None) -> dict[str, str]:
    config = {"cleanup.policy": topic.cleanup, "retention.ms": str(topic.retention_ms)}
    if topic.kind in DATED and ahead is not None:
        config[BOUND] = str(ahead)
    if topic.cleanup == "compact":
        config |= COMPACT
    if topic.kind == "definitions":
        config["message.timestamp.type"] = "LogAppendTime"  # by which clocks are compared
    if topic.kind == "models":
        config["max.message.bytes"] = str(VERSION_BYTES_MAX)
    if replicas > 2:
        config["min.insync.replicas"] = "2"
    return config


async def delete(names: Mapping[str, str], settings: Settings) -> None:
    """Remove all topics of a use case, with everything on them."""
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        await admin.start()
        counts = await _partitions(admin, names)
        await admin.delete_topics(sorted(names[kind] for kind in counts))
    except KafkaError as error:
        raise Unavailable(f"the topics could not be removed: {error}") from error
    finally:
        await admin.close()
