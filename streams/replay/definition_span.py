"""A log as one of several folds reads it: up to a change of definition, and abreast of others.

Partitions answer by the same versions of shared models, and to read one takes longer than to fold
what it answers. One fold after another would read all versions again for each partition, since they
cannot all be kept. So folds go abreast: none takes a record of `models` that is more than `APART`
ahead of what the rearmost is at, and a version is still at hand when the last fold asks it. Each
fold is what it would be alone: when it takes its records is no part of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from models.inputs.decoder import MODELS
from streams.replay.definition_history import Unprovable
from streams.replay.journal_fold import Entry, Log
from streams.snapshots.version_transfer import COPIES_MAX

FOLDS_MAX = 16
"""Folds at once: the state of each is in memory."""
APART = COPIES_MAX
"""Records of `models`; so far apart, folds find each version still decoded."""

Pace = Callable[[int, int], Awaitable[None]]
"""(input, first offset) → before records of it are read."""


class DefinitionSpan:
    """A log up to where its definition changes: `next` is the first entry of the next one.

    `pace` may hold the fold back before it reads records.
    """

    def __init__(self, log: Log, definition: str, pace: Pace | None = None) -> None:
        self.next: Entry | None = None
        self._log = log
        self._definition = definition
        self._pace = pace

    async def last(self) -> Entry | None:
        """Return the newest entry of all."""
        return await self._log.last()

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Yield entries from that number on, while they are of its definition."""
        first = True
        async for entry in self._log.entries(seq):
            if first and entry.seq > seq:
                raise Unprovable(
                    f"the journal is kept from entry {entry.seq} on, and {seq} was needed. Keep "
                    "snapshots in an archive (RIVERRUN_ARCHIVE) to prove what retention deletes."
                )
            first = False
            if entry.definition != self._definition:
                self.next = entry
                return
            yield entry

    async def run(self, input: int, first: int, count: int) -> Sequence[Any]:
        """Return records of an input."""
        if self._pace is not None:
            await self._pace(input, first)
        return await self._log.run(input, first, count)


class Abreast:
    """Some folds, by their partitions. pace(…) of each → leave once it has ended."""

    def __init__(self, partitions: Iterable[int]) -> None:
        self._at = dict.fromkeys(partitions, -1)
        self._moved = asyncio.Event()

    def pace(self, partition: int) -> Pace:
        """Return what holds the fold of that partition back while it is ahead."""

        async def hold(index: int, first: int) -> None:
            if index != MODELS:
                return
            self._at[partition] = first
            self._moved.set()
            while first > min(self._at.values()) + APART:
                self._moved.clear()
                await self._moved.wait()

        return hold

    def leave(self, partition: int) -> None:
        """Wait for that fold no more."""
        self._at.pop(partition, None)
        self._moved.set()


async def together(folds: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run folds to their ends; the first failure ends all, and is raised."""
    tasks = [asyncio.create_task(fold) for fold in folds]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
