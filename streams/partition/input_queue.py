"""The records of one input that were fetched and not yet taken, in order and without holes.

The rules: a batch that starts past what is expected means that one before it was lost, and the
reader must seek back; what lies below is dropped; a jump inside a batch is a real gap (aborted
and control records). Whatever drops a batch must be followed by a seek, so `accept` says so.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from streams.kafka.faust_transport import Batch

RECORDS_MAX = 8_000
BYTES_MAX = 32 << 20


class InputQueue:
    """One input's queue. Bounded by its reader: `full` says when to stop fetching."""

    def __init__(self) -> None:
        self.expected = -1
        self.records: deque[Any] = deque()
        self.bytes = 0

    def reset(self, offset: int) -> None:
        """Expect that offset next; what was queued is gone."""
        self.expected = offset
        self.records.clear()
        self.bytes = 0

    def accept(self, batch: Batch) -> bool:
        """Queue what is new of a batch. False: a batch before it was lost, seek to `expected`."""
        if batch.start > self.expected:
            return False
        if batch.end <= self.expected:
            return True
        for record in batch.records:
            if record.offset >= self.expected:
                self.records.append(record)
                self.bytes += len(record.value or b"") + len(record.key or b"") + 100
        self.expected = batch.end
        return True

    def pop(self) -> Any | None:
        """Return the next record, or None."""
        if not self.records:
            return None
        record = self.records.popleft()
        self.bytes -= len(record.value or b"") + len(record.key or b"") + 100
        return record

    @property
    def full(self) -> bool:
        """True if fetching should stop."""
        return len(self.records) >= RECORDS_MAX or self.bytes >= BYTES_MAX

    @property
    def ebbed(self) -> bool:
        """True if fetching may go on."""
        return len(self.records) <= RECORDS_MAX // 2 and self.bytes <= BYTES_MAX // 2
