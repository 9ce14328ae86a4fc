"""The journal: which runs of which input were applied, in which order.

Kafka orders the records of one topic-partition and says nothing across them. One entry a committed
batch holds that missing fact, in about 110 bytes: `state = fold(apply, inputs in this order)`.
A run is consecutive records of one input: [input, first offset, count, next offset]. Offsets may
have gaps (aborted and control records), so a run counts records and does not subtract offsets.
"""

from __future__ import annotations

from typing import Any

from schemas.topics import INPUTS


class Journal:
    """The open entry of one partition. `seq`, `step` and `next` are part of the task's state."""

    __slots__ = ("next", "restored", "runs", "seq", "step")

    def __init__(self) -> None:
        self.seq = 0
        self.step = 0
        self.next = [-1] * len(INPUTS)
        self.runs: list[list[int]] = []
        # Commands of the open entry that put a model back as it was.
        self.restored: list[str] = []

    @property
    def begun(self) -> int:
        """Records of the open entry."""
        return sum(run[2] for run in self.runs)

    def take(self, index: int, offset: int) -> None:
        """A record of that input is being applied."""
        self.step += 1
        runs = self.runs
        if runs and runs[-1][0] == index:
            run = runs[-1]
            run[2] += 1
            run[3] = offset + 1
        else:
            runs.append([index, offset, 1, offset + 1])
        self.next[index] = offset + 1

    def seal(self, definition: str) -> dict[str, Any] | None:
        """Close the open entry; None if it is empty."""
        if not self.runs:
            return None
        entry = {
            "seq": self.seq,
            "step": self.step,
            "runs": self.runs,
            "next": list(self.next),
            "definition": definition,
        }
        if self.restored:
            entry["restored"] = self.restored
        self.seq += 1
        self.runs, self.restored = [], []
        return entry

    def skip(self) -> None:
        """Pass over an entry in which nothing was applied: a change of definition."""
        self.seq += 1
