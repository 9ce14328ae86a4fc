"""A partition task without a model, for the tests of what flows.

It answers each event with three records, each outcome with one, and keeps a running hash over
everything that it applied, in order: two ledgers agree if and only if they applied the same
records in the same order.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import orjson

from models.inputs.journal import digest_of, mark_of
from streams.partition.skip_requests import wishes

NAMES = ("events", "outcomes", "commands", "history")


class Output(NamedTuple):
    """As models/task/partition_task.py has it."""

    kind: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class Taken(NamedTuple):
    """A decoded record."""

    time: float
    input: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int

    @property
    def due(self) -> float:
        """Each in the order of its own time."""
        return self.time


class Ledger:
    """The state: how many of which input, and the hash of all of them in order."""

    partitions = 2

    def __init__(self, inputs: int = 4) -> None:
        self.seq = 0
        self.step = 0
        self.next = [-1] * inputs
        self.counts = [0] * inputs
        self.hash = b""
        self.sealed = ""
        self.last_time = float("-inf")
        self.late = 0  # outcomes and events that came behind a later one: what alignment is for
        self._runs: list[list[int]] = []
        self._skipped: list[Any] = []
        self.wanted: dict[Any, Any] = {}
        self.marks = [-1] * inputs
        self._reported = 0

    @property
    def begun(self) -> int:
        """Records of the open entry."""
        return sum(run[2] for run in self._runs)

    def read(self, input: int, record: Any) -> Taken:
        """Take the time from `{"t": …}`; anything else is taken at once."""
        try:
            time = float(orjson.loads(record.value)["t"])
        except (ValueError, KeyError, TypeError):
            time = float("-inf")
        return Taken(time, input, record.offset, record.key, record.value, record.timestamp)

    def apply(self, taken: Taken) -> list[Output]:
        """Advance by one record."""
        if taken.value == b"bug":
            raise RuntimeError("told to fail")
        i = taken.input
        self._take(i, taken)
        if i == 2:
            asked = wishes([taken])
            self.wanted |= asked
        if taken.time < self.last_time:
            self.late += 1
        self.last_time = max(self.last_time, taken.time)
        self.hash = hashlib.blake2b(self.hash + bytes([i]) + taken.value, digest_size=16).digest()
        if i == 0:
            reply = orjson.dumps({"of": taken.offset, "step": self.step, "hash": self.hash.hex()})
            head = (("ce_id", b"%d" % taken.offset), ("ce_type", b"test"))
            if taken.value.startswith(b"large"):
                reply = b"x" * int(taken.value[5:])
            return [
                Output("features", taken.key, taken.value, head),
                Output("predictions", taken.key, reply, head),
                Output("drift", taken.key, b"{}", head),
            ]
        if i == 1:
            return [Output("examples", taken.key, taken.value)]
        return []

    def _take(self, i: int, record: Any) -> None:
        offset = record.offset
        self.marks[i] = mark_of(record)
        if self._runs and self._runs[-1][0] == i:
            self._runs[-1][2] += 1
            self._runs[-1][3] = offset + 1
        else:
            self._runs.append([i, offset, 1, offset + 1])
        self.next[i] = offset + 1
        self.step += 1
        self.counts[i] += 1

    def note_restored(self, restored: Any) -> None:
        """It puts nothing back."""

    def rule_may_skip(self) -> bool:
        """Always."""
        return True

    def halted(self, index: int, record: Any, failure: Any) -> list[Output]:
        """One record that says where."""
        return [Output("lifecycle", None, b"halted at %d/%d" % (index, record.offset))]

    def set_aside(self, index: int, record: Any, skip: Any) -> list[Output]:
        """Advance by one record, of which no more than its place is taken."""
        self._take(index, record)
        self.wanted.pop(skip.input_offset, None)
        self._skipped.append(skip._asdict())
        return [Output("dead-letter", None, b"%d/%d" % (index, record.offset))]

    def report(self) -> list[Output]:
        """One record of how far it is."""
        self._reported = self.step
        return [Output("metrics", b"step", b"%d" % self.step)]

    def seal(self) -> bytes | None:
        """Close the entry."""
        if not self._runs:
            return None
        runs, self._runs = self._runs, []
        skipped, self._skipped = self._skipped, []
        self.seq += 1
        value = orjson.dumps(
            {
                "seq": self.seq - 1,
                "step": self.step,
                "runs": runs,
                "next": self.next,
                "marks": list(self.marks),
                "partitions": self.partitions,
                "definition": "ledger",
                "skipped": skipped or None,
            }
        )
        self.sealed = digest_of(value)
        return value
