"""How a journal's entries are looked for: what is read of a long journal to find one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from models.inputs.decoder import PlainRecord
from models.inputs.journal import Journal
from models.inputs.json_bytes import encoded
from streams.replay.kafka_log import KafkaLog

ENTRIES = 6_000


class JournalOnly:
    """A consumer of a journal on which a transaction's marker follows each entry; it counts the
    records that it has given.
    """

    def __init__(self, entries: int) -> None:
        self.end = 2 * entries
        self.given = 0
        self._at = 0

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go there."""
        self._at = offset

    async def position(self, tp: TopicPartition) -> int:
        """Return the next offset."""
        return self._at

    async def beginning_offsets(self, tps: Sequence[TopicPartition]) -> Mapping[Any, int]:
        """Return the first offsets."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> Mapping[Any, int]:
        """Return the offsets after the last."""
        return dict.fromkeys(tps, self.end)

    async def getmany(
        self, tp: TopicPartition, timeout_ms: int, max_records: int
    ) -> Mapping[Any, Any]:
        """Return the records from the position on."""
        first = self._at + self._at % 2
        offsets = range(first, min(first + 2 * max_records, self.end), 2)
        self.given += len(offsets)
        self._at = min(first + 2 * max_records, self.end)
        return {tp: [_record(offset) for offset in offsets]}


def _record(offset: int) -> Any:
    journal = Journal(1)
    journal.take(0, PlainRecord("t", 0, offset, 0, b"k", b"v"))
    journal.seq = offset // 2
    value = encoded(journal.seal("d1", 4))
    return SimpleNamespace(offset=offset, value=value, timestamp=0, topic="j", partition=0)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> KafkaLog:
    """A log whose journal is that one."""
    monkeypatch.setattr(
        "streams.replay.kafka_log.AIOKafkaConsumer", lambda **_: JournalOnly(ENTRIES)
    )
    return KafkaLog({}, journal="j", inputs=(), partition=0)


@pytest.mark.parametrize("seq", [0, 1, 999, 1_000, 1_001, 3_000, 5_990, 5_999, 6_000, 7_000])
async def test_entries_are_found_from_any_number_on(log: KafkaLog, seq: int) -> None:
    """From that number to the end, each once, wherever the search came by."""
    assert [entry.seq async for entry in log.entries(seq)] == list(range(seq, ENTRIES))


@pytest.mark.parametrize(("back", "read"), [(0, 10), (3, 10), (50, 200)])
async def test_the_newest_entries_are_found_without_reading_thousands(
    log: KafkaLog, back: int, read: int
) -> None:
    """Each partition asks for them when it is taken over, while nobody answers."""
    assert len([entry async for entry in log.entries(ENTRIES - back)]) == back
    assert log._consumer.given <= read
