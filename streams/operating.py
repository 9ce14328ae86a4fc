"""A loaded use case and the settings, put together into a running worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from models.task import PartitionTask
from models.usecase import UseCase
from schemas.errors import Incompatible
from schemas.topics import INPUTS
from streams import definitions, topics
from streams.deciding import Deciding
from streams.exposition import Exposition
from streams.garbage import bound_pauses
from streams.loading import Loaded
from streams.log import KafkaLog, newest_entries
from streams.parcels import unsealer
from streams.past_definitions import Definitions
from streams.redefining import Eras, explained
from streams.retention import refuse_gap
from streams.serving import FeatureServer
from streams.settings import COMPRESSION, Settings
from streams.snapshots.archive import archive_of
from streams.snapshots.redis_hash import connect
from streams.snapshots.store import Snapshots
from streams.unpickling import Allowed
from streams.worker import run_worker


def group_of(loaded: Loaded, settings: Settings) -> str:
    """The consumer group, and the prefix of transactional ids: one for a use case and a prefix."""
    return f"riverrun.{settings.riverrun_topic_prefix}{loaded.use_case.name}"


def prepare(loaded: Loaded, settings: Settings) -> int:
    """See to the topics and publish the definition; gives the number of partitions.

    Once, before the first worker: one that is started again trusts it, and recovery looks at the
    definition anew. Leaves no connection behind.
    """
    return asyncio.run(_prepared(loaded, settings))


async def _prepared(loaded: Loaded, settings: Settings) -> int:
    partitions = await topics.ensure(loaded.use_case, settings)
    await refuse_gap(topics.names_of(loaded.use_case, settings), settings)
    await refuse_another(loaded, settings, partitions)
    await definitions.publish(loaded, settings)
    return partitions


def operate(
    loaded: Loaded,
    settings: Settings,
    *,
    partitions: int,
    member: str | None = None,
    health_port: int | None = None,
) -> int:
    """Work until stopped; returns the exit code. `member`: an id that the caller has claimed."""

    def fresh(partition: int) -> PartitionTask:
        return PartitionTask(
            loaded.use_case,
            partition=partition,
            partitions=partitions,
            definition=loaded.definition,
            unseal=unsealer(settings.snapshot_key),
        )

    bound_pauses()
    group = group_of(loaded, settings)
    use_case = loaded.use_case
    store = store_of(loaded, settings, fresh) if settings.redis_url is not None else None
    return run_worker(
        fresh,
        store=store,
        on_stopped=None if store is None else store.close,
        roll=Eras(loaded, settings, topics.names_of(use_case, settings), partitions).roll,
        client=settings.kafka_client(),
        topics=topics.names_of(loaded.use_case, settings),
        group_id=group,
        claimed=member,
        compression=COMPRESSION,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        serving=serving_of(use_case, settings),
        beside=Deciding(use_case, settings, topics.names_of(use_case, settings), group).run,
        health_host=settings.riverrun_http_host,
        health_port=health_port,
        metrics=Exposition(use_case, loaded.definition).render,
    )


def serving_of(use_case: UseCase, settings: Settings) -> FeatureServer | None:
    """What fills the feature store; None where it is not asked for."""
    if not use_case.serve_features or settings.redis_url is None:
        return None
    served = use_case.serve_features
    return FeatureServer(
        settings.kafka_client(),
        settings.redis_url.get_secret_value(),
        topic=topics.names_of(use_case, settings)["features"],
        use_case=use_case.name,
        prefix=settings.riverrun_topic_prefix,
        entity=served if isinstance(served, str) else None,
    )


def store_of(
    loaded: Loaded,
    settings: Settings,
    make: Callable[[int], PartitionTask],
    *,
    archive_interval_s: float | None = None,
    **given: Any,
) -> Snapshots:
    """The snapshots of a use case, in Redis and in the archive that is set; `make`: fresh tasks.

    `archive_interval_s`: instead of what is set.
    """
    assert settings.redis_url is not None
    group, key, use_case = group_of(loaded, settings), settings.snapshot_key(), loaded.use_case
    url = settings.riverrun_archive.get_secret_value() if settings.riverrun_archive else None
    if archive_interval_s is None:
        archive_interval_s = settings.riverrun_archive_interval_s
    return Snapshots(
        connect(settings.redis_url.get_secret_value()),
        group,
        make,
        key=key,
        allowed=Allowed(use_case.models.values(), use_case.event.__module__),
        archive=archive_of(url, group, key, archive_interval_s),
        **given,
    )


def log_of(settings: Settings, names: Mapping[str, str], partition: int) -> KafkaLog:
    """A partition's journal and inputs."""
    inputs = [names[kind] for kind in INPUTS]
    client = settings.kafka_client()
    return KafkaLog(client, journal=names["journal"], inputs=inputs, partition=partition)


async def refuse_another(loaded: Loaded, settings: Settings, partitions: int) -> None:
    """Raise `Incompatible`, with the ways on, if a partition runs under another definition."""
    names = topics.names_of(loaded.use_case, settings)
    newest = await newest_entries(settings.kafka_client(), names, range(partitions))
    for last in newest.values():
        if last is not None and last.definition != loaded.definition:
            past = await Definitions.read(names["definitions"], settings)
            raise Incompatible(explained(loaded, last, past))
