"""What one partition takes in: its inputs aligned, and the task applied to them.

Alignment: the record of smallest time among the inputs' heads is taken next. An empty input that
may still surprise us holds the others back for at most `alignment_wait_s` (Kafka Streams'
max.task.idle.ms, KIP-695); one that is known to be at its end holds nobody back, unless a record
would lead by more than `unseen_s` (input_freshness.py).

Nothing here waits: no task, no future, no clock but the times that are given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from faust.types import TP

from models.inputs.decoder import AT_ONCE
from models.inputs.skipped_records import InputOffset, Skip
from schemas.errors import RiverrunError
from streams.kafka.faust_transport import Batch
from streams.kafka.input_partitions import Input, located
from streams.partition.announcement import Announcement
from streams.partition.input_freshness import FreshEnds
from streams.partition.input_queue import InputQueue
from streams.partition.skip_requests import failure_of
from streams.partition.watermark_alignment import Pacing
from streams.replay.journal_fold import Task
from streams.trainers.trainer_link import StateLost

NEVER = float("inf")
CLOCK_EVERY = 8  # records between two looks at the clock
AHEAD_S = 0.05  # until a task that is too far ahead of others looks again, if nothing wakes it


class ApplyFailed(RiverrunError):
    """A bug: `apply` raised at a record, and the state is of no use. Nothing of the batch was
    committed. `failure` is what it is set aside with, if it is.
    """

    def __init__(self, index: int, record: Any, failure: Skip) -> None:
        super().__init__(
            f"{failure.error}, at {record.topic}[{record.partition}] offset {record.offset}. "
            "Nothing of its batch was committed. This is a bug in riverrun or in the use case"
        )
        self.index = index
        self.record = record
        self.failure = failure


class Ends(Protocol):
    """Where an input's end is known from (faust_transport.Consumer)."""

    def stable(self, tp: TP) -> int | None: ...  # noqa: D102 - faust_transport.Consumer says it


class Intake:
    """The inputs of one live task: inboxes, heads, and the outputs of what was taken.

    reset → (accept | take)* . `applied` and `outputs` grow until `clear`. Memory: the inboxes and
    one batch's outputs, both bounded. `lost` and `full` are inputs whose reader must seek or stop.
    """

    def __init__(
        self,
        number: int,
        inputs: Sequence[Input],
        ends: Ends,
        *,
        choose: Callable[[list[float | None]], int | None],
        aligned: Collection[int],
        alignment_wait_s: float,
        clock: Callable[[], float],
        pacing: Pacing | None = None,
        flaw: Callable[[int, Any], str | None] | None = None,
        unseen_s: float = NEVER,
        settled_s: float = 0.0,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._wake = wake
        self.tps = [None if tp is None else TP(*tp) for tp in located(inputs, number)]
        self.index = {tp: i for i, tp in enumerate(self.tps) if tp is not None}
        self.inboxes = [InputQueue() for _ in self.tps]
        self.lost: set[int] = set()
        self.full: set[int] = set()
        self.applied = 0
        self.outputs: list[Any] = []
        # Of what was applied: the first event at hand, and the last record of each input.
        self.oldest: Any | None = None
        self.newest: list[Any | None] = [None for _ in self.tps]
        # Records that are set aside; one that failed before, which has a batch of its own.
        self.skips: dict[InputOffset, Skip] = {}
        self.suspect: InputOffset | None = None
        self.cut = False  # this batch ends before the suspect
        self._unread: dict[int, Exception] = {}
        self._ends = ends
        self._choose = choose  # where the task has no rule of its own
        self._aligned = frozenset(i for i in aligned if i < len(inputs) and inputs[i] is not None)
        self._alignment_wait_s = alignment_wait_s
        self._clock = clock
        self._pacing = pacing
        self._flaw = flaw
        self._choosing = choose
        self._ahead = False  # of other tasks, by more than the pacing allows
        self._task: Task | None = None
        self._fresh = FreshEnds(ends, self.tps, self._aligned, unseen_s, settled_s, clock)
        self._forget_heads()

    def reset(self, task: Task, positions: Sequence[int]) -> dict[TP, int]:
        """Start over with that task; gives where to seek each input."""
        self._task = task
        self._choosing = getattr(task, "choose", self._choose)
        for inbox, offset in zip(self.inboxes, positions, strict=True):
            inbox.reset(offset)
        self._fresh.reset()
        self._forget_heads()
        self.lost.clear()
        self.full.clear()
        self.clear()
        return {tp: at for tp, at in zip(self.tps, positions, strict=True) if tp is not None}

    def clear(self) -> None:
        """Forget what was applied: it is committed."""
        self.applied = 0
        self.cut = False
        self.outputs = []
        self.oldest = None
        self.newest = [None for _ in self.tps]

    def accept(self, batch: Batch) -> TP | None:
        """Accept a fetched batch; return the input if its reader should stop for now."""
        i = self.index[TP(batch.topic, batch.partition)]
        if i in self.lost:
            return None
        inbox = self.inboxes[i]
        if not inbox.accept(batch):
            self.lost.add(i)
            return None
        self._fresh.fetched(i, batch.end)
        if inbox.full and i not in self.full:
            self.full.add(i)
            return self.tps[i]
        return None

    def take_lost(self) -> dict[TP, int]:
        """Return inputs that must be sought back, and where to; they are expected from now on."""
        lost = self._places(self.lost)
        self.full -= self.lost
        self.lost.clear()
        return lost

    def take_ebbed(self) -> Collection[TP]:
        """Return inputs that were full and have room again."""
        ebbed = {i for i in self.full if self.inboxes[i].ebbed}
        self.full -= ebbed
        return self._places(ebbed).keys()

    def _places(self, inputs: Collection[int]) -> dict[TP, int]:
        return {tp: self.inboxes[i].expected for i in inputs if (tp := self.tps[i]) is not None}

    # Taking.

    def take(self, room: int, until: float) -> int:
        """Apply aligned records until the room, the time or the inputs are used up."""
        task, aligned, clock = self._task, self._aligned, self._clock
        assert task is not None
        choose = self._choosing
        self._ahead = False
        paced: Any = task  # it has a clock
        pacing = self._pacing
        apply, publish = task.apply, self.outputs.extend
        wanted, skips, suspect = task.wanted, self.skips, self.suspect
        times, heads = self._times, self._heads
        for empty in [i for i, time in enumerate(times) if time is None]:
            self._advance(empty)
        if self.blocked_s(clock()):
            return 0
        records, newest = self._records, self.newest
        if not self.applied:
            self.oldest = records[0]
        limit = self._limit(paced)
        count = 0
        sure = self._sure()
        while count < room:
            if (i := choose(times)) is None:
                break
            if i in aligned and times[i] > sure:  # type: ignore[operator]  # it is the head's
                break
            if pacing is not None and i in aligned and self._is_ahead(i, limit, count):
                self._ahead = True
                break
            if suspect is not None and suspect == (i, records[i].offset) and self.applied + count:
                self.cut = True
                break
            try:
                if (wanted or skips) and (skip := self._skip(i)) is not None:
                    publish(task.set_aside(i, records[i], skip))
                else:
                    outputs = apply(heads[i])
                    publish(outputs)
                    if pacing is not None:
                        pacing.published(outputs, paced.clock_s)
            except StateLost:  # no record did it
                raise
            except Exception as error:
                raise self._blame(i, self._unread.get(i, error)) from error
            newest[i] = records[i]
            count += 1
            if not self._advance(i) and i in aligned:
                if not self.ended(i):
                    break
                sure = self._sure()
            if not count % CLOCK_EVERY and clock() > until:
                break
        self.applied += count
        return count

    def _sure(self) -> float:
        """Return the time up to which records may be taken past the inputs that are empty."""
        times, sure = self._times, self._fresh.sure
        return min((sure[i] for i in self._aligned if times[i] is None), default=NEVER)

    def _limit(self, paced: Any) -> float:
        """Return the time beyond which nothing is taken now, as other tasks have come far."""
        due = self._earliest()
        if self._pacing is None or due is None:
            return NEVER
        return self._pacing.limit(paced.clock_s, due)

    def _earliest(self) -> float | None:
        """Return when the first of the aligned inputs' records is due; None if there is none."""
        times = [time for i in self._aligned if (time := self._times[i]) is not None]
        return min(times, default=None)

    def _is_ahead(self, i: int, limit: float, count: int) -> bool:
        """Return whether a record is too far ahead of other tasks, or of what is learnt."""
        pacing, time, paced = self._pacing, self._times[i], self._task
        assert pacing is not None
        assert time is not None
        if time <= limit and time <= pacing.unlearnt_limit():
            return False
        clock = getattr(paced, "clock_s", None)
        position = pacing.position(clock, time, is_open=self.applied + count > 0)
        if position <= limit and time <= pacing.unlearnt_limit():
            return False
        pacing.held(self._wake)
        return True

    def announcement(self) -> Announcement:
        """Return the announcement to others with the batch that is to be committed."""
        if self._pacing is None:
            return Announcement()
        due = self._earliest()
        if due is None or any(self._times[i] is None and not self.ended(i) for i in self._aligned):
            due = None
        return self._pacing.announcement(due if due is not None and due > -NEVER else None)

    def blocked_s(self, now: float) -> float:
        """Return how long nothing may be taken: 0 if something may, NEVER until something comes."""
        times = self._times
        if self._choosing(times) is None:
            return NEVER
        longest = AHEAD_S if self._ahead else 0.0
        for i in self._aligned:
            if times[i] is not None:
                continue
            if self.ended(i):
                self._wait_until[i] = None
            else:
                until = self._wait_until[i]
                if until is None:
                    until = self._wait_until[i] = now + self._alignment_wait_s
                longest = max(longest, until - now)
                if until <= now and (head := self._head()) is not None:
                    self._fresh.gave(i, head[2])  # it was waited for
        return longest

    @property
    def is_ahead(self) -> bool:
        """True while the next record is held back, since it is too far ahead of other tasks."""
        return self._ahead

    @property
    def holding(self) -> bool:
        """True if records wait for an empty input, whose end may become known at any moment."""
        return any(time is not None for time in self._times) and any(self._wait_until)

    @property
    def waiting(self) -> int:
        """Records that were fetched and are not applied yet."""
        return sum(len(inbox.records) for inbox in self.inboxes)

    def ended(self, i: int) -> bool:
        """Return True if an input has given all that is known to be committed on its topic."""
        tp = self.tps[i]
        if tp is None:
            return True
        stable, expected = self._ends.stable(tp), self.inboxes[i].expected
        if stable is None or expected < stable:
            return False
        head = self._head()
        if head is None:
            return True
        if not self._fresh.passes(i, expected, head):
            return False
        if self._pacing is None or not self._pacing.holds(i, head[2]):
            return True
        self._pacing.held(self._wake)
        return False

    def _head(self) -> tuple[int, int, float] | None:
        """Return input, offset and time of the earliest record at hand; None if there is none."""
        at_hand = [(time, i) for i, time in enumerate(self._times) if time is not None]
        if not at_hand:
            return None
        time, i = min(at_hand)
        return i, self._records[i].offset, time

    def _forget_heads(self) -> None:
        self._times: list[float | None] = [None for _ in self.tps]
        self._wait_until: list[float | None] = [None for _ in self.tps]
        self._heads: list[Any] = [None for _ in self.tps]
        self._records: list[Any] = [None for _ in self.tps]
        self._unread.clear()

    def _advance(self, i: int) -> bool:
        record = self._records[i] = self.inboxes[i].pop()
        if record is None:
            if (last := self._times[i]) is not None:
                self._fresh.gave(i, last)
            self._times[i] = None
            return False
        task = self._task
        assert task is not None
        self._wait_until[i] = None
        if self._unread:
            self._unread.pop(i, None)
        if self._flaw is not None and (why := self._flaw(i, record)) is not None:
            self.skips[i, record.offset] = Skip(i, record.offset, who="riverrun", why=why)
        if (self.skips or task.wanted) and self._skip(i) is not None:  # it is not even read
            self._times[i] = AT_ONCE
            return True
        try:
            taken = self._heads[i] = task.read(i, record)
        except Exception as error:
            if self.suspect != (i, record.offset):
                raise self._blame(i, error) from error
            # It is blamed once all before it is committed.
            self._unread[i], self._heads[i], self._times[i] = error, None, AT_ONCE
            return True
        self._times[i] = taken.due
        return True

    def _skip(self, i: int) -> Skip | None:
        assert self._task is not None
        input_offset = i, self._records[i].offset
        return self.skips.get(input_offset) or self._task.wanted.get(input_offset)

    def _blame(self, i: int, error: Exception) -> ApplyFailed:
        record, masked = self._records[i], bool(getattr(self._task, "masking", None))
        return ApplyFailed(i, record, failure_of(i, record.offset, error, masked=masked))

    def lag(self) -> int:
        """Return how many committed records wait; no versions that an idle partition cannot use."""
        lag, early = 0, self._choosing(self._times) is None
        for inbox, tp, time in zip(self.inboxes, self.tps, self._times, strict=True):
            if time is None or not early:
                stable = None if tp is None else self._ends.stable(tp)
                lag += len(inbox.records) + max(0, (stable or 0) - inbox.expected)
        return lag
