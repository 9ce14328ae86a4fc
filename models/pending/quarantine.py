"""Outcomes of implausible value: held instead of learnt, until released, corrected or forgotten.

    outcome ──implausible──▶ held ──release (command)──────────▶ learnt
                               ├──plausible second outcome─────▶ learnt (a correction)
                               └──the id's memory ends─────────▶ dropped, never learnt

While one is held, its prediction waits and then expires like any other, but no default label is
learnt of it. Bounded: past `limit` of them, or `limit_bytes` of records, the oldest make room.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from models.inputs.decoder import DecodedRecord


class Held(NamedTuple):
    """One outcome: its record, the watermark when it came, and when its id is forgotten."""

    taken: DecodedRecord
    arrived: float
    until: float


class Quarantine:
    """The held outcomes by event id, the oldest first. Times are seconds UTC, event time."""

    __slots__ = ("bytes", "ends", "held", "limit", "limit_bytes")

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self.held: dict[str, Held] = {}
        # The earliest end of any held outcome: before it there is nothing to forget.
        self.ends = math.inf

    def hold(self, event_id: str, held: Held) -> list[Held]:
        """Add an outcome; return those that were dropped for it."""
        self.held[event_id] = held
        self.bytes += _size(held)
        self.ends = min(self.ends, held.until)
        evicted = []
        while len(self.held) > self.limit or self.bytes > self.limit_bytes:
            evicted.append(self.held.pop(next(iter(self.held))))
            self.bytes -= _size(evicted[-1])
        return evicted

    def release(self, event_id: str) -> Held | None:
        """Hold it no longer; None if it was not held."""
        held = self.held.pop(event_id, None)
        if held is not None:
            self.bytes -= _size(held)
        return held

    def forget(self, now: float) -> int:
        """Drop those whose id's memory has ended by now; return their number."""
        before = len(self.held)
        self.restore({name: held for name, held in self.held.items() if held.until >= now})
        return before - len(self.held)

    def restore(self, held: dict[str, Held]) -> None:
        """Restore the saved outcomes."""
        self.held = held
        self.bytes = sum(map(_size, held.values()))
        self.ends = min((one.until for one in held.values()), default=math.inf)


def _size(held: Held) -> int:
    return len(held.taken.record.value or b"")
