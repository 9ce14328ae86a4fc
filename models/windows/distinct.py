"""How many different values a key had lately: exact while few, then from a sample of them.

Gibbons and Tirthapura 2001, Estimating simple functions on the union of data streams: of each value
only a hash is kept, and of the hashes only those below a bound (2^64 at first). When there are more
than `sample` of them, the bound is halved. What is counted then stands for 2^level values each.

Sliding, since each hash has the time at which it was seen last. When values become few again, the
bound doubles: from then on hashes below it are kept, and one `last` later they are counted.

Exact up to `sample` different values. Beyond, the standard error is at most √(2 / sample), 6.3 %
for 512, while their number does not fall to a quarter within `last`. Memory: `sample` hashes and
times a key, about 150 bytes each.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2b
from typing import Any

Cell = tuple[dict[int, float], int, int, float]
"""({hash: time it was seen last}, level that is counted, level that is kept, since when)."""

_BITS = 64


class SlidingDistinct:
    """The number of different values in a sliding window, by key."""

    __slots__ = ("cells", "keys", "last", "reached", "sample")

    def __init__(self, sample: int, last: float, keys: int) -> None:
        self.sample = sample
        self.last = last
        self.keys = keys
        self.cells: dict[Any, Cell] = {}
        self.reached = -math.inf

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`, which may be behind the newest."""
        self.reached = max(self.reached, time)
        cell = self.cells.pop(key, None)
        if cell is None:
            if len(self.cells) >= self.keys:
                del self.cells[next(iter(self.cells))]
            cell = ({}, 0, 0, 0.0)
        self.cells[key] = self._settled(*self._seen(cell, time, hash_of(value)))

    def _seen(self, cell: Cell, time: float, hash: int) -> Cell:
        times, level, kept_level, since = cell
        if hash >> (_BITS - kept_level) or time <= self.reached - self.last:
            return cell
        earlier = times.pop(hash, time)
        newest = next(reversed(times.values()), -math.inf)
        times[hash] = time = max(time, earlier)
        if time < newest:
            times = dict(sorted(times.items(), key=lambda entry: entry[1]))
        return times, level, kept_level, since

    def _settled(self, times: dict[int, float], level: int, kept_level: int, since: float) -> Cell:
        """Drop what no record can ask for any more, then fit the levels to what there is."""
        while times:
            hash = next(iter(times))
            if times[hash] > self.reached - self.last:
                break
            del times[hash]
        while len(times) > self.sample:
            kept_level += 1
            level = max(level, kept_level)
            times = {h: t for h, t in times.items() if not h >> (_BITS - kept_level)}
        if kept_level < level and self.reached >= since + self.last:
            level = kept_level
        if level == kept_level > 0 and len(times) < self.sample // 4:
            kept_level, since = level - 1, self.reached
        return times, level, kept_level, since

    def read(self, key: Any, now: float) -> float:
        """Return the number of different values that were seen within `last` before `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return 0.0
        times, level, kept_level, _ = cell
        oldest = now - self.last
        if level != kept_level:
            bound = _BITS - level
            return float(sum(t > oldest and not h >> bound for h, t in times.items()) << level)
        stale = 0
        for time in times.values():
            if time > oldest:
                break
            stale += 1
        return float((len(times) - stale) << level)

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        self.reached = min(self.reached, time)
        for key, (times, level, kept_level, since) in self.cells.items():
            times = {hash: min(at, time) for hash, at in times.items()}
            self.cells[key] = times, level, kept_level, min(since, time)

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.cells, self.reached

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        self.cells, self.reached = saved


def hash_of(value: Any) -> int:
    """Return 64 bits of a text or a number; equal numbers have equal ones.

    >>> hash_of(1) == hash_of(1.0), hash_of("1") == hash_of(1)
    (True, False)
    """
    if isinstance(value, str):
        data = b"t" + value.encode("utf-8", "surrogatepass")
    elif isinstance(value, int) and abs(value) > 1 << 53:
        data = b"i%d" % value
    else:
        data = b"n" + struct.pack("<d", value + 0.0)
    return int.from_bytes(blake2b(data, digest_size=8).digest())
