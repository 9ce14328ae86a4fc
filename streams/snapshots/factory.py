"""The snapshot store of a use case, from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.task.partition_task import PartitionTask
from streams.config.naming import group_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.snapshots.archive import archive_of
from streams.snapshots.origin import origin_of
from streams.snapshots.redis_store import connect
from streams.snapshots.snapshot_store import Snapshots
from streams.topics import topic_admin
from streams.unpickling.safe_unpickler import Allowed


def store_of(
    loaded: LoadedUseCase,
    settings: Settings,
    make: Callable[[int], PartitionTask],
    *,
    archive_interval_s: float | None = None,
    **given: Any,
) -> Snapshots:
    """Return the snapshots of a use case, in Redis and in the archive that is set; `make`: fresh
    tasks.

    `archive_interval_s`: instead of what is set.
    """
    assert settings.redis_url is not None
    group, key, use_case = group_of(loaded, settings), settings.snapshot_key(), loaded.use_case
    url = settings.riverrun_archive.get_secret_value() if settings.riverrun_archive else None
    origin = origin_of(settings, group, topic_admin.names_of(use_case, settings)["journal"])
    if archive_interval_s is None:
        archive_interval_s = settings.riverrun_archive_interval_s
    return Snapshots(
        connect(settings.redis_address()),
        group,
        make,
        key=key,
        allowed=Allowed(use_case.models.values(), use_case.event.__module__),
        origin=origin,
        archive=archive_of(url, group, key, archive_interval_s, origin),
        **given,
    )
