"""Outcomes that came before their event, bounded in number and bytes, and no key can use up the
bound.

Where the bound is reached, the oldest outcome of the key with the most bytes is dropped: a producer
whose outcomes match no event loses those of its own key, and of no other. Each outcome counts for
at least an equal share of the bytes, so that between keys with few of them age decides, not length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from models.inputs.decoder import DecodedRecord

OVERHEAD_BYTES = 200
"""The bytes of an outcome besides its record's value and key."""


class _Held(NamedTuple):
    """One outcome: its number in the order of arrival, and its size."""

    number: int
    room: int
    taken: DecodedRecord


class EarlyOutcomes(Mapping[str, DecodedRecord]):
    """Early outcomes by event id, the oldest first; at most `limit`, and `limit_bytes` together."""

    __slots__ = ("_ids", "_keys", "_largest", "_next", "limit", "limit_bytes", "room")

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.room = 0
        self._next = 0
        self._ids: dict[str, _Held] = {}
        # Kafka key → its event ids, the oldest first, and the room that they take.
        self._keys: dict[bytes, tuple[dict[str, None], int]] = {}
        # (-room, number of its oldest, key), also as keys were: the first that still holds counts.
        self._largest: list[tuple[int, int, bytes]] = []

    def __getitem__(self, event_id: str) -> DecodedRecord:
        return self._ids[event_id].taken

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def hold(self, event_id: str, taken: DecodedRecord) -> list[DecodedRecord]:
        """Add an outcome; return those that were dropped to keep the bounds."""
        self._put(event_id, taken)
        given_up = []
        while len(self._ids) > self.limit or self.room > self.limit_bytes:
            crowded = self._crowded()
            given_up.append(self._ids[crowded].taken)
            self.pop(crowded)
        return given_up

    def of_event(self, event_id: str) -> list[DecodedRecord]:
        """Return what is held of an event, the oldest first."""
        return [self[event_id]] if event_id in self else []

    def pop_event(self, event_id: str) -> list[DecodedRecord]:
        """Hold what was held of an event no longer."""
        taken = self.pop(event_id) if self._ids else None
        return [] if taken is None else [taken]

    def pop(self, event_id: str) -> DecodedRecord | None:
        """Hold it no longer; None if it was not held."""
        if event_id not in self._ids:
            return None
        _, room, taken = self._ids.pop(event_id)
        key = taken.record.key or b""
        ids, of_key = self._keys[key]
        del ids[event_id]
        self.room -= room
        if ids:
            self._note(key, ids, of_key - room)
        else:
            del self._keys[key]
        return taken

    def restore(self, early: Mapping[str, DecodedRecord]) -> None:
        """Take over what was held, in its order."""
        self.room = self._next = 0
        self._ids, self._keys, self._largest = {}, {}, []
        for event_id, taken in early.items():
            self._put(event_id, taken)

    def _put(self, event_id: str, taken: DecodedRecord) -> None:
        record = taken.record
        key = record.key or b""
        size = len(record.value or b"") + len(key) + OVERHEAD_BYTES
        room = max(size, self.limit_bytes // self.limit)
        self._ids[event_id] = _Held(self._next, room, taken)
        self._next += 1
        self.room += room
        ids, of_key = self._keys.get(key, ({}, 0))
        ids[event_id] = None
        self._note(key, ids, of_key + room)

    def _note(self, key: bytes, ids: dict[str, None], room: int) -> None:
        self._keys[key] = ids, room
        if len(self._largest) > 4 * len(self._keys) + 64:
            self._largest = [self._place(key) for key in self._keys]
            heapify(self._largest)
        else:
            heappush(self._largest, self._place(key))

    def _place(self, key: bytes) -> tuple[int, int, bytes]:
        ids, room = self._keys[key]
        return -room, self._ids[next(iter(ids))].number, key

    def _crowded(self) -> str:
        """Return the event id to drop: the oldest of the key with the most bytes."""
        while self._largest[0][2] not in self._keys or self._largest[0] != self._place(
            self._largest[0][2]
        ):
            heappop(self._largest)
        return next(iter(self._keys[self._largest[0][2]][0]))


class EarlyOutcomesOfFolds(EarlyOutcomes):
    """The same where an event has several outcomes: by any names, and found by their event."""

    __slots__ = ("_of_event",)

    def __init__(self, limit: int, limit_bytes: int) -> None:
        super().__init__(limit, limit_bytes)
        self._of_event: dict[str, dict[str, None]] = {}

    def of_event(self, event_id: str) -> list[DecodedRecord]:
        """Return what is held of an event, the oldest first."""
        return [self[name] for name in self._of_event.get(event_id, ())]

    def pop(self, event_id: str) -> DecodedRecord | None:
        """Hold what has this name no longer; None if it was not held."""
        taken = super().pop(event_id)
        if taken is not None:
            names = self._of_event[taken.body.event_id]
            del names[event_id]
            if not names:
                del self._of_event[taken.body.event_id]
        return taken

    def pop_event(self, event_id: str) -> list[DecodedRecord]:
        """Hold what was held of an event no longer."""
        popped = [self.pop(name) for name in list(self._of_event.get(event_id, ()))]
        return [taken for taken in popped if taken is not None]

    def restore(self, early: Mapping[str, DecodedRecord]) -> None:
        """Take over what was held, in its order."""
        self._of_event = {}
        super().restore(early)

    def _put(self, event_id: str, taken: DecodedRecord) -> None:
        super()._put(event_id, taken)
        self._of_event.setdefault(taken.body.event_id, {})[event_id] = None
