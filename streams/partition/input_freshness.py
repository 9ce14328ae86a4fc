"""The freshness of empty inputs: each was looked at since the record that is next was fetched.

A transaction of the relay, or a burst of any producer, may be many horizons of event time. Its
records become visible on one topic a moment before another: an input that was at its end a moment
ago is no proof that nothing earlier is to come, and what comes later than the horizon is lost. So
records that lead by more than `unseen_s` of event time wait until each empty input was fetched
twice since (of two answers the second was asked for after the record had come), and has no open
transaction. Live, where records follow each other within that time, nothing waits.

Producers of topics of others write to several partitions without a transaction, one a few
milliseconds after the other. So the relay waits for `settled_s` besides, since the record came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from faust.types import TP

ANSWERS = 2
LEAD = 8
"""A record may lead an input that was not fetched since by this part of the horizon."""


class FreshEnds:
    """The time up to which each input may be passed while it is empty.

    Call order: `fetched` with each batch; `passes` before a record is taken past an empty input.
    Memory: a few numbers for each batch that is not taken.
    """

    def __init__(
        self,
        ends: Any,
        tps: Sequence[TP | None],
        aligned: Collection[int],
        unseen_s: float,
        settled_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._answered = getattr(ends, "answered", None)
        self._tps = tps
        self._aligned = [i for i in sorted(aligned) if tps[i] is not None]
        self._unseen_s = unseen_s
        self._settled_s = settled_s
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Start over."""
        is_on = self._answered is not None and self._unseen_s < float("inf")
        self.sure: list[float] = [float("-inf" if is_on else "inf") for _ in self._tps]
        self._counts = [0 for _ in self._tps]
        self._newest: list[tuple[int, int]] = [(-1, -1) for _ in self._tps]
        # Of each input's batches: where each ends, the answers of all by then, and when that was.
        self._batches: list[deque[tuple[int, list[int], float]]] = [deque() for _ in self._tps]

    def fetched(self, i: int, end: int) -> None:
        """Record that a batch came, up to offset `end`."""
        if self.sure[i] < float("inf"):
            self._look()
            self._batches[i].append((end, list(self._counts), self._clock()))

    def gave(self, i: int, time: float) -> None:
        """Record that an input's last fetched record was due at that time."""
        self.sure[i] = max(self.sure[i], time + self._unseen_s)

    def passes(self, i: int, expected: int, head: tuple[int, int, float]) -> bool:
        """Return whether `head`, input, offset and time of a record, may be taken past input `i`,
        of which offset `expected` is next.
        """
        first, offset, time = head
        if time <= self.sure[i]:
            return True
        self._look()
        batches = self._batches[first]
        while batches and batches[0][0] <= offset:
            batches.popleft()
        asked, came_at = (batches[0][1][i], batches[0][2]) if batches else (0, float("-inf"))
        if self._clock() - came_at < self._settled_s:
            return False
        if self._counts[i] < asked + ANSWERS or self._newest[i][1] > expected:
            return False
        self.gave(i, time)
        return True

    def _look(self) -> None:
        assert self._answered is not None
        for i in self._aligned:
            newest = self._answered(self._tps[i])
            if newest is not None and newest[0] != self._newest[i][0]:
                self._counts[i] += 1
                self._newest[i] = newest
