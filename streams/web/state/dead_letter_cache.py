"""The dead letters of one use case, read once and then followed while a visitor watches.

Stored is what the list shows, not the bytes: a dead letter that is opened or sent again is read
again from its position on the topic.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import TopicPartition

from models.spec.personal_data import masking_of
from schemas.errors import RiverrunError
from streams.kafka.topic_reader import TopicReader
from streams.operations.dead_letter_states import (
    Applied,
    LetterActions,
    LetterState,
    actions_on,
    states_of,
)
from streams.operations.dead_letters import Letter, cause_of
from streams.web.state.page_model import Case

ROWS_MAX, OPENED_MAX = 5_000, 16
IDLE_S, READ_S_MAX = 60.0, 60.0


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One dead letter in the list. `cause`: its error without its varying parts.

    `event_id` is set only for a quarantined outcome, which can be released by it; `parent` is the
    dead letter that was sent again and came back as this one.
    """

    position: str
    timestamp_ms: int
    error_class: str
    error: str
    cause: str
    source: str
    stage: str
    attempt: int
    event_id: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters: of a class, of a cause, at a position; an empty field matches all."""

    error_class: str = ""
    cause: str = ""
    position: str = ""

    @property
    def description(self) -> str:
        """Return the choice in words."""
        return self.position or self.cause or self.error_class or "all"

    def __contains__(self, row: DeadLetterRow) -> bool:
        return (
            self.error_class in ("", row.error_class)
            and self.cause in ("", row.cause)
            and self.position in ("", row.position)
        )


class DeadLetterCache:
    """Rows of the newest dead letters, and the count of each cause."""

    def __init__(self, case: Case) -> None:
        self.rows: deque[DeadLetterRow] = deque(maxlen=ROWS_MAX)
        self.causes: Counter[tuple[str, str]] = Counter()
        self.newest: dict[tuple[str, str], int] = {}
        self.error = ""
        self._is_complete = asyncio.Event()
        self._case = case
        self._masking = masking_of(case.use_case)
        self._turn = asyncio.Lock()
        self._opened: OrderedDict[str, Letter] = OrderedDict()
        self._last_request = 0.0
        self._task: asyncio.Task[None] | None = None

    def keep_reading(self) -> None:
        """Start to read, or go on: a visitor watches."""
        self._last_request = monotonic()
        if self._task is None or self._task.done():
            self.rows.clear()
            self.causes.clear()
            self._is_complete.clear()
            self._task = asyncio.create_task(self._read())

    @property
    def complete(self) -> bool:
        """Return whether all existing dead letters have been read, or cannot be."""
        return self._is_complete.is_set()

    async def open_positions(self, choice: Choice, limit: int) -> list[str]:
        """Return the positions of the chosen open ones, oldest first."""
        return [row.position for row in await self._open_rows(choice)][:limit]

    async def quarantined(self, choice: Choice, limit: int) -> list[str]:
        """Return the events of chosen quarantined outcomes, oldest first."""
        ids = (row.event_id for row in await self._open_rows(choice) if row.event_id)
        return list(dict.fromkeys(ids))[:limit]

    def states(self, acts: LetterActions, applied: Applied) -> dict[str, LetterState]:
        """Return the state of each dead letter in the list, by its position."""
        return states_of(self.rows, acts, applied)

    async def _open_rows(self, choice: Choice) -> list[DeadLetterRow]:
        self.keep_reading()
        async with asyncio.timeout(READ_S_MAX):
            await self._is_complete.wait()
        states = self.states(await actions_on(self._case.settings, self._case.names), {})
        return [row for row in self.rows if row in choice and states[row.position].state == "open"]

    async def opened(self, position: str) -> Letter | None:
        """Return one dead letter with its bytes, or None; cached for all visitors."""
        async with self._turn:
            for letter in () if position in self._opened else await self.letters([position]):
                self._opened[position] = letter
            while len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
            return self._opened.get(position)

    async def letters(self, positions: Sequence[str]) -> list[Letter]:
        """Return these dead letters, with their bytes."""
        topic = self._case.names["dead-letter"]
        letters: list[Letter] = []
        async with TopicReader([topic], self._case.settings) as reader:
            for position in positions:
                partition, _, offset = position.partition("/")
                topic_partition = TopicPartition(topic, int(partition))
                if topic_partition not in reader.topic_partitions:
                    continue
                letters += [
                    Letter(position, record.timestamp, body)
                    async for record, body in reader.rows(
                        "dead-letter", topic_partition, int(offset), int(offset) + 1
                    )
                ]
        return letters

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _read(self) -> None:
        topic = self._case.names["dead-letter"]
        self.error = ""
        try:
            async with TopicReader([topic], self._case.settings) as reader:
                bounds = await reader.bounds()
                if not reader.topic_partitions:
                    self.error = f"There is no topic {topic} yet: a worker creates it."
                    return
                starts = {partition: start for partition, (start, _) in bounds.items()}
                silent = 0
                async for records in reader.follow(starts):
                    for record in records:
                        if (body := reader.row("dead-letter", record)) is not None:
                            self._append(record, body)
                    silent = 0 if records else silent + 1
                    if silent > 1:
                        self._is_complete.set()
                    if monotonic() - self._last_request > IDLE_S:
                        return
        except RiverrunError as error:
            self.error = str(error)
        finally:
            self._is_complete.set()

    def _append(self, record: Any, body: Mapping[str, Any]) -> None:
        position = f"{record.partition}/{record.offset}"
        letter = Letter(position, record.timestamp, body)
        error = letter.as_json(self._masking)["error"]
        cause = cause_of(error)[:160]
        self.rows.append(
            DeadLetterRow(
                position=position,
                timestamp_ms=letter.timestamp_ms,
                error_class=body["error_class"],
                error=error,
                cause=cause,
                source=f"{body['topic']}[{body['partition']}] {body['offset']}",
                stage=body["stage"],
                attempt=letter.attempt,
                event_id=letter.event_id,
                parent=letter.parent,
            )
        )
        group = body["error_class"], cause
        self.causes[group] += 1
        self.newest[group] = max(self.newest.get(group, 0), letter.timestamp_ms)
