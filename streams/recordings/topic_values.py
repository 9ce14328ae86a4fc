"""What is read of a topic: values with their places, and when Kafka had them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from models.inputs.decoder import ahead
from streams.recordings.report import Unusable
from streams.recordings.row_mapping import RecordedEntry


class TopicValue(NamedTuple):
    """A value on a topic. `location`: as in "partition 0, offset 12"."""

    location: str
    value: bytes
    timestamp_ms: int


TopicReader = Callable[[str], list[TopicValue]]
"""Reads a topic's values."""


class Dated:
    """When Kafka had each record of a topic: its own time is believed as far as a worker does."""

    def __init__(self, records: Sequence[TopicValue], max_jump_s: float) -> None:
        self._timestamps_ms = {value.location: value.timestamp_ms for value in records}
        self._max_jump_s = max_jump_s

    def check(self, location: str, entries: Iterable[RecordedEntry | Unusable]) -> None:
        """Raise `Unusable` if the record's time is too far beyond its Kafka timestamp."""
        stamped_ms = self._timestamps_ms[location]
        for entry in entries:
            if not isinstance(entry, Unusable) and (
                entry.time > stamped_ms / 1000 + self._max_jump_s
            ):
                column = f"{entry.kind}_time"
                text = ahead(stamped_ms, entry.time, column, self._max_jump_s)
                why, _, hint = text.partition(". ")
                raise Unusable(why, hint, column)
