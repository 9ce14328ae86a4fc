"""Batches wait here until every schema that their records name is known.

Decoding is pure and does no I/O, so schemas are fetched before. A registry that does not answer is
asked again: records wait, and none is refused. The decoder reports an id that the registry does not
have, or a schema that cannot be read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection

from models.formats.payload import UNUSABLE, WriterSchema
from models.formats.wire_format import schema_ids
from schemas.errors import Incompatible, RiverrunError
from streams.kafka.faust_transport import Batch

log = logging.getLogger("riverrun.sources")

HELD_MAX = 8
RETRY_S = 2.0


class SchemaGate:
    """The batches of one relay that wait for schemas. give* → close.

    `topics`: those whose values name their schema.

    Memory: `HELD_MAX` batches. One that comes beyond is dropped; the queue behind notices that one
    was lost, and seeks back (streams/partition/input_queue.py).
    """

    def __init__(
        self,
        topics: Collection[str],
        schemas: dict[int, WriterSchema],
        fetch: Callable[[int], Awaitable[WriterSchema | None]],
        accept: Callable[[Batch], None],
    ) -> None:
        self.error: str | None = None
        self._topics = frozenset(topics)
        self._schemas = schemas
        self._fetch = fetch
        self._accept = accept
        self._absent: set[int] = set()
        self._held: deque[Batch] = deque()
        self._fetching: asyncio.Task[None] | None = None

    def give(self, batch: Batch) -> None:
        """Pass a batch on, now or once its schemas are known."""
        if not self._held and not self._missing(batch):
            self._accept(batch)
        elif len(self._held) < HELD_MAX:
            self._held.append(batch)
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._fetched())

    @property
    def waiting(self) -> bool:
        """Return whether batches wait that were fetched and not yet passed on."""
        return bool(self._held)

    def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()

    def _missing(self, batch: Batch) -> set[int]:
        if batch.topic not in self._topics:
            return set()
        ids = schema_ids(record.value for record in batch.records)
        return ids - self._schemas.keys() - self._absent

    async def _fetched(self) -> None:
        while self._held:
            for id in sorted(self._missing(self._held[0])):
                await self._fetch_one(id)
            self._accept(self._held.popleft())

    async def _fetch_one(self, id: int) -> None:
        while True:
            try:
                schema = await self._fetch(id)
            except Incompatible as error:  # no protoc reads it: nor will the next time
                schema = WriterSchema(id, UNUSABLE, str(error))
            except RiverrunError as error:
                if self.error is None:
                    log.warning("schema %d: %s", id, error)
                self.error = str(error)
                await asyncio.sleep(RETRY_S)
                continue
            self.error = None
            if schema is None:
                self._absent.add(id)
            else:
                self._schemas[id] = schema
            return
