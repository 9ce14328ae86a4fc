"""A queue of ids by their time, the oldest first, ties by id: eight bytes an id.

A list of (time, id) takes 130, which for a million predictions is as much as their features. So
only the next few hundred are such a list, the head. Later ids lie in buckets, each with a span of
time, as bare ids: `time_of` is called for the time of each when its bucket becomes the first. Ids
that are added in the order of their times are compared with the last one only.

    head: (time, id) …  |  bucket: id id id …  |  bucket: id id …      later ──▶
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable

BUCKET_SIZE = 512
Entry = tuple[float, str]
END: Entry = (float("inf"), "")


class ExpiryQueue:
    """`time_of` returns an id's time, None once the id has left the queue; such ids may still come
    up, once for each time that they were added. `first` is `END` if there is none.
    """

    __slots__ = ("_buckets", "_head", "_last", "_lows", "_popped", "_time_of", "first", "size")

    def __init__(self, time_of: Callable[[str], float | None]) -> None:
        self._time_of = time_of
        self.first = END
        self.size = 0
        # The head in order, and how many of it have left already; empty only if the queue is.
        self._head: list[Entry] = []
        self._popped = 0
        # The first entry of each bucket, and where all ends: the head is before the first of them.
        self._lows: list[Entry] = [END]
        self._buckets: list[list[str]] = []
        self._last = END

    def add(self, time: float, event_id: str) -> None:
        """Add an id."""
        entry = time, event_id
        self.size += 1
        if entry < self._lows[0]:
            head = self._head
            if head and entry < head[-1]:
                insort(head, entry, self._popped)
            else:
                head.append(entry)
            self.first = head[self._popped]
            if len(head) - self._popped > 4 * BUCKET_SIZE:
                self._spill()
        elif entry < self._last or len(self._buckets[-1]) >= BUCKET_SIZE:
            self._insert(entry)
        else:
            self._last = entry
            self._buckets[-1].append(event_id)

    def pop(self) -> Entry:
        """Remove the first one and return it."""
        entry = self.first
        self.size -= 1
        self._popped += 1
        if self._popped >= BUCKET_SIZE or self._popped == len(self._head):
            self._begin(self._head[self._popped :])
        else:
            self.first = self._head[self._popped]
        return entry

    def _begin(self, head: list[Entry]) -> None:
        """Replace the head by the next bucket, if there is one."""
        self._head, self._popped = head, 0
        if not head:
            self._open()
        self.first = self._head[0] if self._head else END

    def sweep(self) -> None:
        """Drop the ids that have left the queue."""
        time_of = self._time_of
        waiting = self._head[self._popped :]
        head = sorted({entry for entry in waiting if time_of(entry[1]) == entry[0]})
        rebuilt = ExpiryQueue(time_of)
        rest: list[Entry] = []
        for number in range(len(self._buckets)):
            rest += self._entries_of(number)
            if len(rest) >= BUCKET_SIZE:
                rebuilt._replace(len(rebuilt._buckets), 0, rest)
                rest = []
        rebuilt._replace(len(rebuilt._buckets), 0, rest)
        self._lows, self._buckets = rebuilt._lows, rebuilt._buckets
        self.size = len(head) + sum(map(len, self._buckets))
        self._begin(head)

    def _insert(self, entry: Entry) -> None:
        """Insert into one of the buckets, or into a new last one; split a full one."""
        number = bisect_right(self._lows, entry) - 1
        bucket = self._buckets[number]
        if entry >= self._last:
            self._last = entry
            self._replace(number + 1, 0, [entry])
            return
        bucket.append(entry[1])
        if len(bucket) > 2 * BUCKET_SIZE:
            entries = self._entries_of(number)
            self.size -= len(bucket) - len(entries)
            self._replace(number, 1, entries)

    def _spill(self) -> None:
        """Move all but the first of a head that has grown into buckets."""
        head = self._head
        if not self._buckets:
            self._last = head[-1]
        self._replace(0, 0, head[self._popped + BUCKET_SIZE :])
        del head[self._popped + BUCKET_SIZE :]

    def _open(self) -> None:
        """Make the first bucket the head, or the second if the first is empty."""
        while self._buckets and not self._head:
            self._head = self._entries_of(0)
            self.size -= len(self._buckets[0]) - len(self._head)
            self._replace(0, 1, [])

    def _entries_of(self, number: int) -> list[Entry]:
        """Return the entries of a bucket, in order; an id used again is in another bucket."""
        low, end = self._lows[number : number + 2]
        times = ((self._time_of(event_id), event_id) for event_id in self._buckets[number])
        due = {(time, event_id) for time, event_id in times if time is not None}
        return sorted(entry for entry in due if low <= entry < end)

    def _replace(self, number: int, instead_of: int, entries: list[Entry]) -> None:
        """Replace `instead_of` buckets by new ones with these entries, in order."""
        at, starts = slice(number, number + instead_of), range(0, len(entries), BUCKET_SIZE)
        self._lows[at] = [entries[start] for start in starts]
        self._buckets[at] = [
            [event_id for _, event_id in entries[start : start + BUCKET_SIZE]] for start in starts
        ]
