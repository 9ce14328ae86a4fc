"""A loaded use case and the settings, put together into a running worker."""

from __future__ import annotations

import asyncio

from models.task import PartitionTask
from streams import definitions, topics
from streams.garbage import bound_pauses
from streams.loading import Loaded
from streams.settings import Settings
from streams.snapshots.archive import archive_of
from streams.snapshots.redis_hash import connect
from streams.snapshots.store import Snapshots
from streams.unpickling import Allowed
from streams.worker import run_worker


def group_of(loaded: Loaded, settings: Settings) -> str:
    """The consumer group, and the prefix of transactional ids: one for a use case and a prefix."""
    return f"riverrun.{settings.riverrun_topic_prefix}{loaded.use_case.name}"


def operate(loaded: Loaded, settings: Settings, *, health_port: int | None) -> int:
    """See to the topics, publish the definition, work until stopped; returns the exit code."""
    partitions = asyncio.run(topics.ensure(loaded.use_case, settings))
    asyncio.run(definitions.publish(loaded, settings))

    def fresh(partition: int) -> PartitionTask:
        return PartitionTask(
            loaded.use_case,
            partition=partition,
            partitions=partitions,
            definition=loaded.definition,
        )

    bound_pauses()
    group = group_of(loaded, settings)
    use_case = loaded.use_case
    store = None
    if settings.redis_url is not None:
        key = settings.snapshot_key()
        url = settings.riverrun_archive.get_secret_value() if settings.riverrun_archive else None
        store = Snapshots(
            connect(settings.redis_url.get_secret_value()),
            group,
            fresh,
            key=key,
            allowed=Allowed(use_case.models.values(), use_case.event.__module__),
            archive=archive_of(url, group, key),
        )
    return run_worker(
        fresh,
        store=store,
        client=settings.kafka_client(),
        topics=topics.names_of(loaded.use_case, settings),
        group_id=group,
        compression="lz4",
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        health_host=settings.riverrun_http_host,
        health_port=health_port,
    )
