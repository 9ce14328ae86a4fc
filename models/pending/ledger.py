"""Predictions that wait for their outcome, ids that are remembered, and early outcomes.

Every event id is in one of three states until `memory` seconds (event time) after its event:

    waiting ──outcome──▶ settled
       └──────horizon──▶ expired ──late outcome──▶ settled

All are bounded, in number and in bytes (of the events' records): past `waiting_limit` or
`waiting_bytes` the oldest waiting ones expire early and the oldest ids are forgotten early; early
outcomes are in `models.pending.early_outcomes`. The newest wait as they are; all others as bytes
(`models.pending.codec`), since a million live objects would be gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from models.inputs.decoder import DecodedRecord
from models.pending.codec import (
    SETTLED,
    WAITING,
    Codec,
    PendingPrediction,
    Settled,
    as_expired,
    bytes_of,
    settled,
    state_of,
    time_of,
)
from models.pending.early_outcomes import EarlyOutcomes
from models.pending.expiry_queue import ExpiryQueue


class PendingLedger:
    """The state of every id in memory, of one partition; times are seconds UTC, event time."""

    __slots__ = (
        "_known",
        "_packing",
        "_pending",
        "changed",
        "early",
        "entries",
        "horizon",
        "known_bytes",
        "limit",
        "limit_bytes",
        "memory",
        "waiting",
        "waiting_bytes",
    )

    def __init__(
        self,
        horizon: float,
        memory: float,
        limits: tuple[int, int],
        early: EarlyOutcomes,
        packing: Codec,
    ) -> None:
        self.horizon = horizon
        self.memory = memory
        self.limit, self.limit_bytes = limits
        # Bytes: packed, or settled.
        self.entries: dict[str, PendingPrediction | bytes] = {}
        # Of the events that wait; of those that expired, and of all known ids.
        self.waiting = self.waiting_bytes = self.known_bytes = 0
        self.early = early
        # Ids that changed since the last snapshot cleared it; None where no snapshots are taken.
        self.changed: set[str] | None = None
        self._packing = packing
        self._set_out()

    def _set_out(self) -> None:
        # Made of functions that hold the entries only, so that the ledger is freed with its last
        # user.
        self._pending = ExpiryQueue(partial(_pending_time, self.entries))
        self._known = ExpiryQueue(partial(_known_time, self.entries))

    def find(self, event_id: str) -> PendingPrediction | Settled | None:
        """Return an id's entry, unpacked."""
        entry = self.entries.get(event_id)
        if isinstance(entry, bytes) and state_of(entry) != SETTLED:
            return self._packing.opened(entry)
        return entry

    def state(self, event_id: str) -> int | None:
        """Return `WAITING`, `EXPIRED` or `SETTLED`; None: it is not known."""
        entry = self.entries.get(event_id)
        return None if entry is None else state_of(entry)

    def wait(self, event_id: str, waiting: PendingPrediction) -> None:
        """Keep a prediction that waits for its outcome."""
        self.entries[event_id] = waiting
        self._note(event_id)
        self.waiting += 1
        self.waiting_bytes += len(waiting.event)
        self._pending.add(waiting.time, event_id)
        if self._pending.size > 2 * self.waiting + 1_024:
            # Settled ids are removed once they are the majority: its size follows `waiting`.
            self._pending.sweep()

    def pack(self, event_id: str) -> None:
        """Pack the prediction into bytes, if it still waits."""
        entry = self.entries.get(event_id)
        if isinstance(entry, PendingPrediction):
            self.entries[event_id] = self._packing.packed(entry)

    def settle(
        self, event_id: str, waiting: PendingPrediction, event: bytes, outcome: bytes
    ) -> None:
        """Record that its outcome is known; the id stays known until its memory passes."""
        if self.state(event_id) == WAITING:
            self.waiting -= 1
            self.waiting_bytes -= len(waiting.event)
            self.known_bytes += len(event_id)
            self._known.add(waiting.time, event_id)
        else:
            self.known_bytes -= len(waiting.event)
        self.entries[event_id] = settled(waiting.time, event, outcome)
        self._note(event_id)

    def _note(self, event_id: str) -> None:
        if self.changed is not None:
            self.changed.add(event_id)

    def due(self, now: float) -> bool:
        """Return whether `overdue` or `forget` has anything to do at `now`."""
        return (
            self._pending.first[0] < now - self.horizon
            or self._known.first[0] < now - self.memory
            or self.waiting > self.limit
            or self._known.size > self.limit
            or self.waiting_bytes > self.limit_bytes
            or self.known_bytes > self.limit_bytes
        )

    def overdue(self, now: float) -> Iterator[tuple[str, PendingPrediction]]:
        """Return predictions whose horizon has passed at `now`, oldest first, now expired."""
        pending, before = self._pending, now - self.horizon
        while pending.first[0] < before or (
            (self.waiting > self.limit or self.waiting_bytes > self.limit_bytes) and pending.size
        ):
            time, event_id = pending.pop()
            if _pending_time(self.entries, event_id) != time:
                continue
            waiting = self.find(event_id)
            assert isinstance(waiting, PendingPrediction)
            expired = waiting._replace(expired=True)
            entry = self.entries[event_id]
            self.entries[event_id] = (
                as_expired(entry) if isinstance(entry, bytes) else self._packing.packed(expired)
            )
            self._note(event_id)
            self.waiting -= 1
            self.waiting_bytes -= len(waiting.event)
            self.known_bytes += len(waiting.event) + len(event_id)
            self._known.add(time, event_id)
            yield event_id, expired

    def forget(self, now: float) -> int:
        """Drop the ids whose memory has passed, and those beyond the bound; return the number of
        the latter.
        """
        known, before, evicted = self._known, now - self.memory, 0
        while known.first[0] < before or (
            (known.size > self.limit or self.known_bytes > self.limit_bytes) and known.size
        ):
            time, event_id = known.pop()
            if _known_time(self.entries, event_id) != time:
                continue
            self.known_bytes -= bytes_of(self.entries.pop(event_id)) + len(event_id)
            evicted += time >= before
            self._note(event_id)
        return evicted

    def stale_early(self, now: float) -> list[DecodedRecord]:
        """Return the early outcomes whose event did not come within the horizon."""
        given_up = []
        for event_id, taken in self.early.items():
            if taken.time + self.horizon >= now:
                break
            given_up.append(event_id)
        return self._give_up(given_up)

    def early_after(self, time: float) -> list[DecodedRecord]:
        """Remove and return the early outcomes dated later than `time`."""
        return self._give_up([i for i, taken in self.early.items() if taken.time > time])

    def _give_up(self, event_ids: list[str]) -> list[DecodedRecord]:
        given_up = map(self.early.pop, event_ids)
        return [taken for taken in given_up if taken is not None]

    def restore(
        self, entries: dict[str, PendingPrediction | bytes], early: Mapping[str, DecodedRecord]
    ) -> None:
        """Take over saved ids; an id's event time is kept with it, the queues are built again."""
        self.entries = entries
        self.early.restore(dict(early))
        if self.changed is not None:
            self.changed.clear()
        self.waiting = self.waiting_bytes = self.known_bytes = 0
        self._set_out()
        for event_id, entry in entries.items():
            if state_of(entry) == WAITING:
                self._pending.add(time_of(entry), event_id)
                self.waiting += 1
                self.waiting_bytes += bytes_of(entry)
            else:
                self._known.add(time_of(entry), event_id)
                self.known_bytes += bytes_of(entry) + len(event_id)
        for event_id in [i for i, entry in entries.items() if isinstance(entry, PendingPrediction)]:
            self.pack(event_id)


def _pending_time(entries: Mapping[str, PendingPrediction | bytes], event_id: str) -> float | None:
    entry = entries.get(event_id)
    return time_of(entry) if entry is not None and state_of(entry) == WAITING else None


def _known_time(entries: Mapping[str, PendingPrediction | bytes], event_id: str) -> float | None:
    entry = entries.get(event_id)
    return time_of(entry) if entry is not None and state_of(entry) != WAITING else None
