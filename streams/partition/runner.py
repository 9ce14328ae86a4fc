"""One partition's runner: recovering → live → stopped.

    recovering  1. fence the former owner        (init_transactions)
                2. read the journal's end, and see what became of a batch in doubt
                3. take the state that was kept, or load a snapshot
                4. fold the journal after it
                5. compare: seq, step and next are the journal's (2 to 5:
                   streams/partition/recovery.py)
                6. seek each input to the task's next, and open it
    live        7. take aligned records and apply them (streams/partition/intake.py)
                8. until the batch is full, the inputs are empty or its time is up
                9. commit outputs and journal entry in one transaction; offer a snapshot; again

Exactness: the task is changed by `apply` alone, which advances its position too, and nothing is
awaited in between. Whatever fails after step 7, the producer is discarded and step 1 follows:
there is one path for start, failure and repair. The state is kept, and used again only as far as
the journal bears it out. An exception in `apply` is a bug, and the state is of no use after: it is
left, and the partition halts at the record that did it (streams/partition/skip_requests.py).

Zombies: after a failure step 1 waits until the group's coordinator has confirmed this member in
the generation of its assignment. Otherwise a woken zombie fences the owner, who fences it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

from schemas.headers import Headers
from streams.kafka.faust_transport import Batch
from streams.kafka.transactional_writer import FAILURES, TooLarge
from streams.partition.failing_record import FailingRecord
from streams.partition.intake import NEVER, ApplyFailed, Intake
from streams.partition.recovery import KeptState, Recovery
from streams.partition.stalled_inputs import Stalled, Watchdog
from streams.partition.wiring import InputSource, RunnableTask, TransactionWriter, Wiring
from streams.telemetry.measurements import Measurements
from streams.trainers.trainer_link import StateLost

log = logging.getLogger("riverrun.partition")

MEMBERSHIP_S_MAX = 30.0
STALL_S = 3.0
STUCK_S = 90.0


class State(StrEnum):
    """Where a runner is."""

    RECOVERING = "recovering"
    LIVE = "live"
    WAITING = "waiting"
    HALTED = "halted"
    STOPPED = "stopped"


class _Stop(Exception): ...


class PartitionRunner:
    """One assigned partition, from its assignment to its revocation.

    run (a task of its own), accept (from the router), watch (twice a second), stop. Once `run` has
    ended without an exception, `kept_state` is what the next recovery may go on from, or None.
    """

    def __init__(
        self,
        number: int,
        generation: int,
        source: InputSource,
        wiring: Wiring,
        *,
        kept_state: KeptState | None = None,
        siblings: Callable[[], int] = lambda: 1,
        measures: Measurements | None = None,
    ) -> None:
        self.number = number
        self.title = wiring.title(number)
        self.generation = generation
        self.source = source
        self.wiring = wiring
        self.siblings = siblings
        self.measures = measures or Measurements()
        self.clock = asyncio.get_running_loop().time
        self.state = State.RECOVERING
        self.error: str | None = None
        self.task: RunnableTask | None = None
        self.commits = self.records = 0
        self.moved_at = self.reported_at = self.clock()
        self.committed_at = 0.0
        self._wake = asyncio.Event()
        self.intake = Intake(
            number,
            wiring.inputs,
            source,
            choose=wiring.choose,
            aligned=wiring.aligned,
            alignment_wait_s=wiring.pace.alignment_wait_s,
            clock=self.clock,
            pacing=None if wiring.pacing is None else wiring.pacing(number),
            flaw=wiring.flaw,
            unseen_s=wiring.unseen_s,
            settled_s=wiring.settled_s,
            wake=self._wake.set,
        )
        self._watchdog = Watchdog(self.intake, stall_s=STALL_S)
        self.kept_state = kept_state
        self._halting = FailingRecord(number, wiring)
        self._failures = 0
        self._unreported = False
        self._sealed: bytes | None = None  # the entry of a batch that is being committed
        self._stopping = False
        self._stopped = asyncio.Event()
        self._writer: TransactionWriter | None = None

    # Life.

    async def run(self) -> None:
        """Recover and live until stopped. Raises what must end the worker."""
        try:
            while not self._stopping:
                try:
                    await self._unless_stopped(self._recover())
                    await self._live()
                except _Stop:
                    break
                except TooLarge as error:
                    await self._discard(error)
                    self.kept_state = None  # the batch must be built again
                except ApplyFailed as error:
                    await self._halt(error)
                    await self._confirm_membership()
                except FAILURES as error:
                    await self._discard(error)
                    await self._confirm_membership()
            if self.task is not None:
                self.kept_state = self._doubted(self.task)
        finally:
            self._shut_inputs()
            self.state = State.STOPPED
            if self._writer is not None:
                await self._writer.close()

    def stop(self) -> None:
        """End after the transaction in flight; what is applied by then is committed. A recovery
        is broken off, whatever it waits for.
        """
        self._stopping = True
        self._stopped.set()
        self._wake.set()

    def accept(self, batch: Batch) -> None:
        """Accept a fetched batch. Never waits."""
        if self.state is not State.LIVE:
            return  # The seek that follows recovery brings it again.
        if (full := self.intake.accept(batch)) is not None:
            self.source.shut([full])
        self._wake.set()

    # Steps 1 to 6.

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        working = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise _Stop
            working.result()
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.gather(working, stopped, return_exceptions=True)

    async def _recover(self) -> None:
        began = self.clock()
        self.state, self.moved_at, self.task = State.RECOVERING, began, None
        writer = self._writer = self.wiring.open_writer(self.number)
        await writer.start()
        fenced_at = self.clock()
        resuming = Recovery(
            self.number, self.wiring, self.kept_state, commit=writer.commit, moved=self._moved
        )
        reader = self.wiring.open_log(self.number)
        try:
            await reader.start()
            task, positions = await resuming.run(reader)
            await self._halting.look(reader, task, self.intake)
        finally:
            self.kept_state = resuming.kept_state
            await reader.close()
        self.task, self.kept_state = task, None
        if resuming.committed:
            self.measures.committed(self.intake, self.clock() - began, task)
        self.wiring.prepare(task, True)
        seeks = self.intake.reset(task, positions)
        self._watchdog = Watchdog(self.intake, stall_s=STALL_S)
        self._unreported = task.step > 0  # nobody knows what was reported before
        self.state, self.error = State.LIVE, None
        self.measures.recovered(self.clock() - began, task)
        await self.source.seek_and_open(seeks)
        now = self.clock()
        log.info(
            "%s: live at entry %d after %.2f s: %.2f s to fence, %.2f s to %s, "
            "%.2f s to fold %d records",
            *(self.title, task.seq, now - began, fenced_at - began),
            *(resuming.at_hand_at - fenced_at, resuming.source, now - resuming.at_hand_at),
            task.step - resuming.first_step,
        )

    def _moved(self) -> None:
        self.moved_at = self.clock()
        if self._stopping:
            raise _Stop

    # Steps 7 to 9.

    async def _live(self) -> None:
        while not self._stopping:
            await self._collect()
            await self._commit()

    async def _collect(self) -> None:
        pace, intake, clock = self.wiring.pace, self.intake, self.clock
        began = None
        while not self._stopping and not intake.cut:
            self._wake.clear()
            self.moved_at = now = clock()
            if intake.lost:
                await self._seek_lost()
            taken = intake.take(pace.batch_records_max - intake.applied, now + pace.slice_s_max)
            if taken:
                self.records += taken
                self._unreported = True
                began = began or now
            if intake.full and (ebbed := intake.take_ebbed()):
                await self.source.open(ebbed)
            now = clock()
            full = intake.applied >= pace.batch_records_max or self.wiring.is_busy()
            if full or (began and now > began + pace.batch_s(intake.waiting, self.siblings())):
                return
            blocked_s, due_s = intake.blocked_s(now), self._due_s(now)
            if not blocked_s:
                await asyncio.sleep(0)
            elif due_s <= 0:
                return
            else:
                await self._sleep(min(blocked_s, due_s))

    def _due_s(self, now: float) -> float:
        # How long the next commit may still wait.
        pace = self.wiring.pace
        if self.intake.applied:
            turns = 1 if self.intake.is_ahead else self.siblings()  # others wait for what it has
            return self.committed_at + pace.commit_interval_s * turns - now
        if self._unreported:
            return self.reported_at + pace.report_interval_s - now
        return NEVER

    async def _commit(self) -> None:
        task, writer, intake = self.task, self._writer, self.intake
        assert task is not None
        assert writer is not None
        await self.wiring.settle(task)
        self.moved_at = now = self.clock()
        due = self._stopping or now - self.reported_at >= self.wiring.pace.report_interval_s
        if self._unreported and due:
            intake.outputs.extend(self._halting.report(task))
            self.reported_at, self._unreported = now, False
        entry = self._sealed = task.seal()
        if entry is None and not intake.outputs:
            return
        await self._write(writer, entry, intake.announcement().headers())
        self._sealed = None
        self.measures.committed(intake, self.clock() - now, task)
        self.commits += 1
        # From the begin, so that a slow commit is not waited for twice.
        self.committed_at = now
        self._failures = 0
        intake.clear()
        self.wiring.store.offer(self.number, task)

    async def _write(
        self, writer: TransactionWriter, entry: bytes | None, headers: Headers
    ) -> None:
        while True:
            try:
                return await writer.commit(self.intake.outputs, entry, headers)
            except TooLarge as error:
                if error.begun:
                    raise
                log.error("%s: %s; it is left out or shortened", self.title, error)
                self.intake.outputs = writer.limits.fit(self.intake.outputs, self.wiring.shorten)

    async def _seek_lost(self) -> None:
        lost = self.intake.take_lost()
        log.warning("%s: batches were lost, seeking to %s", self.title, lost)
        await self.source.seek_and_open(lost)

    async def _sleep(self, seconds: float) -> None:
        # Never for long: an input's end becomes known without a batch, and the watchdog watches.
        if not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, 0.01 if self.intake.holding else 1.0)):
                    await self._wake.wait()

    def _shut_inputs(self) -> None:
        self.source.shut([tp for tp in self.intake.tps if tp is not None])

    # Failure.

    async def _halt(self, error: ApplyFailed) -> None:
        """Leave the state; unless the record is to be tried again, wait until it is set aside."""
        task, self.task = self.task, None  # half changed
        assert task is not None
        again = await self._halting.failed(error, task, self._writer)
        await self._discard(error)
        self.kept_state = None
        if not again:
            self.state, self.error = State.HALTED, self._halting.explanation
            await self._halting.until_wished(task.next, self._stopped)

    async def _discard(self, error: Exception) -> None:
        log.warning("%s: %s; recovering", self.title, error)
        self.state, self.error = State.WAITING, str(error)
        if isinstance(error, StateLost):
            self.task = self.kept_state = None
        if self.task is not None:
            self.kept_state, self.task = self._doubted(self.task), None
        self._shut_inputs()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    def _doubted(self, task: RunnableTask) -> KeptState:
        # What was applied and not committed, as one batch; the next recovery sees to it.
        entry, self._sealed = self._sealed or task.seal(), None
        return KeptState(task) if entry is None else KeptState(task, self.intake.outputs, entry)

    async def _confirm_membership(self) -> None:
        self._failures += 1
        await asyncio.sleep(min(0.05 * 2**self._failures, 2.0))
        deadline = self.clock() + MEMBERSHIP_S_MAX
        while not self._stopping:
            self.moved_at = now = self.clock()
            with contextlib.suppress(*FAILURES):
                if await self.source.still_member(self.generation):
                    return
            if now > deadline:
                raise Stalled(
                    f"{self.title}: neither a heartbeat nor a rebalance in "
                    f"{MEMBERSHIP_S_MAX:.0f} s after: {self.error}"
                )
            await asyncio.sleep(0.5)

    # Watching.

    def watch(self) -> None:
        """Look for a stall; to be called about twice a second. Raises `Stalled`."""
        now = self.clock()
        if self.state is State.LIVE:
            fetched = {
                i: self.source.fetch_position(tp)
                for i, tp in enumerate(self.intake.tps)
                if tp is not None and i not in self.intake.full
            }
            if (stalled := self._watchdog.look(fetched, now)) is not None:
                raise Stalled(f"{self.title}: {stalled}")
            if self.intake.lost:
                self._wake.set()
        at_rest = self.state in (State.STOPPED, State.HALTED)
        if not at_rest and now - self.moved_at > STUCK_S:
            raise Stalled(f"{self.title} has not moved for {STUCK_S:.0f} s")

    def status(self) -> dict[str, Any]:
        """Return what operators ask first; plain values."""
        task = self.task
        return {
            "partition": self.number,
            "state": str(self.state),
            "generation": self.generation,
            "seq": None if task is None else task.seq,
            "step": None if task is None else task.step,
            "next": None if task is None else list(task.next),
            "lag": self.intake.lag() if self.state is State.LIVE else None,
            "commits": self.commits,
            "records": self.records,
            "counts": getattr(task, "counts", None),
            "snapshot": dict(self.wiring.store.status(self.number)),
            "error": self.error or self._halting.untold,
            **self.measures.status(task),
        }
