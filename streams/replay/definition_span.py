"""A log up to where its definition changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from streams.replay.definition_history import Unprovable
from streams.replay.journal_fold import Entry, Log


class DefinitionSpan:
    """A log up to where its definition changes: `next` is the first entry of the next one."""

    def __init__(self, log: Log, definition: str) -> None:
        self.next: Entry | None = None
        self._log = log
        self._definition = definition

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
        return await self._log.run(input, first, count)
