"""Who waits for whom while several machines work on one stream of time.

A task that catches up may be days of event time ahead of another. Partitions that run ahead answer
with models that have not learnt what the others still have to publish; a learner that runs ahead
has learnt what, for a slow partition, lies in the future: that partition cannot take its versions.
So each holds back where another one, which is moving and has records in line, is behind
(watermark alignment, Flink's FLIP-182). How far each has come is read from the journals.

None of this is state: it decides which record is taken when, and the journal keeps what was taken.
A partition that does not move holds nobody, whoever is furthest behind never waits, and for a
learner that does not move nobody waits for long: nothing can lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streams.replay.journal_fold import Reached

STILL_S = 1.0
"""Without a new journal entry for so long, a task holds nobody: it has stopped, or recovers."""

NEVER = float("inf")
PENDING_MAX = 100_000
ENTRIES_MAX = 1_000
TO_LEARN = b'"training":{'
"""The text by which an example that the learner is to learn is told from others."""


class Pacing(Protocol):
    """What one task's intake asks, about other tasks."""

    def holds(self, index: int, earliest: float) -> bool:
        """Return whether an input that is at its end will still bring records due before that."""

    def limit(self, clock: float | None) -> float:
        """Return the task's clock beyond which it takes nothing for now."""

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Note what the task makes known at that clock, committed or not."""

    def unlearnt_limit(self) -> float:
        """Return the time of a record beyond which it is not taken for now."""

    def held(self) -> None:
        """Note that a record is held back by `unlearnt_limit`."""


@dataclass
class Reach:
    """How far one task has come, as its newest journal entry says."""

    clock_s: float | None = None
    next: Sequence[int] = ()
    moved_at: float = -NEVER
    ends: Sequence[int] = ()  # last stable offsets of the same inputs, as far as they are known

    @property
    def in_line(self) -> bool:
        """True if it has records that it has not taken; also where that is not known."""
        if not self.ends:
            return True
        # The marker that ends a transaction takes an offset and is no record.
        following = self.next or [0] * len(self.ends)
        return any(end - max(at, 0) > 1 for at, end in zip(following, self.ends, strict=False))


class Progress:
    """How far the partitions and the learner of one use case have come.

    `entry` and `learner_entry` with what comes on the journals, `arrived` with what comes on
    `models`, `ends` with what their inputs hold. `wanted` says that somebody waits, so that asking
    for the ends is worth a request.
    """

    def __init__(self, partitions: int, clock: Callable[[], float]) -> None:
        self.partitions = [Reach() for _ in range(partitions)]
        self.learner = Reach()
        self.wanted = False
        self._clock = clock
        self._entries: deque[Reached] = deque(maxlen=ENTRIES_MAX)
        self._newest: int | None = None

    def entry(self, reach: Reach, entry: Reached) -> None:
        """Note a journal entry."""
        reach.clock_s = entry.clock_s
        reach.next = entry.next
        reach.moved_at = self._clock()

    def learner_entry(self, entry: Reached) -> None:
        """Note an entry of the learner's journal: it counts once the versions published with it
        have arrived, which come by another connection.
        """
        self._entries.append(entry)
        self._settle()

    def arrived(self, number: int) -> None:
        """Note the newest record of `models` that this worker has; -1: there is none yet. Before
        the first call it is not known, and nothing is waited for.
        """
        self._newest = number
        self._settle()

    def _settle(self) -> None:
        entries, newest = self._entries, self._newest
        while entries and (newest is None or (entries[0].updates or 0) <= newest + 1):
            entry = entries.popleft()
            self.entry(self.learner, entry)

    def behind(self, reach: Reach, time: float) -> bool:
        """Return whether that task moves, has records in line and has not come to that time."""
        if self._clock() - reach.moved_at > STILL_S or reach.clock_s is None:
            return False
        if reach.clock_s >= time:
            return False
        self.wanted = True
        return reach.in_line

    def unlearnt(self, time: float) -> bool:
        """Return whether examples wait for the learner, who has not come to that time. It may not
        move, either: it starts, or is taken over.
        """
        if self.learner.clock_s is not None and self.learner.clock_s >= time:
            return False
        self.wanted = True
        return bool(self.learner.ends) and self.learner.in_line


class LearnerPacing:
    """The learner waits for examples of partitions that are behind (`Pacing`).

    `partition_of` input → partition, for the inputs that are a partition's examples.
    """

    def __init__(self, progress: Progress, partition_of: Mapping[int, int]) -> None:
        self._progress = progress
        self._partition_of = partition_of

    def holds(self, index: int, earliest: float) -> bool:
        """Return whether that partition may still publish an example due before `earliest`."""
        partition = self._partition_of.get(index)
        if partition is None:
            return False
        return self._progress.behind(self._progress.partitions[partition], earliest)

    def limit(self, clock: float | None) -> float:
        """Return no limit: what it may learn is a matter of its inputs alone."""
        return NEVER

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Do nothing: nobody learns from the learner's records."""

    def unlearnt_limit(self) -> float:
        """Return no limit."""
        return NEVER

    def held(self) -> None:
        """Do nothing: it is never held back."""


class PartitionPacing:
    """A partition does not run further ahead than the declared staleness (`Pacing`).

    `lead_s` of event time it may be ahead of the learner, of a
    partition that is behind, and of the oldest example of its own that the learner has not learnt:
    that it knows without asking, so that not even a batch runs ahead. It waits at most `wait_s`,
    then goes on with the models it has until it was within bounds again. Memory: a number for each
    example that is not learnt yet, of the newest `PENDING_MAX`.
    """

    def __init__(
        self,
        progress: Progress,
        number: int,
        *,
        lead_s: float,
        wait_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._progress = progress
        self._number = number
        self._lead_s = lead_s
        self._wait_s = wait_s
        self._clock = clock
        self._since: float | None = None
        self._pending: deque[float] = deque(maxlen=PENDING_MAX)
        self._own_since: float | None = None

    def holds(self, index: int, earliest: float) -> bool:
        """Return False: a version that has not come holds no event back."""
        return False

    def limit(self, clock: float | None) -> float:
        """Return the clock beyond which nothing is taken, for now."""
        if clock is None:
            return NEVER
        progress = self._progress
        bound = clock - self._lead_s
        others = [reach for n, reach in enumerate(progress.partitions) if n != self._number]
        behind = [reach for reach in others if progress.behind(reach, bound)]
        if progress.unlearnt(bound):
            behind.append(progress.learner)
        if not behind:
            self._since = None
            return NEVER
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since > self._wait_s:
            return NEVER
        return min(-NEVER if r.clock_s is None else r.clock_s for r in behind) + self._lead_s

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Note the examples that the learner is to learn."""
        for output in outputs:
            if output.kind == "examples" and TO_LEARN in output.value and clock is not None:
                self._pending.append(clock)

    def unlearnt_limit(self) -> float:
        """Return the time up to which it may go on, by the oldest example that is not learnt."""
        learnt, pending = self._progress.learner.clock_s, self._pending
        while pending and learnt is not None and pending[0] <= learnt:
            pending.popleft()
            self._own_since = None
        if not pending:
            return NEVER
        if self._own_since is not None and self._clock() - self._own_since > self._wait_s:
            return NEVER
        return pending[0] + self._lead_s

    def held(self) -> None:
        """Note that a record is held back by `unlearnt_limit`."""
        if self._own_since is None:
            self._own_since = self._clock()
