"""Steps 2 to 5 of a runner: from the nearest state at hand to the one at the journal's end.

A recovery that was broken off goes on from where it was: the fold is deterministic, so a state
half way is as good as a snapshot of there, and is kept as one. A batch whose commit failed may be
in the journal or not. Since the former owner was fenced (step 1), the journal's end says which: it
is there, or it is committed now, or somebody else has gone on and the state is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import Unavailable
from streams.kafka.input_partitions import located
from streams.partition.wiring import PartitionLog, RunnableTask, Wiring
from streams.replay.input_check import refuse_beyond, refuse_count, refuse_others
from streams.replay.journal_fold import Diverged, Entry, check_position

log = logging.getLogger("riverrun.partition")

FAR_RECORDS = 1_000  # a fold of so many takes longer than to see what is stored
LOOK_S = 5.0  # into a long fold, what is stored is looked at again, then after twice as long


class _LookAgain(Exception):
    """A store that did not answer may do so now."""


Commit = Callable[[Sequence[Any], bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class KeptState:
    """A state to go on from: of a clean stop, a fold broken off, or a failure.

    Its closed entries are the journal's; but if `entry` is given, that is its last one, with
    `outputs`, and may not have been committed. What its open entry holds is the beginning of the
    journal's next one.
    """

    task: RunnableTask
    outputs: Sequence[Any] = ()
    entry: bytes | None = None


class Recovery:
    """One partition's. After `run`, however it ended, `kept_state` is what may be gone on from."""

    def __init__(
        self,
        number: int,
        wiring: Wiring,
        kept_state: KeptState | None,
        *,
        commit: Commit,
        moved: Callable[[], None],
    ) -> None:
        self.number = number
        self.title = wiring.title(number)
        self.wiring = wiring
        self.kept_state = kept_state
        self.committed = False  # a batch in doubt, now or then
        self.source = "keep"
        self.at_hand_at = 0.0
        self.first_step = 0
        self._commit = commit
        self._moved = moved
        self._clock = asyncio.get_running_loop().time
        self._goal_step = 0
        self._look_at, self._look_s = 0.0, LOOK_S

    async def run(self, reader: PartitionLog) -> tuple[RunnableTask, list[int]]:
        """Return (the task at the journal's end, where each input goes on)."""
        last = await reader.last()
        refuse_count(self.wiring.shown_name, last, self.wiring.partitions)
        if self.kept_state is not None and self.kept_state.entry is not None:
            last = await self._settled(self.kept_state, self.kept_state.entry, last, reader)
        task = await self._at_hand(last, reader)
        self.wiring.prepare(task, False)
        self.kept_state = KeptState(task)
        self.first_step, self.at_hand_at = task.step, self._clock()
        self._goal_step = 0 if last is None else last.step
        self._look_at = self.at_hand_at + self._look_s
        task = await self._rolled_forward(task, reader, last)
        self.kept_state = KeptState(task)
        return task, await self._positions(task, reader)

    async def _positions(self, task: RunnableTask, reader: PartitionLog) -> list[int]:
        """Return where each input goes on: its next offset, or its first if none was taken yet."""
        places, next = located(self.wiring.inputs, self.number), task.next
        bounds = list(zip(await reader.beginnings(), await reader.ends(), strict=True))
        refuse_beyond(places, next, bounds)
        await refuse_others(places, next, task.marks, bounds, reader)
        return [start if at < 0 else at for at, (start, _) in zip(next, bounds, strict=True)]

    async def _settled(
        self, kept_state: KeptState, sealed: bytes, last: Entry | None, reader: PartitionLog
    ) -> Entry | None:
        """See what became of a batch; gives the journal's end after that."""
        own_entry = Entry.decode(sealed)
        if own_entry.seq == (0 if last is None else last.seq + 1):
            await self._commit(kept_state.outputs, sealed)
            log.info("%s: entry %d is committed now", self.title, own_entry.seq)
            self.kept_state, self.committed, last = KeptState(kept_state.task), True, own_entry
        elif last is not None and await self._holds(reader, own_entry):
            self.kept_state, self.committed = KeptState(kept_state.task), True
        else:
            log.info("%s: entry %d is not this worker's", self.title, own_entry.seq)
            self.kept_state = None
        return last

    async def _at_hand(self, last: Entry | None, reader: PartitionLog) -> RunnableTask:
        kept_task, store = (
            None if self.kept_state is None else self.kept_state.task,
            self.wiring.store,
        )
        if kept_task is not None and (last is None or last.step - kept_task.step < FAR_RECORDS):
            return kept_task
        task = await store.load(self.number, kept_task)
        self.source = "load" if task is not kept_task else self.source
        while task is not kept_task and not await self._is_of(reader, task, last):
            because = f"the state at entry {task.seq} is of another journal: its last entry differs"
            task = await store.fresh(self.number, because)
        return task

    async def _is_of(self, reader: PartitionLog, task: RunnableTask, last: Entry | None) -> bool:
        """Return True if the journal has a state's last entry, or has it no more."""
        if not task.seq or not task.sealed:
            return True
        if last is not None and last.seq == task.seq - 1:
            return last.digest == task.sealed
        async for entry in reader.entries(task.seq - 1):
            return entry.seq != task.seq - 1 or entry.digest == task.sealed
        return True  # it ends before: what follows says so

    async def _holds(self, reader: PartitionLog, own_entry: Entry) -> bool:
        async for entry in reader.entries(own_entry.seq):
            return entry == own_entry
        return False

    async def _rolled_forward(
        self, task: RunnableTask, reader: PartitionLog, last: Entry | None
    ) -> RunnableTask:
        # A state that does not fit the log is reported and left, once; the log itself decides.
        loaded_at = task.seq
        try:
            return await self._at_the_end(task, reader, last)
        except Diverged as error:
            self.kept_state = None
            if not loaded_at:
                raise
            log.error("%s: state at entry %d: %s", self.title, loaded_at, error)
            task = await self.wiring.store.fresh(self.number, str(error))
            return await self._at_the_end(task, reader, last)

    async def _at_the_end(
        self, task: RunnableTask, reader: PartitionLog, last: Entry | None
    ) -> RunnableTask:
        for _ in range(3):
            task = await self._rolled(task, reader, last)
            try:
                check_position(task, last)
            except Diverged:
                before, last = last, await reader.last()
                if last == before:
                    raise
            else:
                return task
        # Since step 1 nobody else may write it, so that owner is the right one.
        raise Unavailable("another owner writes this partition's journal")

    async def _rolled(
        self, task: RunnableTask, reader: PartitionLog, last: Entry | None
    ) -> RunnableTask:
        while True:
            try:
                rolled: RunnableTask = await self.wiring.roll(task, reader, self._progressed)
                return rolled
            except _LookAgain:
                assert self.kept_state is not None
                task = await self._at_hand(last, reader)
                self.wiring.prepare(task, False)
                self.first_step += task.step - self.kept_state.task.step
                self.kept_state, self._look_s = KeptState(task), 2 * self._look_s
                self._look_at = self._clock() + self._look_s

    def _progressed(self, task: RunnableTask) -> None:
        self.kept_state = KeptState(task)
        self._moved()
        self.wiring.store.offer(self.number, task)
        if self._clock() > self._look_at and self._goal_step - task.step >= FAR_RECORDS:
            raise _LookAgain
