"""A loaded use case and the settings, put together into a running worker."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from models.formats.payload import missing_package
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.training.learner_inputs import learner_inputs
from models.training.versions import Pack
from models.training.window_folds import WindowPool
from schemas.errors import ConfigError, Incompatible
from schemas.topics import LEARNER
from streams.config.gc_tuning import bound_pauses
from streams.config.naming import group_of, shown_name
from streams.config.settings import COMPRESSION, Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.clock_check import skewed
from streams.partition.input_freshness import LEAD
from streams.registry.prediction_schemas import announce, encoders_of
from streams.registry.schema_registry import registry_of
from streams.replay import definition_topic
from streams.replay.definition_change import Eras, explained
from streams.replay.definition_history import DefinitionHistory
from streams.replay.input_check import refuse_misfits
from streams.replay.kafka_log import newest_entries
from streams.snapshots.factory import store_of
from streams.snapshots.fresh_task import fresh_task
from streams.snapshots.version_transfer import VersionReader, packer
from streams.sources.relay_plan import RelayPlan
from streams.telemetry.prometheus import PrometheusExporter
from streams.topics import topic_admin
from streams.topics.retention_check import refuse_gap
from streams.topics.timestamp_limit import DATED, unbounded_of
from streams.trainers.trainer_pool import TrainerPool, fork_server_of
from streams.worker.decider_service import DeciderService
from streams.worker.feature_store_writer import FeatureStoreWriter
from streams.worker.table_relay import TableRelay
from streams.worker.worker_config import WorkerConfig
from streams.worker.worker_process import run_worker

log = logging.getLogger("riverrun.worker")


def prepare(loaded: LoadedUseCase, settings: Settings) -> int:
    """See to the topics and publish the definition; gives the number of partitions.

    Once, before the first worker: one that is started again trusts it, and recovery looks at the
    definition again. Leaves no connection behind.
    """
    return asyncio.run(_prepared(loaded, settings))


async def _prepared(loaded: LoadedUseCase, settings: Settings) -> int:
    partitions = await topic_admin.ensure(loaded.use_case, settings)
    names = topic_admin.names_of(loaded.use_case, settings)
    await refuse_misfits(shlex.quote(loaded.argument), names, settings)
    await refuse_gap(names, settings)
    for finding in await unbounded_of([names[kind] for kind in DATED], settings):
        log.warning("%s", finding)
    await refuse_another(loaded, settings, partitions)
    await announce(loaded.use_case, names, settings)
    if text := skewed(await definition_topic.publish(loaded, settings)):
        log.warning("%s", text)
    return partitions


def operate(
    loaded: LoadedUseCase,
    settings: Settings,
    *,
    partitions: int,
    member: str | None = None,
    health_port: int | None = None,
) -> int:
    """Work until stopped; returns the exit code. `member`: an id that the caller has claimed."""

    use_case, key = loaded.use_case, settings.snapshot_key
    versions, pool = VersionReader(use_case, key), WindowPool()
    pack = packer(use_case, key, versions)

    def fresh(partition: int) -> Any:
        return fresh_task(
            use_case,
            partition,
            partitions=partitions,
            definition=loaded.definition,
            key=key,
            versions=versions,
            pool=pool,
        )

    def prepare(task: Any, live: bool) -> None:
        if isinstance(task, LearnerTask):  # nothing is published while it is folded
            task.pack = pack if live else None

    shared = use_case.is_shared(partitions)
    bound_pauses()
    trainers = _trainers(use_case, pack, settings.riverrun_trainers) if shared else None
    group = group_of(loaded, settings)
    names = topic_admin.names_of(use_case, settings)
    store = store_of(loaded, settings, fresh) if settings.redis_url is not None else None
    config = WorkerConfig(
        factory=fresh,
        store=store,
        on_stopped=None if store is None else store.close,
        roll=Eras(loaded, settings, names, partitions).roll,
        skip_after=use_case.skip_after,
        shown_name=shown_name(loaded, settings),
        partitions=partitions,
        lead_s=use_case.freshness.event_time if shared else None,
        learner=learner_inputs(partitions, features=use_case.shares_features),
        trainers=trainers,
        prepare=prepare,
        flaw=versions.flaw if shared else None,
        relay=relay_of(loaded, settings, partitions),
        unseen_s=use_case.horizon / LEAD,
        client=settings.kafka_client(),
        encoders=asyncio.run(encoders_of(use_case, names, settings)),
        topics=names,
        group_id=group,
        claimed=member,
        compression=COMPRESSION,
        redis_url=settings.redis_address() if settings.redis_url else None,
        serving=serving_of(use_case, settings),
        beside=_beside(use_case, settings, group),
        health_host=settings.riverrun_http_host,
        health_port=health_port,
        metrics=PrometheusExporter(use_case, loaded.definition).render,
    )
    return run_worker(config)


def _trainers(use_case: UseCase, pack: Pack, wanted: int) -> Callable[[], TrainerPool] | None:
    """Return what makes trainers, before this process has threads; None where none are wanted."""
    if not wanted:
        return None
    return partial(TrainerPool, fork_server_of(use_case, pack), use_case, wanted)


def relay_of(loaded: LoadedUseCase, settings: Settings, partitions: int) -> RelayPlan | None:
    """Return the plan of what relays the use case's sources; None where it has none."""
    if not loaded.use_case.sources:
        return None
    for source in loaded.use_case.sources:
        if (package := missing_package(source.format)) is not None:
            raise ConfigError(
                f"The format of {source.topic} needs {package}, which is not installed.",
                hint="pip install 'riverrun[sources]'",
            )
    return RelayPlan(
        loaded.use_case,
        settings.kafka_client(),
        topic_admin.names_of(loaded.use_case, settings),
        group_of(loaded, settings),
        partitions,
        loaded.definition,
        compression=COMPRESSION,
        registry=registry_of(settings),
        shown_name=shown_name(loaded, settings),
    )


def _beside(
    use_case: UseCase, settings: Settings, group: str
) -> Callable[[], Coroutine[Any, Any, Any]]:
    """Return what runs in the worker that owns partition 0."""
    names = topic_admin.names_of(use_case, settings)
    decider = DeciderService(use_case, settings, names, group)
    tables = use_case.tables.values()
    relays = [TableRelay(use_case, table, settings, names, group) for table in tables]

    async def run() -> None:
        await asyncio.gather(decider.run(), *(relay.run() for relay in relays))

    return run


def serving_of(use_case: UseCase, settings: Settings) -> FeatureStoreWriter | None:
    """Return what fills the feature store; None where it is not asked for."""
    if not use_case.serve_features or settings.redis_url is None:
        return None
    served = use_case.serve_features
    return FeatureStoreWriter(
        settings.kafka_client(),
        settings.redis_address(),
        topic=topic_admin.names_of(use_case, settings)["features"],
        use_case=use_case.name,
        prefix=settings.riverrun_topic_prefix,
        entity=served if isinstance(served, str) else None,
    )


async def refuse_another(loaded: LoadedUseCase, settings: Settings, partitions: int) -> None:
    """Raise `Incompatible`, with the ways on, if a partition runs under another definition."""
    names = topic_admin.names_of(loaded.use_case, settings)
    shared = loaded.use_case.is_shared(partitions)
    numbers = [*range(partitions), *([LEARNER] if shared else [])]
    newest = await newest_entries(settings.kafka_client(), names, numbers)
    for last in newest.values():
        if last is not None and last.definition != loaded.definition:
            past = await DefinitionHistory.read(names["definitions"], settings)
            raise Incompatible(explained(loaded, last, past))
