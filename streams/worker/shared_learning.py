"""A worker's part in shared learning: it fetches versions, and runs the learner.

- The newest versions: `models` is fetched once and given to every partition of this worker.
- How far others have come: the journals of all partitions and of the learner are followed, so that
  nobody runs too far ahead (streams/partition/watermark_alignment.py).
- The learner runs in the worker that owns partition 0, on the same runner as a partition, with
  inputs of its own. Whatever becomes of it, the partitions go on with the versions they have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from models.inputs.decoder import parsed_update
from schemas.errors import Malformed
from schemas.topics import INPUTS, LEARNER
from streams.config.naming import transactional_id
from streams.kafka.direct_consumer import DirectConsumer
from streams.kafka.faust_transport import Batch
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.partition.announcement import Announcement
from streams.partition.direct_source import DirectSource
from streams.partition.recovery import KeptState
from streams.partition.runner import PartitionRunner, State
from streams.partition.shared_topic import GroupMember, SharedInputs, SharedReader, SharedTopic
from streams.partition.watermark_alignment import LearnerPacing, PartitionPacing, Progress
from streams.partition.wiring import Wiring
from streams.replay.journal_fold import Reached
from streams.replay.kafka_log import KafkaLog
from streams.telemetry.measurements import Measurements
from streams.trainers.trainer_pool import TrainerPool

log = logging.getLogger("riverrun.learner")

LOOK_S = 0.1
AGAIN_S = 5.0
TAIL = 16
"""Offsets to look back over for the newest entry of a journal: the last one may be a marker's."""

TURNS = 5
"""Turns of a commit that the learner leaves to partitions while nobody waits for what it learns: a
transaction costs 1.5 ms of CPU, and versions are half a second apart."""

BY_PARTITION = ("examples", "window-entries")
"""The learner's inputs that partitions write, each its own."""

Consume = Callable[[Mapping[str, Any], Collection[TP], Callable[[Batch], None]], DirectConsumer]


@dataclass(frozen=True)
class Plan:
    """Where the learner and the partitions of one use case meet. `topics` kind → name."""

    topics: Mapping[str, str]
    partitions: int
    client: Mapping[str, Any]
    learner: Wiring
    lead_s: float
    consume: Consume = DirectConsumer
    # Makes the processes that train the learner's models; None: it trains them itself.
    trainers: Callable[[], TrainerPool] | None = None

    @classmethod
    def of(
        cls,
        wiring: Wiring,
        client: Mapping[str, Any],
        topics: Mapping[str, str],
        group_id: str,
        partitions: int,
        lead_s: float,
        learner: Sequence[tuple[str, int]],
        trainers: Callable[[], TrainerPool] | None = None,
    ) -> Plan:
        """Return the plan of a worker whose partitions have that wiring.

        `learner`: kind and partition of each of the learner's inputs.
        """
        limits = Limits()
        inputs = tuple(TP(topics[kind], n) for kind, n in learner)
        learning = replace(
            wiring,
            inputs=inputs,
            kinds=tuple(kind for kind, _ in learner),
            obeys_skips=False,
            flaw=None,
            aligned=range(1, len(inputs)),
            unseen_s=float("inf"),  # partitions announce what comes
            open_log=lambda _: KafkaLog(
                client, journal=topics["learning"], inputs=inputs, partition=0
            ),
            open_writer=lambda _: TransactionalWriter(
                client,
                transactional_id=transactional_id(group_id, LEARNER),
                partition=0,
                topics={**topics, "journal": topics["learning"]},
                limits=limits,
            ),
        )
        return cls(topics, partitions, client, learning, lead_s, trainers=trainers)

    @property
    def models(self) -> TP:
        """The one partition of `models`."""
        return TP(self.topics["models"], 0)

    def journals(self) -> list[TP]:
        """Return the journal of each partition, then the learner's."""
        own = [TP(self.topics["journal"], n) for n in range(self.partitions)]
        return [*own, TP(self.topics["learning"], 0)]

    def inputs(self, number: int) -> list[TP]:
        """Return what a task's `next` is about, in the journal's numbering."""
        if number == LEARNER:
            return list(self.learner.inputs)
        return [TP(self.topics[kind], number) for kind in INPUTS]


class SharedLearning:
    """Of one worker. start → (source | begin | end)* → close."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.learner: PartitionRunner | None = None
        self.trainers: TrainerPool | None = None
        self.error: str | None = None
        self.measures = Measurements()
        self.clock = asyncio.get_running_loop().time
        wait_s = plan.learner.pace.alignment_wait_s
        self.progress = Progress(plan.partitions, self.clock, wait_s=wait_s)
        self._versions = SharedTopic(plan.models)
        self._models = plan.consume(plan.client, [plan.models], self._arrived)
        self._versions.consumer = self._models
        self._journals = plan.consume(plan.client, plan.journals(), self._follow)
        self._reaches = dict(
            zip(plan.journals(), [*self.progress.partitions, self.progress.learner], strict=True)
        )
        self._kept_state: KeptState | None = None
        self._run: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read versions and journals."""
        self._models.start()
        self._journals.start()
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Close the connections."""
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(self._models.close(), self._journals.close())

    # For partitions.

    def wiring(self, wiring: Wiring) -> Wiring:
        """Return what the partitions of this worker share, with the versions as a further input."""
        return replace(
            wiring,
            inputs=(*wiring.inputs, self.plan.models),
            kinds=(*wiring.kinds, "models"),
            pacing=self._pacing,
        )

    def _pacing(self, number: int) -> PartitionPacing:
        wait_s = self.plan.learner.pace.alignment_wait_s
        return PartitionPacing(
            self.progress, number, lead_s=self.plan.lead_s, wait_s=wait_s, clock=self.clock
        )

    def source(
        self, group: GroupMember, accept: Callable[[Batch], None]
    ) -> tuple[SharedInputs, SharedReader]:
        """Return a partition's inputs: those of the group, and the versions."""
        reader = self._versions.reader(accept)
        return SharedInputs(group, reader, self.plan.models), reader

    # The learner.

    def begin(self, generation: int, group: GroupMember) -> None:
        """Learn: this worker owns partition 0."""
        self._run = asyncio.create_task(self._learn(generation, group), name="learner")

    async def end(self) -> None:
        """Let the transaction in flight end; keep the state for the next `begin`."""
        run, self._run = self._run, None
        if self.learner is not None:
            self.learner.stop()
        if run is not None:
            await asyncio.wait([run], timeout=self.plan.learner.pace.stop_s_max)
            run.cancel()

    def forget(self) -> None:
        """Drop the state: another worker learns."""
        self._kept_state = None

    async def _learn(self, generation: int, group: GroupMember) -> None:
        while True:
            try:
                await self._life(generation, group)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Partitions go on answering with the versions that they have.
                self._kept_state, self.error = None, f"{type(error).__name__}: {error}"
                log.exception("the learner stopped; it begins again in %g s", AGAIN_S)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _life(self, generation: int, group: GroupMember) -> None:
        plan = self.plan
        learner: PartitionRunner | None = None

        def route(batch: Batch) -> None:
            assert learner is not None
            learner.accept(batch)

        consumer = plan.consume(plan.client, plan.inputs(LEARNER), route)
        source = DirectSource(consumer, group)
        kinds = enumerate(plan.learner.kinds)
        inputs = plan.inputs(LEARNER)
        sources = {i: inputs[i].partition for i, kind in kinds if kind in BY_PARTITION}
        pacing = LearnerPacing(self.progress, sources)
        wiring = self._trained(replace(plan.learner, pacing=lambda _: pacing))
        learner = self.learner = PartitionRunner(
            LEARNER,
            generation,
            source,
            wiring,
            kept_state=self._kept_state,
            siblings=self._turns,
            measures=self.measures,
        )
        self._kept_state = None
        consumer.start()
        watching = asyncio.create_task(self._watch(learner))
        try:
            running = asyncio.create_task(learner.run())
            await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()
                watching.result()
            running.result()
            await self._rest(learner.kept_state)
            self._kept_state, self.error = learner.kept_state, None
        finally:
            watching.cancel()
            self.learner = None
            if self.trainers is not None:
                self.trainers.close()
            await consumer.close()

    def _turns(self) -> int:
        return 1 if self.progress.is_waited_for else TURNS

    def _trained(self, wiring: Wiring) -> Wiring:
        """Return the learner's wiring, with processes that train its models, if any are wanted."""
        if self.plan.trainers is None:
            return wiring
        pool = self.trainers = self.plan.trainers()
        begin = wiring.prepare

        def prepare(task: Any, live: bool) -> None:
            begin(task, live)
            pool.prepare(task, live)

        return replace(wiring, prepare=prepare, settle=pool.settle, is_busy=pool.is_busy)

    async def _rest(self, kept_state: KeptState | None) -> None:
        """Let the state that is kept need no trainer."""
        if self.trainers is not None and kept_state is not None:
            await self.trainers.rest(kept_state.task)

    async def _watch(self, learner: PartitionRunner) -> None:
        live_since = None
        while True:
            await asyncio.sleep(0.5)
            learner.watch()
            if learner.state is not State.LIVE:
                live_since = None
            elif live_since is None:
                live_since = self.clock()
            elif self.clock() - live_since > AGAIN_S:
                self.error = None  # it has lived for longer than one that fails at once

    # How far others have come.

    def _arrived(self, batch: Batch) -> None:
        self._versions.route(batch)
        for record in reversed(batch.records):
            with contextlib.suppress(Malformed):  # each partition parks it
                self.progress.arrived(parsed_update(record.value)[0]["number"])
                return

    def _follow(self, batch: Batch) -> None:
        reach = self._reaches[TP(batch.topic, batch.partition)]
        if not batch.records:
            return
        for record in batch.records:
            try:
                reached = Reached.decode(record.value)
            except ValueError:  # who recovers there refuses it
                continue
            if reach is self.progress.learner:
                self.progress.learner_entry(reached)
            else:
                self.progress.entry(reach, reached, Announcement.of(record.headers))

    async def _look(self) -> None:
        opened = False
        while True:
            try:
                if not opened:
                    ends = await self._journals.ends(self.plan.journals())
                    begins = {tp: max(0, end - TAIL) for tp, end in ends.items()}
                    await self._journals.seek_and_open(begins)
                    if not (await self._journals.ends([self.plan.models]))[self.plan.models]:
                        self.progress.arrived(-1)
                    opened = True
                if self.progress.wanted:
                    self.progress.wanted = False
                    await self._ask()
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("journals: %r", error)
            await asyncio.sleep(LOOK_S)

    async def _ask(self) -> None:
        plan = self.plan
        numbers = [*range(plan.partitions), LEARNER]
        inputs = {number: plan.inputs(number) for number in numbers}
        ends = await self._journals.ends({tp for tps in inputs.values() for tp in tps})
        for number, reach in zip(numbers, self._reaches.values(), strict=True):
            reach.ends = [ends[tp] for tp in inputs[number]]

    # What is told.

    def status(self) -> dict[str, Any]:
        """Return plain values for `riverrun status`."""
        learner, trainers = self.learner, self.trainers
        status = {
            "here": learner is not None,
            "error": self.error,
            "stalled_s": self.progress.stalled_s(),
            "runner": None if learner is None else learner.status(),
        }
        if learner is not None and trainers is not None:
            status["training"] = trainers.status()
        return status
