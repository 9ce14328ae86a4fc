"""Holds back tasks that run ahead, while several machines work on one stream of time.

A task that catches up may be days of event time ahead of another. Partitions that run ahead answer
with models that have not learnt what the others still have to publish; a learner that runs ahead
has learnt what, for a slow partition, lies in the future: that partition cannot take its versions.
So each holds back where another one, which is moving and has records in line, is behind
(watermark alignment, Flink's FLIP-182). How far each has come is read from the journals, and what a
partition announces beside each entry (streams/partition/announcement.py): when its next record is
due, so that nobody waits for one that has nothing to say before (the lookahead of conservative
simulation, Chandy and Misra 1979), and the examples that the learner still has to learn.

None of this is state: it decides which record is taken when, and the journal keeps what was taken.
A partition that does not move holds no other for long, nor does a learner; the one furthest behind
never waits for other partitions: nothing can lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.partition.announcement import Announcement
from streams.replay.journal_fold import Reached

STILL_S = 1.0
"""Without a new journal entry for so long, a task holds nobody: it has stopped, or recovers."""
CATCH_UP_S = 60.0
"""A task that is further behind than that catches up: it is waited for longer (`wait_s`), since the
machine may be so busy that it stands still for seconds.
"""

HELD_S = 0.2
"""So long after a partition was held back it counts as waiting: it may be held again at once."""

NEVER = float("inf")
PENDING_MAX = 100_000
ENTRIES_MAX = 1_000
TO_LEARN = b'"training":{'
"""The text that marks an example that the learner is to learn."""


class Pacing(Protocol):
    """What one task's intake asks, about other tasks."""

    def holds(self, index: int, earliest: float) -> bool:
        """Return whether an input that is at its end will still bring records due before that."""

    def limit(self, clock: float | None, due: float) -> float:
        """Return the time beyond which nothing is taken for now, of a task at that clock whose next
        record is due then.
        """

    def position(self, clock: float | None, due: float, *, is_open: bool) -> float:
        """Return the time that is held against the limit before a record due then is taken;
        `is_open`: others were applied and are not committed.
        """

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Note what the task makes known at that clock, committed or not."""

    def unlearnt_limit(self) -> float:
        """Return the time of a record beyond which it is not taken for now."""

    def held(self, wake: Callable[[], None]) -> None:
        """Record that a record is held back; `wake` is called once others have gone on."""

    def announcement(self, due: float | None) -> Announcement:
        """Return the announcement with the entry that is to be committed, and reset it."""


@dataclass
class Reach:
    """How far one task has come, as its newest journal entry says."""

    clock_s: float | None = None
    next: Sequence[int] = ()
    moved_at: float = -NEVER
    ends: Sequence[int] = ()  # last stable offsets of the same inputs, as far as they are known
    due_s: float | None = None  # when its next record is due, where that was known
    # Of its entries with examples that are not learnt: the times of the first and of the last one.
    untaught: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=ENTRIES_MAX))

    @property
    def in_line(self) -> bool:
        """True if it has records that it has not taken; also where that is not known."""
        if self.due_s is not None or not self.ends:
            return True
        # The marker that ends a transaction takes an offset and is no record.
        following = self.next or [0] * len(self.ends)
        return any(end - max(at, 0) > 1 for at, end in zip(following, self.ends, strict=False))

    @property
    def front(self) -> float:
        """The time before which it has nothing more to say."""
        if self.due_s is not None:
            return self.due_s
        return -NEVER if self.clock_s is None else self.clock_s

    @property
    def earliest(self) -> float:
        """The time beyond which others may be held back on its account."""
        return min(self.front, self.untaught[0][0]) if self.untaught else self.front


class Progress:
    """How far the partitions and the learner of one use case have come.

    `entry` and `learner_entry` with what comes on the journals, `arrived` with what comes on
    `models`, `ends` with what their inputs hold. `wanted` says that somebody waits, so that asking
    for the ends is worth a request. A task that moves seldom is waited for `wait_s`.
    """

    def __init__(
        self, partitions: int, clock: Callable[[], float], *, wait_s: float = 10.0
    ) -> None:
        now = clock()  # who has not begun may be about to
        self.partitions = [Reach(moved_at=now) for _ in range(partitions)]
        self.learner = Reach()
        self.wanted = False
        self.wait_s = wait_s
        self._clock = clock
        # Who is held back: what wakes them, once each.
        self._held: dict[Callable[[], None], None] = {}
        self._front = -NEVER
        self._held_at = -NEVER
        self._entries: deque[Reached] = deque(maxlen=ENTRIES_MAX)
        self._newest: int | None = None
        self._known_from_s = -NEVER
        self._unmoved_since: float | None = None

    def entry(self, reach: Reach, entry: Reached, announced: Announcement | None = None) -> None:
        """Note a journal entry, and what was announced with it."""
        if reach.clock_s is None and entry.seq > 0 and entry.clock_s is not None:
            # What it made known before this entry is not known here.
            self._known_from_s = max(self._known_from_s, entry.clock_s)
        reach.clock_s = entry.clock_s
        reach.next = entry.next
        reach.moved_at = self._clock()
        reach.due_s = None if announced is None else announced.due_s
        if announced is not None and announced.first_s is not None:
            assert announced.last_s is not None
            reach.untaught.append((announced.first_s, announced.last_s))
            self._forget_learnt(reach)
        if self._held and (front := min(r.earliest for r in self.partitions)) != self._front:
            self._front = front
            self._wake()

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
            entry, learner = entries.popleft(), self.learner
            learner.clock_s, learner.next = entry.clock_s, entry.next
            learner.moved_at = self._clock()
            for reach in self.partitions:
                self._forget_learnt(reach)
            self._wake()

    def wait(self, wake: Callable[[], None]) -> None:
        """Let `wake` be called once, when the rearmost partition or the learner has gone on."""
        self._held[wake] = None

    def hold(self, wake: Callable[[], None]) -> None:
        """Note that a partition of this worker is held back, and let it wait."""
        self._held_at = self._clock()
        self.wait(wake)

    @property
    def is_waited_for(self) -> bool:
        """True while partitions of this worker are held back, or were a moment ago."""
        return self._clock() - self._held_at < HELD_S

    def _wake(self) -> None:
        held, self._held = self._held, {}
        for wake in held:
            wake()

    def _forget_learnt(self, reach: Reach) -> None:
        learnt, untaught = self.learner.clock_s, reach.untaught
        while untaught and learnt is not None and untaught[0][1] <= learnt:
            untaught.popleft()

    def behind(self, reach: Reach, time: float) -> bool:
        """Return whether that task moves, has records in line and has not come to that time."""
        gap_s = time - reach.front
        if gap_s <= 0:
            return False
        patience_s = self.wait_s if gap_s > CATCH_UP_S else STILL_S
        if self._clock() - reach.moved_at > patience_s:
            return False
        if reach.due_s is None:  # else it is known that it has records in line
            self.wanted = True
        return reach.in_line

    def stalled_s(self) -> float:
        """Return for how long examples have waited for a learner that does not move; to be asked
        again and again.
        """
        now, learner = self._clock(), self.learner
        if not any(reach.untaught for reach in self.partitions):
            self._unmoved_since = None
            return 0.0
        if self._unmoved_since is None:
            self._unmoved_since = now
        unmoved_s = now - max(self._unmoved_since, learner.moved_at)
        # What it passed by is no longer in line, and was never learnt.
        self.wanted = self.wanted or unmoved_s > STILL_S
        return unmoved_s if unmoved_s > STILL_S and learner.in_line else 0.0

    def unlearnt(self, time: float) -> float:
        """Return the learner's time if examples wait for it that were published before this worker
        followed the journals, and it has not come to that time. It may not move, either: it starts,
        or is taken over.
        """
        learner = self.learner
        learnt = -NEVER if learner.clock_s is None else learner.clock_s
        if learnt >= min(time, self._known_from_s):
            return NEVER
        self.wanted = True
        return learnt if learner.ends and learner.in_line else NEVER


class LearnerPacing:
    """The learner waits for examples of partitions that are behind (`Pacing`), and for those that
    are announced and not fetched.

    `partition_of` input → partition, for the inputs that are a partition's examples.
    """

    def __init__(self, progress: Progress, partition_of: Mapping[int, int]) -> None:
        self._progress = progress
        self._partition_of = partition_of
        self._clock_s = -NEVER

    def holds(self, index: int, earliest: float) -> bool:
        """Return whether that partition may still publish an example due before `earliest`, or has
        published one that has not come.
        """
        partition = self._partition_of.get(index)
        if partition is None:
            return False
        reach = self._progress.partitions[partition]
        if self._progress.behind(reach, earliest):
            return True
        unseen = (first for first, last in reach.untaught if last > self._clock_s)
        return next(unseen, NEVER) < earliest

    def limit(self, clock: float | None, due: float) -> float:
        """Return no limit: what it may learn is a matter of its inputs alone."""
        self._clock_s = -NEVER if clock is None else clock
        return NEVER

    def position(self, clock: float | None, due: float, *, is_open: bool) -> float:
        """Return the time at which the record is due."""
        return due

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Do nothing: nobody learns from the learner's records."""

    def unlearnt_limit(self) -> float:
        """Return no limit."""
        return NEVER

    def held(self, wake: Callable[[], None]) -> None:
        """Wait for others."""
        self._progress.wait(wake)

    def announcement(self, due: float | None) -> Announcement:
        """Return nothing: its journal says what others wait for."""
        return Announcement()


class PartitionPacing:
    """A partition does not run further ahead than the declared staleness (`Pacing`).

    `lead_s` of event time it may be ahead of a partition that is behind, and of the oldest example
    that the learner has not learnt: of its own it knows without asking, so that not even a batch
    runs ahead. It waits at most `wait_s`, then goes on with the models it has until it was within
    bounds again. Memory: a number for each example that is not learnt yet, of the newest
    `PENDING_MAX`.
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
        self._examples: tuple[float, float] | None = None  # of the batch: the first, the last
        self._announced: float | None = None

    def holds(self, index: int, earliest: float) -> bool:
        """Return False: a version that has not come holds no event back."""
        return False

    def limit(self, clock: float | None, due: float) -> float:
        """Return the time beyond which nothing is taken, for now."""
        progress, bound = self._progress, due - self._lead_s
        others = [reach for n, reach in enumerate(progress.partitions) if n != self._number]
        fronts = [reach.front for reach in others if progress.behind(reach, due)]
        fronts += [reach.untaught[0][0] for reach in others if reach.untaught]
        earliest = min([progress.unlearnt(due), *fronts])
        if earliest >= bound and self._oldest() >= bound:
            self._since = None
        return NEVER if self._is_impatient() else earliest + self._lead_s

    def position(self, clock: float | None, due: float, *, is_open: bool) -> float:
        """Return when the record is due, if the others know that it is the next one, or will with
        the next commit; else the time of the task: who is furthest behind, as far as the others
        know, must not wait for those who wait for it.
        """
        if is_open or (self._announced is not None and due <= self._announced):
            return due
        return -NEVER if clock is None else clock

    def published(self, outputs: Sequence[Any], clock: float | None) -> None:
        """Note the examples that the learner is to learn."""
        for output in outputs:
            if output.kind == "examples" and TO_LEARN in output.value and clock is not None:
                self._pending.append(clock)
                first = clock if self._examples is None else self._examples[0]
                self._examples = first, clock

    def announcement(self, due: float | None) -> Announcement:
        """Return the times of the batch's examples, and of the next record."""
        first, last = self._examples or (None, None)
        self._examples, self._announced = None, due
        return Announcement(due, first, last)

    def unlearnt_limit(self) -> float:
        """Return the time up to which it may go on, by the oldest example that is not learnt."""
        oldest = self._oldest()
        return NEVER if self._is_impatient() else oldest + self._lead_s

    def _oldest(self) -> float:
        learnt, pending = self._progress.learner.clock_s, self._pending
        while pending and learnt is not None and pending[0] <= learnt:
            pending.popleft()
        return pending[0] if pending else NEVER

    def held(self, wake: Callable[[], None]) -> None:
        """Note that a record is held back: from the first time on it is waited for so long."""
        self._progress.hold(wake)
        if self._since is None:
            self._since = self._clock()

    def _is_impatient(self) -> bool:
        return self._since is not None and self._clock() - self._since > self._wait_s
