"""The dead letters of one use case, read once and then as they come, while somebody looks.

Kept is what the list shows, not the bytes: a letter that is opened or sent again is read anew from
its place on the topic.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson
from aiokafka import TopicPartition

from models.personal import masking_of
from schemas.errors import RiverrunError
from streams.dead_letters import Letter, cause_of
from streams.monitor.signs import QUARANTINED
from streams.ops.scene import Case
from streams.tapes import Tapes

KEPT_MAX = 5_000
IDLE_S, READ_S_MAX = 60.0, 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """One letter in the list. `cause`: its error without what differs from case to case.

    `event_id` only of an outcome that is held, which can be released by it.
    """

    place: str
    timestamp_ms: int
    error_class: str
    error: str
    cause: str
    source: str
    stage: str
    attempt: int
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: of a class, of a cause, at a place; an empty one excludes nothing."""

    error_class: str = ""
    cause: str = ""
    place: str = ""

    @property
    def words(self) -> str:
        """As people say it."""
        return self.place or self.cause or self.error_class or "all"

    def __contains__(self, line: Line) -> bool:
        return (
            self.error_class in ("", line.error_class)
            and self.cause in ("", line.cause)
            and self.place in ("", line.place)
        )


class Letterbox:
    """Lines of the newest letters, and how many of each cause there ever were."""

    def __init__(self, case: Case) -> None:
        self.lines: deque[Line] = deque(maxlen=KEPT_MAX)
        self.causes: Counter[tuple[str, str]] = Counter()
        self.newest: dict[tuple[str, str], int] = {}
        self.error = ""
        self._settled = asyncio.Event()
        self._case = case
        self._masking = masking_of(case.use_case)
        self._again: set[str] = set()
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Somebody looks: begin to read, or go on."""
        self._looked = monotonic()
        if self._task is None or self._task.done():
            self.lines.clear()
            self.causes.clear()
            self._settled.clear()
            self._task = asyncio.create_task(self._read())

    @property
    def whole(self) -> bool:
        """Whether all that was there has been read, or cannot be."""
        return self._settled.is_set()

    async def chosen(self, choice: Choice, limit: int) -> list[str]:
        """The places of what is meant, at most so many, oldest first."""
        self.look()
        async with asyncio.timeout(READ_S_MAX):
            await self._settled.wait()
        return [line.place for line in self.lines if line in choice][:limit]

    async def held(self, choice: Choice, limit: int) -> list[str]:
        """The events whose outcomes are held, of what is meant, at most so many, oldest first."""
        await self.chosen(choice, 0)
        ids = (line.event_id for line in self.lines if line in choice and line.event_id)
        return list(dict.fromkeys(ids))[:limit]

    async def letters(self, places: Sequence[str]) -> list[Letter]:
        """Those letters, with their bytes."""
        topic = self._case.names["dead-letter"]
        found: list[Letter] = []
        async with Tapes([topic], self._case.settings) as tapes:
            for place in places:
                partition, _, offset = place.partition("/")
                at = TopicPartition(topic, int(partition))
                if at not in tapes.places:
                    continue
                found += [
                    Letter(place, record.timestamp, orjson.loads(record.value))
                    async for record in tapes.records(at, int(offset), int(offset) + 1)
                ]
        return found

    def sent_again(self, places: Iterable[str]) -> None:
        """Remember that these were, for the list."""
        self._again.update(places)

    def was_sent(self, place: str) -> bool:
        """Whether it was sent again from this page."""
        return place in self._again

    async def close(self) -> None:
        """Read no further."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _read(self) -> None:
        topic = self._case.names["dead-letter"]
        self.error = ""
        try:
            async with Tapes([topic], self._case.settings) as tapes:
                bounds = await tapes.bounds()
                if not tapes.places:
                    self.error = f"There is no topic {topic} yet: a worker creates it."
                    return
                starts = {place: start for place, (start, _) in bounds.items()}
                silent = 0
                async for records in tapes.follow(starts):
                    for record in records:
                        self._take(record)
                    silent = 0 if records else silent + 1
                    if silent > 1:
                        self._settled.set()
                    if monotonic() - self._looked > IDLE_S:
                        return
        except RiverrunError as error:
            self.error = str(error)
        finally:
            self._settled.set()

    def _take(self, record: Any) -> None:
        place = f"{record.partition}/{record.offset}"
        letter = Letter(place, record.timestamp, orjson.loads(record.value))
        body = letter.body
        error = letter.as_json(self._masking)["error"]
        cause = cause_of(error)[:160]
        self.lines.append(
            Line(
                place=place,
                timestamp_ms=letter.timestamp_ms,
                error_class=body["error_class"],
                error=error,
                cause=cause,
                source=f"{body['topic']}[{body['partition']}] {body['offset']}",
                stage=body["stage"],
                attempt=letter.attempt,
                event_id=_held(letter),
            )
        )
        group = body["error_class"], cause
        self.causes[group] += 1
        self.newest[group] = max(self.newest.get(group, 0), letter.timestamp_ms)


def _held(letter: Letter) -> str:
    """The event whose outcome this letter says is held; empty for any other letter."""
    if letter.body["error_class"] != QUARANTINED:
        return ""
    try:
        return str(orjson.loads(letter.value)["event_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
