"""Predictions that wait for their outcome, ids that are remembered, outcomes that came early.

Every event id is in one of three states until `memory` seconds (event time) after its event:

    waiting ──outcome──▶ settled
       └──────horizon──▶ expired ──late outcome──▶ settled

All are bounded: past `waiting_limit` the oldest waiting ones expire early, past `early_limit` the
oldest early outcome is given up. The newest wait as they are; all others as bytes
(`models.packing`), since a million live objects would be gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from models.agenda import Agenda
from models.packing import (
    SETTLED,
    WAITING,
    Packing,
    Settled,
    Waiting,
    as_expired,
    settled,
    state_of,
    time_of,
)


class Ledger:
    """The state of every id in memory, of one partition; times are seconds UTC, event time."""

    __slots__ = (
        "_known",
        "_packing",
        "_pending",
        "changed",
        "early",
        "entries",
        "horizon",
        "limit",
        "memory",
        "waiting",
    )

    def __init__(self, horizon: float, memory: float, limit: int, packing: Packing) -> None:
        self.horizon = horizon
        self.memory = memory
        self.limit = limit
        # Bytes: packed, or settled.
        self.entries: dict[str, Waiting | bytes] = {}
        self.waiting = 0
        self.early: dict[str, Any] = {}
        # Ids that changed since a snapshot's keeper cleared it; None while nobody keeps any.
        self.changed: set[str] | None = None
        self._packing = packing
        self._set_out()

    def _set_out(self) -> None:
        # Of functions that know the entries alone: the ledger is let go of with its last user.
        self._pending = Agenda(partial(_pending_time, self.entries))
        self._known = Agenda(partial(_known_time, self.entries))

    def find(self, event_id: str) -> Waiting | Settled | None:
        """What is known of an id, not packed."""
        entry = self.entries.get(event_id)
        if isinstance(entry, bytes) and state_of(entry) != SETTLED:
            return self._packing.opened(event_id, entry)
        return entry

    def state(self, event_id: str) -> int | None:
        """`WAITING`, `EXPIRED` or `SETTLED`; None: it is not known."""
        entry = self.entries.get(event_id)
        return None if entry is None else state_of(entry)

    def wait(self, event_id: str, waiting: Waiting) -> None:
        """A prediction was made."""
        self.entries[event_id] = waiting
        self._note(event_id)
        self.waiting += 1
        self._pending.add(waiting.time, event_id)
        if self._pending.size > 2 * self.waiting + 1_024:
            # Settled ids leave once they are the most of it: its size follows `waiting`.
            self._pending.sweep()

    def pack(self, event_id: str) -> None:
        """Keep it as bytes from now on, if it still waits."""
        entry = self.entries.get(event_id)
        if isinstance(entry, Waiting):
            self.entries[event_id] = self._packing.packed(event_id, entry)

    def settle(self, event_id: str, waiting: Waiting, event: bytes, outcome: bytes) -> None:
        """Its outcome is known; the id stays known until its memory passes."""
        if self.state(event_id) == WAITING:
            self.waiting -= 1
            self._known.add(waiting.time, event_id)
        self.entries[event_id] = settled(waiting.time, event, outcome)
        self._note(event_id)

    def _note(self, event_id: str) -> None:
        if self.changed is not None:
            self.changed.add(event_id)

    def due(self, now: float) -> bool:
        """True if `overdue` or `forget` has anything to do at `now`."""
        return (
            self._pending.first[0] < now - self.horizon
            or self._known.first[0] < now - self.memory
            or self.waiting > self.limit
            or self._known.size > self.limit
        )

    def overdue(self, now: float) -> Iterator[tuple[str, Waiting]]:
        """Predictions whose horizon has passed at `now`, oldest first; each is now expired."""
        pending, before = self._pending, now - self.horizon
        while pending.first[0] < before or (self.waiting > self.limit and pending.size):
            time, event_id = pending.pop()
            if _pending_time(self.entries, event_id) != time:
                continue
            waiting = self.find(event_id)
            assert isinstance(waiting, Waiting)
            expired = waiting._replace(expired=True)
            entry = self.entries[event_id]
            self.entries[event_id] = (
                as_expired(entry)
                if isinstance(entry, bytes)
                else self._packing.packed(event_id, expired)
            )
            self._note(event_id)
            self.waiting -= 1
            self._known.add(time, event_id)
            yield event_id, expired

    def forget(self, now: float) -> None:
        """Drop the ids whose memory has passed, or that are more than memory holds."""
        known, before = self._known, now - self.memory
        while known.first[0] < before or known.size > self.limit:
            time, event_id = known.pop()
            if _known_time(self.entries, event_id) != time:
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

    def restore(self, entries: dict[str, Waiting | bytes], early: dict[str, Any]) -> None:
        """Take over saved ids; an id's event time is kept with it, the agendas are made anew."""
        self.entries, self.early = entries, early
        if self.changed is not None:
            self.changed.clear()
        self.waiting = 0
        self._set_out()
        for event_id, entry in entries.items():
            if state_of(entry) == WAITING:
                self._pending.add(time_of(entry), event_id)
                self.waiting += 1
            else:
                self._known.add(time_of(entry), event_id)
        for event_id in [i for i, entry in entries.items() if isinstance(entry, Waiting)]:
            self.pack(event_id)


def _pending_time(entries: Mapping[str, Waiting | bytes], event_id: str) -> float | None:
    entry = entries.get(event_id)
    return time_of(entry) if entry is not None and state_of(entry) == WAITING else None


def _known_time(entries: Mapping[str, Waiting | bytes], event_id: str) -> float | None:
    entry = entries.get(event_id)
    return time_of(entry) if entry is not None and state_of(entry) != WAITING else None
