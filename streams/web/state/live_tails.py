"""Live tails: one reader of each followed topic, shared by all its followers.

A reader starts with the first follower and ends with the last. Each record is decoded and masked
once. Each follower filters by itself and queues at most `ROWS_MAX` rows: more are counted and
dropped, so that a slow follower costs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka.errors import KafkaError

from models.spec.personal_data import masking_of
from schemas.errors import RiverrunError, Unavailable
from streams.inspection.filter_expression import Test
from streams.inspection.tail import masked_row, row_of
from streams.kafka.topic_reader import TopicReader
from streams.web.state.page_model import Case

BACKLOG = 12
"""Existing records with which a tail starts."""

RECENT_MAX, ROWS_MAX = 200, 200
Row = dict[str, Any]


class Follower:
    """The queued rows of one follower. take: the queued rows, and how many were dropped."""

    def __init__(self, tests: Sequence[Test]) -> None:
        self._tests = tests
        self._rows: deque[Row] = deque(maxlen=ROWS_MAX)
        self._left_out = 0
        self._arrived = asyncio.Event()
        self.failed: RiverrunError | None = None

    def matching(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that pass all its tests."""
        return [row for row in rows if all(test(row) for test in self._tests)]

    def offer(self, rows: Sequence[Row]) -> None:
        """Queue the matching rows."""
        chosen = self.matching(rows)
        self._left_out += max(0, len(self._rows) + len(chosen) - ROWS_MAX)
        self._rows.extend(chosen)
        if chosen:
            self._arrived.set()

    def fail(self, error: RiverrunError) -> None:
        """Report that no more rows will come."""
        self.failed = error
        self._arrived.set()

    async def take(self, limit: int, wait_s: float) -> tuple[list[Row], int]:
        """Return at most `limit` rows and how many were dropped; wait up to `wait_s` for some.

        Raises the error that `fail` reported.
        """
        if not self._rows and self.failed is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._arrived.wait()
        if self.failed is not None:
            raise self.failed
        rows = [self._rows.popleft() for _ in range(min(limit, len(self._rows)))]
        left_out, self._left_out = self._left_out, 0
        if not self._rows:
            self._arrived.clear()
        return rows, left_out


class LiveTails:
    """The topics that are followed now. follow → the follower, while the context lasts."""

    def __init__(self) -> None:
        self._readers: dict[str, _Reader] = {}

    @contextlib.asynccontextmanager
    async def follow(self, case: Case, kind: str, tests: Sequence[Test]) -> AsyncIterator[Follower]:
        """Open a follower that starts with the newest records that pass its tests."""
        topic = case.names[kind]
        reader = self._readers.get(topic)
        if reader is None:
            reader = self._readers[topic] = _Reader(case, kind)
        follower = Follower(tests)
        reader.join(follower)
        try:
            yield follower
        finally:
            if reader.leave(follower):
                if self._readers.get(topic) is reader:
                    del self._readers[topic]
                await reader.close()

    @property
    def topics(self) -> list[str]:
        """Return the topics that are read now."""
        return sorted(self._readers)

    async def close(self) -> None:
        """Stop all readers."""
        readers, self._readers = list(self._readers.values()), {}
        for reader in readers:
            await reader.close()


class _Reader:
    """The reader of one topic for its followers, from its newest records on."""

    def __init__(self, case: Case, kind: str) -> None:
        self._case, self._kind = case, kind
        self._masking = masking_of(case.use_case)
        self._followers: list[Follower] = []
        self._recent: deque[Row] = deque(maxlen=RECENT_MAX)
        self._error: RiverrunError | None = None
        self._task = asyncio.create_task(self._run())

    def join(self, follower: Follower) -> None:
        self._followers.append(follower)
        follower.offer(follower.matching(list(self._recent))[-BACKLOG:])
        if self._error is not None:
            follower.fail(self._error)

    def leave(self, follower: Follower) -> bool:
        """Remove a follower; return whether none is left."""
        self._followers.remove(follower)
        return not self._followers

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=2)

    async def _run(self) -> None:
        try:
            await self._read()
        except RiverrunError as error:
            self._fail(error)
        except (KafkaError, OSError, TimeoutError) as error:
            self._fail(Unavailable(f"Kafka does not answer ({type(error).__name__})."))

    def _fail(self, error: RiverrunError) -> None:
        self._error = error
        for follower in self._followers:
            follower.fail(error)

    async def _read(self) -> None:
        async with TopicReader([self._case.names[self._kind]], self._case.settings) as topics:
            bounds = await topics.bounds()
            backlog = [
                r
                for partition in topics.topic_partitions
                for r in await topics.last(partition, BACKLOG)
            ]
            backlog.sort(key=lambda record: record.timestamp)
            self._send(backlog, BACKLOG)
            async for records in topics.follow(
                {partition: end for partition, (_, end) in bounds.items()}
            ):
                if records:
                    self._send(records)
                await asyncio.sleep(0)

    def _send(self, records: Sequence[Any], newest: int | None = None) -> None:
        rows = [masked_row(row_of(record), self._kind, self._masking) for record in records]
        self._recent.extend(rows)
        for follower in self._followers:
            follower.offer(rows if newest is None else follower.matching(rows)[-newest:])
