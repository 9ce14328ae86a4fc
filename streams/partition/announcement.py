"""News of a partition for others, beside a journal entry: a header, and no part of its state.

The entry says what was taken, and a fold gives it again to the byte; when the next record is due is
known to who has fetched it. Nobody's state depends on it: it is read for pacing alone
(streams/partition/watermark_alignment.py), and whoever lacks it waits by the entry's time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from math import isnan, nan
from typing import NamedTuple

AHEAD = "ahead"
_TIMES = struct.Struct("<ddd")


class Announcement(NamedTuple):
    """Seconds since 1970, UTC. `due_s`: when the next record is due, None where that is not known;
    `first_s`, `last_s`: when the first and the last example of the batch became known.
    """

    due_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the header; none where there is nothing to tell.

        >>> Announcement.of(Announcement(2.5).headers())
        Announcement(due_s=2.5, first_s=None, last_s=None)
        """
        if self == Announcement():
            return ()
        return ((AHEAD, _TIMES.pack(*(nan if time is None else time for time in self))),)

    @classmethod
    def of(cls, headers: Iterable[tuple[str, bytes]]) -> Announcement:
        """Return what the headers of a journal record announce; nothing where none does."""
        for name, value in headers:
            if name == AHEAD and len(value) == _TIMES.size:
                return cls(*(None if isnan(time) else time for time in _TIMES.unpack(value)))
        return cls()
