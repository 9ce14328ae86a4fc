"""Kept states to start a derivation near: those of the snapshot archive (RIVERRUN_ARCHIVE).

A state that is taken from there is believed, since it is signed; what it leads to is compared.
"""

from __future__ import annotations

import asyncio

from models.task import PartitionTask
from schemas.errors import RiverrunError
from streams.deriving import Starts
from streams.loading import Loaded
from streams.operating import group_of
from streams.settings import Settings
from streams.snapshots.archive import Archive, Kept, archive_of
from streams.snapshots.sealed import Unusable
from streams.unpickling import Allowed


def starts_of(loaded: Loaded, settings: Settings) -> Starts | None:
    """Those of a use case's archive; None if no archive is set."""
    if settings.riverrun_archive is None:
        return None
    url, group = settings.riverrun_archive.get_secret_value(), group_of(loaded, settings)
    archive = archive_of(url, group, settings.snapshot_key(), settings.riverrun_archive_interval_s)
    return None if archive is None else Archived(archive)


class Archived:
    """The states of an archive (deriving.Starts)."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """The newest usable one of at most `seq` closed entries; else `fresh` itself."""
        return await self._archive.near(fresh, seq)

    async def oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """The oldest usable one of at least `seq` closed entries; else `fresh` itself."""
        return await asyncio.to_thread(self._oldest, fresh, seq)

    def _oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        for kept in sorted(self._archive.of(fresh.partition)):
            if kept.seq >= seq and kept.definition == fresh.definition:
                try:
                    return self._restored(kept, fresh)
                except Unusable:
                    continue
        return fresh

    def _restored(self, kept: Kept, fresh: PartitionTask) -> PartitionTask:
        use_case = fresh.use_case
        task = fresh.anew()
        allowed = Allowed(use_case.models.values(), use_case.event.__module__)
        try:
            self._archive.restore(kept, task, allowed)
        except OSError as error:
            raise RiverrunError(f"the archive cannot be read: {error}") from error
        task.ledger.changed = None
        return task
