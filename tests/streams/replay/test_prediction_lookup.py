"""An event looked for on topics that have no index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition

from streams.kafka.record_decoder import RecordDecoder
from streams.replay.prediction_lookup import STRETCH, find
from tests.support.memory import Record


class Shelf(RecordDecoder):
    """Partitions as lists of event ids; counts what is read."""

    def __init__(self, ids: list[list[str]]) -> None:
        super().__init__()
        self.ids = {TopicPartition("p", number): names for number, names in enumerate(ids)}
        self.read = 0

    async def bounds(self) -> dict[TopicPartition, tuple[int, int]]:
        """As a topic's."""
        return {tp: (0, len(names)) for tp, names in self.ids.items()}

    async def records(
        self, tp: TopicPartition, start: int = 0, end: int | None = None
    ) -> AsyncIterator[Any]:
        """Those offsets, counted."""
        for offset in range(start, end or SIZE):
            self.read += 1
            value = orjson.dumps({"event_id": self.ids[tp][offset]})
            yield Record(tp.topic, tp.partition, offset, value)


SIZE = 40_000


@pytest.fixture
def shelf() -> Shelf:
    """Two partitions of many events each."""
    return Shelf([[f"{number}-{n}" for n in range(SIZE)] for number in (0, 1)])


async def looked_for(shelf: Shelf, event_id: str) -> tuple[int, int] | None:
    """The place of an event."""
    reader: Any = shelf
    record = await find(reader, list(shelf.ids), "events", event_id)
    return None if record is None else (record.partition, record.offset)


async def test_what_is_recent_is_found_without_reading_history(shelf: Shelf) -> None:
    """In the last partition, too: all are looked through abreast."""
    assert await looked_for(shelf, f"1-{SIZE - 1}") == (1, SIZE - 1)
    assert shelf.read <= 2 * STRETCH


async def test_what_is_old_is_found_and_nothing_is_read_twice(shelf: Shelf) -> None:
    """Down to the very first; what no partition has is not found after one pass."""
    assert await looked_for(shelf, "0-0") == (0, 0)
    shelf.read = 0
    assert await looked_for(shelf, "0-nobody") is None
    assert shelf.read == 2 * SIZE


async def test_of_a_repetition_soon_after_the_first_is_taken(shelf: Shelf) -> None:
    """An outcome that came twice is the one that was learnt."""
    shelf.ids[TopicPartition("p", 0)][-3:] = ["again", "other", "again"]
    assert await looked_for(shelf, "again") == (0, SIZE - 3)
