"""Archived states from which a derivation starts: the snapshot archive (RIVERRUN_ARCHIVE).

A state that is taken from there is believed, since it is signed; what it leads to is compared.
"""

from __future__ import annotations

import asyncio

from models.task.partition_task import PartitionTask
from schemas.errors import RiverrunError
from streams.config.naming import group_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.replay.derivation import StartingStates
from streams.snapshots.archive import Archive, ArchivedSnapshot, archive_of
from streams.snapshots.origin import origin_of
from streams.snapshots.signed_format import UnusableSnapshot
from streams.topics.topic_admin import names_of
from streams.unpickling.safe_unpickler import Allowed


def starts_of(loaded: LoadedUseCase, settings: Settings) -> StartingStates | None:
    """Return the archived states of a use case; None if no archive is set."""
    if settings.riverrun_archive is None:
        return None
    url, group = settings.riverrun_archive.get_secret_value(), group_of(loaded, settings)
    origin = origin_of(settings, group, names_of(loaded.use_case, settings)["journal"])
    key, interval_s = settings.snapshot_key(), settings.riverrun_archive_interval_s
    archive = archive_of(url, group, key, interval_s, origin)
    return None if archive is None else Archived(archive)


class Archived:
    """The states of an archive (deriving.Starts)."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the newest usable one of at most `seq` closed entries; else `fresh` itself."""
        return await self._archive.near(fresh, seq)

    async def oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the oldest usable one of at least `seq` closed entries; else `fresh` itself."""
        return await asyncio.to_thread(self._oldest, fresh, seq)

    def _oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        for snapshot in sorted(self._archive.of(fresh.partition)):
            if snapshot.seq >= seq and snapshot.definition == fresh.definition:
                try:
                    return self._restored(snapshot, fresh)
                except UnusableSnapshot:
                    continue
        return fresh

    def _restored(self, snapshot: ArchivedSnapshot, fresh: PartitionTask) -> PartitionTask:
        use_case = fresh.use_case
        task = fresh.fresh()
        allowed = Allowed(use_case.models.values(), use_case.event.__module__)
        try:
            self._archive.restore(snapshot, task, allowed)
        except OSError as error:
            raise RiverrunError(f"the archive cannot be read: {error}") from error
        task.ledger.changed = None
        return task
