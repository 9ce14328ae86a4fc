"""The end of each topic of a use case, and its rate of growth."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from time import monotonic

from aiokafka.errors import KafkaError

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE
from streams.kafka.topic_reader import TopicReader
from streams.web.state.page_model import Case

REFRESH_S = 1.5
ANSWERS_MAX = 6


@dataclass(frozen=True, slots=True)
class TopicSize:
    """One topic: its offsets (aborted and control records count) and records a second."""

    kind: str
    topic: str
    partitions: int
    retained: int
    per_s: float | None


class TopicOffsets:
    """The sizes of a use case's topics, read at most every `REFRESH_S`.

    Memory: the last `ANSWERS_MAX` reads.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._reader: TopicReader | None = None
        self._ends: deque[tuple[float, dict[str, int]]] = deque(maxlen=ANSWERS_MAX)
        self._sizes: list[TopicSize] = []
        self._turn = asyncio.Lock()

    async def read(self) -> list[TopicSize]:
        """Return every existing topic of the catalogue; raises `Unavailable`."""
        async with self._turn:
            return await self._read()

    async def _read(self) -> list[TopicSize]:
        if self._ends and monotonic() - self._ends[-1][0] < REFRESH_S:
            return self._sizes
        try:
            if self._reader is None:
                self._reader = await TopicReader(
                    list(self._case.names.values()), self._case.settings
                ).__aenter__()
                if len(self._reader.topic_partitions) == 0:
                    await self.close()
                    return []
            bounds = await self._reader.bounds()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"Kafka does not answer ({type(error).__name__}).") from error
        ends: dict[str, int] = {}
        retained: dict[str, int] = {}
        for partition, (start, end) in bounds.items():
            ends[partition.topic] = ends.get(partition.topic, 0) + end
            retained[partition.topic] = retained.get(partition.topic, 0) + end - start
        self._ends.append((monotonic(), ends))
        self._sizes = [
            TopicSize(
                topic.kind, name, len(self._reader.of(name)), retained[name], self._rate(name)
            )
            for topic in CATALOGUE
            if (name := self._case.names[topic.kind]) in retained
        ]
        return self._sizes

    def _rate(self, topic: str) -> float | None:
        (before, first), (now, last) = self._ends[0], self._ends[-1]
        if now - before < 1 or topic not in first:
            return None
        return max(0.0, (last[topic] - first[topic]) / (now - before))

    async def close(self) -> None:
        """Close the connection."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(KafkaError, OSError):
                await reader.__aexit__(None, None, None)
