"""The journal: which runs of which input were applied, in which order.

Kafka orders the records of one topic-partition and says nothing across them. One entry a committed
batch holds that missing fact, in about 160 bytes: `state = fold(apply, inputs in this order)`.
A run is consecutive records of one input: [input, first offset, count, next offset]. Offsets may
have gaps (aborted and control records), so a run counts records and does not subtract offsets.

An offset names a record only as long as its topic is the same one. So an entry has, besides where
each input goes on, a mark of the record before: its CRC-32. A topic that was deleted and created
again, or restored with other records, does not have it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from zlib import crc32

from models.inputs.skipped_records import Skip
from schemas.topics import INPUTS


def digest_of(value: bytes) -> str:
    """Return the digest that identifies a journal entry's value."""
    return blake2b(value, digest_size=16).hexdigest()


def mark_of(record: Any) -> int:
    """Return the CRC-32 of a record's Kafka timestamp, key and value."""
    stamped = crc32(record.key or b"", record.timestamp & 0xFFFF_FFFF)
    return crc32(record.value or b"", stamped)


class Journal:
    """The open entry of one partition. `seq`, `step` and `next` are part of the task's state."""

    __slots__ = ("_newest", "marks", "next", "restored", "runs", "seq", "skipped", "step")

    def __init__(self, inputs: int = len(INPUTS)) -> None:
        self.seq = 0
        self.step = 0
        self.next = [-1] * inputs
        # Of the record before `next` of each input; -1: none was taken.
        self.marks = [-1] * inputs
        self.runs: list[list[int]] = []
        # Records of the open entry that were set aside, not applied.
        self.skipped: list[Skip] = []
        self._newest: dict[int, Any] = {}
        # Commands of the open entry that put a model back as it was.
        self.restored: list[str] = []

    @property
    def begun(self) -> int:
        """Records of the open entry."""
        return sum(run[2] for run in self.runs)

    def take(self, index: int, record: Any) -> None:
        """Record that an input's record is being applied, or set aside."""
        self.step += 1
        offset = record.offset
        self._newest[index] = record
        runs = self.runs
        if runs and runs[-1][0] == index:
            run = runs[-1]
            run[2] += 1
            run[3] = offset + 1
        else:
            runs.append([index, offset, 1, offset + 1])
        self.next[index] = offset + 1

    def seal(
        self,
        definition: str,
        partitions: int,
        clock_s: float | None = None,
        updates: int | None = None,
    ) -> dict[str, Any] | None:
        """Close the open entry; None if it is empty. `clock_s` is noted where models are shared,
        `updates` in the learner's journal.
        """
        if not self.runs:
            return None
        for index, record in self._newest.items():
            self.marks[index] = mark_of(record)
        self._newest.clear()
        entry = {
            "seq": self.seq,
            "step": self.step,
            "runs": self.runs,
            "next": list(self.next),
            "marks": list(self.marks),
            "partitions": partitions,
            "definition": definition,
        }
        if clock_s is not None:
            entry["clock_s"] = clock_s
        if updates is not None:
            entry["updates"] = updates
        if self.restored:
            entry["restored"] = self.restored
        if self.skipped:
            entry["skipped"] = [skip._asdict() for skip in self.skipped]
        self.seq += 1
        self.runs, self.restored, self.skipped = [], [], []
        return entry

    def skip(self) -> None:
        """Skip an entry in which nothing was applied: a change of definition."""
        self.seq += 1
