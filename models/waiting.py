"""Predictions that wait for their outcome, ids that are remembered, outcomes that came early.

Every event id is in one of three states until `memory` seconds (event time) after its event:

    waiting ──outcome──▶ settled
       └──────horizon──▶ expired ──late outcome──▶ settled

All are bounded: past `waiting_limit` the oldest waiting ones expire early, past `early_limit` the
oldest early outcome is given up. What waits is kept as bytes, as it went to the topics, since a
million live objects would be gigabytes.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple


class Waiting(NamedTuple):
    """One prediction without its outcome."""

    time: float
    event: bytes
    features: bytes
    said: tuple[Any, ...]
    expired: bool
    silent: bool
    trace: bytes | None


Settled = bytes
"""Event time, digest of the event, digest of the outcome: to tell a repetition from a
contradiction without keeping either. Made by `settled`."""


class Ledger:
    """The state of every id in memory, of one partition; times are seconds UTC, event time."""

    __slots__ = (
        "_known",
        "_pending",
        "changed",
        "early",
        "entries",
        "horizon",
        "limit",
        "memory",
        "waiting",
    )

    def __init__(self, horizon: float, memory: float, limit: int) -> None:
        self.horizon = horizon
        self.memory = memory
        self.limit = limit
        self.entries: dict[str, Waiting | Settled] = {}
        self.waiting = 0
        self.early: dict[str, Any] = {}
        # Ids that changed since a snapshot's keeper cleared it; None while nobody keeps any.
        self.changed: set[str] | None = None
        # Both are heaps of (event time, id): the oldest first, ties by id, whatever came when.
        self._pending: list[tuple[float, str]] = []
        self._known: list[tuple[float, str]] = []

    def wait(self, event_id: str, waiting: Waiting) -> None:
        """A prediction was made."""
        self.entries[event_id] = waiting
        self._note(event_id)
        self.waiting += 1
        heapq.heappush(self._pending, (waiting.time, event_id))
        if len(self._pending) > 2 * self.waiting + 1_024:
            self._sweep()

    def _sweep(self) -> None:
        """Settled ids leave the heap once they are the most of it: its size follows `waiting`."""
        entries = self.entries
        self._pending = [
            place
            for place in self._pending
            if isinstance(entry := entries.get(place[1]), Waiting) and not entry.expired
        ]
        heapq.heapify(self._pending)

    def settle(self, event_id: str, waiting: Waiting, event: bytes, outcome: bytes) -> None:
        """Its outcome is known; the id stays known until its memory passes."""
        if not waiting.expired:
            self.waiting -= 1
            heapq.heappush(self._known, (waiting.time, event_id))
        self.entries[event_id] = settled(waiting.time, event, outcome)
        self._note(event_id)

    def _note(self, event_id: str) -> None:
        if self.changed is not None:
            self.changed.add(event_id)

    def due(self, now: float) -> bool:
        """True if `overdue` or `forget` has anything to do at `now`."""
        pending, known = self._pending, self._known
        return bool(
            (pending and pending[0][0] < now - self.horizon)
            or (known and known[0][0] < now - self.memory)
            or self.waiting > self.limit
            or len(known) > self.limit
        )

    def overdue(self, now: float) -> Iterator[tuple[str, Waiting]]:
        """Predictions whose horizon has passed at `now`, oldest first; each is now expired."""
        pending, before = self._pending, now - self.horizon
        while pending and (pending[0][0] < before or self.waiting > self.limit):
            time, event_id = heapq.heappop(pending)
            entry = self.entries.get(event_id)
            if not isinstance(entry, Waiting) or entry.expired or entry.time != time:
                continue
            expired = entry._replace(expired=True)
            self.entries[event_id] = expired
            self._note(event_id)
            self.waiting -= 1
            heapq.heappush(self._known, (entry.time, event_id))
            yield event_id, expired

    def forget(self, now: float) -> None:
        """Drop the ids whose memory has passed, or that are more than memory holds."""
        known, before = self._known, now - self.memory
        while known and (known[0][0] < before or len(known) > self.limit):
            time, event_id = heapq.heappop(known)
            entry = self.entries.get(event_id)
            if entry is None or _time_of(entry) != time:
                continue
            del self.entries[event_id]
            self._note(event_id)

    def hold_early(self, event_id: str, taken: Any, limit: int) -> list[Any]:
        """Hold an outcome until its event comes; returns those given up to keep the bound."""
        self.early[event_id] = taken
        given_up = []
        while len(self.early) > limit:
            given_up.append(self.early.pop(next(iter(self.early))))
        return given_up

    def stale_early(self, now: float) -> list[Any]:
        """Early outcomes whose event did not come within the horizon."""
        given_up = []
        while self.early:
            event_id, taken = next(iter(self.early.items()))
            if taken.time + self.horizon >= now:
                break
            given_up.append(self.early.pop(event_id))
        return given_up

    def restore(self, entries: dict[str, Waiting | Settled], early: dict[str, Any]) -> None:
        """Take over saved ids; an id's event time is kept with it, the heaps are made anew."""
        self.entries, self.early = entries, early
        if self.changed is not None:
            self.changed.clear()
        self.waiting = 0
        self._pending, self._known = [], []
        for event_id, entry in entries.items():
            if isinstance(entry, Waiting):
                place = (entry.time, event_id)
                if entry.expired:
                    self._known.append(place)
                else:
                    self._pending.append(place)
                    self.waiting += 1
            else:
                self._known.append((_time_of(entry), event_id))
        heapq.heapify(self._pending)
        heapq.heapify(self._known)


def settled(time: float, event: bytes, outcome: bytes) -> Settled:
    """An id's last state: its event time and the digests (8 bytes each) of event and outcome."""
    return struct.pack("<d", time) + event + outcome


def _time_of(entry: Waiting | Settled) -> float:
    if isinstance(entry, Waiting):
        return entry.time
    time: float = struct.unpack_from("<d", entry)[0]
    return time
