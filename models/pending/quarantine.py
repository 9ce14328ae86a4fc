"""Outcomes of implausible value: held instead of learnt, until released, corrected or forgotten.

    outcome ──implausible──▶ held ──release (command)──────────▶ learnt
                               ├──plausible second outcome─────▶ learnt (a correction)
                               └──the id's memory ends─────────▶ dropped, never learnt

While one is held, its prediction waits and then expires like any other, but no default label is
learnt of it. Bounded: past `limit` the oldest makes room.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from models.reading import Taken


class Held(NamedTuple):
    """One outcome: its record, the watermark when it came, and when its id is forgotten."""

    taken: Taken
    arrived: float
    until: float


class Quarantine:
    """What is held, by event id, the oldest first. Times are seconds UTC, event time."""

    __slots__ = ("ends", "held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: dict[str, Held] = {}
        # The earliest end of any that is held: before it there is nothing to forget.
        self.ends = math.inf

    def hold(self, event_id: str, held: Held) -> None:
        """Hold one more."""
        if len(self.held) >= self.limit:
            del self.held[next(iter(self.held))]
        self.held[event_id] = held
        self.ends = min(self.ends, held.until)

    def release(self, event_id: str) -> Held | None:
        """Hold it no longer; None if it was not held."""
        return self.held.pop(event_id, None)

    def forget(self, now: float) -> int:
        """Drop those whose id's memory has ended by now; how many."""
        before = len(self.held)
        self.restore({name: held for name, held in self.held.items() if held.until >= now})
        return before - len(self.held)

    def restore(self, held: dict[str, Held]) -> None:
        """Take over what is held."""
        self.held = held
        self.ends = min((one.until for one in held.values()), default=math.inf)
