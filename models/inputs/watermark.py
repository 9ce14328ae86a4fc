"""The watermark: the largest event or outcome time that a partition has seen. It never goes back.

A record more than `max_jump` ahead of it is set aside. If `agree` records in a row are that far
ahead and within `max_jump` of each other, time really has moved and all are taken; one ordinary
record between says that it was a clock gone mad. A record whose time agrees with its own Kafka
timestamp is believed at once (a quiet stream wakes up): a broker refuses timestamps that are an
hour ahead of its clock (KIP-937). Before there is a watermark, the timestamp stands in for it.
"""

from __future__ import annotations

from typing import Any


class Watermark:
    """Seconds UTC; `time` is None until the first record. Memory: at most twice `agree` records."""

    __slots__ = ("agree", "aside", "max_jump", "time")

    def __init__(self, max_jump: float, agree: int) -> None:
        self.time: float | None = None
        self.max_jump = max_jump
        self.agree = agree
        self.aside: list[Any] = []

    def advance(self, time: float) -> float:
        """The watermark after a record of that time."""
        if self.time is None or time > self.time:
            self.time = time
        return self.time

    def doubts(self, time: float, timestamp_ms: int) -> bool:
        """True if a record of that time is too far ahead to be believed alone."""
        stamped = timestamp_ms / 1000.0
        known = self.time if self.time is not None else stamped
        return time > known + self.max_jump and abs(time - stamped) > self.max_jump

    def holds(self, taken: Any) -> bool:
        """True if the same record was set aside before: a repetition is no second witness."""
        return any(
            held.input == taken.input and held.body.event_id == taken.body.event_id
            for held in self.aside
        )

    def set_aside(self, taken: Any) -> tuple[list[Any], list[Any]]:
        """Hold a doubted record: (those now believed, those now refused)."""
        refused: list[Any] = []
        if self.aside and abs(taken.time - self.aside[0].time) > self.max_jump:
            refused, self.aside = self.aside, []
        self.aside.append(taken)
        # An event and its outcome are one witness.
        if len({held.body.event_id for held in self.aside}) < self.agree:
            return [], refused
        believed, self.aside = sorted(self.aside, key=lambda held: held.time), []
        return believed, refused

    def refuse(self) -> list[Any]:
        """All that was set aside, now that an ordinary record has come."""
        refused, self.aside = self.aside, []
        return refused
