"""Tasks at their beginning, with what reads signed states in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
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
) -> Any:
    """Return a partition's task that has seen nothing, or the learner's (`LEARNER`).

    `versions`: what the partitions of this process share; None: a reader of its own.
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
    )
