"""How far each topic of a use case is, and how fast it grows."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from time import monotonic

from aiokafka.errors import KafkaError

from schemas.errors import Unavailable
from schemas.topics import CATALOGUE
from streams.ops.scene import Case
from streams.tapes import Tapes

LOOK_S = 1.5
OVER = 6


@dataclass(frozen=True, slots=True)
class Reach:
    """One topic: offsets together (aborted and control records count), and how many a second."""

    kind: str
    topic: str
    partitions: int
    kept: int
    per_s: float | None


class Ends:
    """Asked again at most every `LOOK_S`. Memory: the last `OVER` answers."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._tapes: Tapes | None = None
        self._seen: deque[tuple[float, dict[str, int]]] = deque(maxlen=OVER)
        self._reach: list[Reach] = []

    async def read(self) -> list[Reach]:
        """Every topic of the catalogue that there is; raises `Unavailable`."""
        if self._seen and monotonic() - self._seen[-1][0] < LOOK_S:
            return self._reach
        try:
            if self._tapes is None:
                self._tapes = await Tapes(
                    list(self._case.names.values()), self._case.settings
                ).__aenter__()
                if len(self._tapes.places) == 0:
                    await self.close()
                    return []
            bounds = await self._tapes.bounds()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise Unavailable(f"Kafka does not answer ({type(error).__name__}).") from error
        ends: dict[str, int] = {}
        kept: dict[str, int] = {}
        for place, (start, end) in bounds.items():
            ends[place.topic] = ends.get(place.topic, 0) + end
            kept[place.topic] = kept.get(place.topic, 0) + end - start
        self._seen.append((monotonic(), ends))
        self._reach = [
            Reach(topic.kind, name, len(self._tapes.of(name)), kept[name], self._rate(name))
            for topic in CATALOGUE
            if (name := self._case.names[topic.kind]) in kept
        ]
        return self._reach

    def _rate(self, topic: str) -> float | None:
        (before, first), (now, last) = self._seen[0], self._seen[-1]
        if now - before < 1 or topic not in first:
            return None
        return max(0.0, (last[topic] - first[topic]) / (now - before))

    async def close(self) -> None:
        """Let go of the connection."""
        tapes, self._tapes = self._tapes, None
        if tapes is not None:
            with contextlib.suppress(KafkaError, OSError):
                await tapes.__aexit__(None, None, None)
