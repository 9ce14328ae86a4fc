"""Fresh tasks, with this process's readers of signed states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from models.training.window_folds import WindowPool
from schemas.topics import LEARNER
from streams.snapshots.model_transfer import unsealer
from streams.snapshots.version_transfer import VersionReader


def fresh_task(
    use_case: UseCase,
    partition: int,
    *,
    partitions: int,
    definition: str,
    key: Callable[[], bytes],
    versions: VersionReader | None = None,
    pool: WindowPool | None = None,
) -> Any:
    """Return a fresh task of a partition, or of the learner (`LEARNER`).

    `versions`, `pool`: what the partitions of this process share; None: a reader of its own, and
    windows of its own.
    """
    if partition == LEARNER:
        return LearnerTask(
            use_case, partitions=partitions, definition=definition, pack=None, unseal=unsealer(key)
        )
    return PartitionTask(
        use_case,
        partition=partition,
        partitions=partitions,
        definition=definition,
        unseal=unsealer(key),
        unpack=versions or VersionReader(use_case, key),
        pool=pool,
    )
