"""The watermark: the largest event or outcome time that a partition has seen.

Only the command `set-watermark` moves it back. Three rules decide which times move it forward:

1. A time more than `max_jump` later than the record's own Kafka timestamp is never believed,
   however many records agree on it: the record was in Kafka before it can have happened. Replayed
   records lie before their timestamps. `models.inputs.decoder` refuses such a record before its
   turn. Brokers bound the timestamps themselves (`message.timestamp.after.max.ms`, KIP-937).
2. A time within `max_jump` of its Kafka timestamp is believed at once: a quiet stream wakes up.
3. Any other time (a replay) may be `max_jump` ahead of the watermark. A record further ahead is set
   aside. If `agree` records in a row are that far ahead and within `max_jump` of each other, the
   replay really has a gap and all are taken; an in-order record in between marks the earlier jump
   as a clock error.

Before there is a watermark, the Kafka timestamp stands in for it.
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
        """Return the watermark after a record of that time."""
        if self.time is None or time > self.time:
            self.time = time
        return self.time

    def doubts(self, time: float, timestamp_ms: int) -> bool:
        """Return whether a record of that time is too far ahead to be believed alone.

        It is at most `max_jump` later than its Kafka timestamp (rule 1).
        """
        if self.time is None or time <= self.time + self.max_jump:
            return False
        return time + self.max_jump < timestamp_ms / 1000.0

    def set_back(self, time: float) -> list[Any]:
        """Move the watermark back to `time`; returns all that was set aside, now refused."""
        if self.time is not None and self.time > time:
            self.time = time
        return self.refuse()

    def holds(self, taken: Any) -> bool:
        """Return whether the same record was set aside: a repetition is no further witness."""
        return any(
            held.input == taken.input and held.body.event_id == taken.body.event_id
            for held in self.aside
        )

    def set_aside(self, taken: Any) -> tuple[list[Any], list[Any]]:
        """Set a doubted record aside; return the records that are now believed and those now
        refused.
        """
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
        """Return all that was set aside, now that an ordinary record has come."""
        refused, self.aside = self.aside, []
        return refused
