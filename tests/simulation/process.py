"""One worker process: the real `_Worker` without Faust, that can be killed, stopped and continued.

Everything that it asks of a server passes `io`: there it dies, hangs, is slow or fails. A killed
process has no more effect from that moment; its coroutines are cancelled only to be rid of them.
"""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError
from faust.types import TP

from models.task.partition_task import PartitionTask
from models.training.learner_inputs import learner_inputs
from schemas.topics import INPUTS
from streams.kafka.transactional_writer import Limits
from streams.partition.wiring import Wiring
from streams.replay.kafka_log import KafkaLog
from streams.worker.shared_learning import Plan
from streams.worker.worker_config import WorkerConfig
from streams.worker.worker_process import AGAIN, _Worker
from tests.simulation.clients import Direct, Member
from tests.simulation.group import HEARTBEAT_S

if TYPE_CHECKING:
    from tests.simulation.world import World

CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A loop's task factory: a task belongs to the process that makes it, and dies with it."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    process = CURRENT.get()
    if process is not None:
        process.tasks.append(task)
    return task


class Process:
    """One incarnation of a worker under its instance id."""

    def __init__(self, world: World, instance: str) -> None:
        self.world = world
        self.instance = instance
        self.alive = True
        self.tasks: list[asyncio.Task[Any]] = []
        self.kicks: list[asyncio.Event] = []
        self.generation = -1
        self._running = asyncio.Event()
        self._running.set()
        self.member = Member(self)
        self.store = world.plants.store(self)
        wiring = self._wiring()
        config = WorkerConfig(
            factory=world.fresh, client={}, topics=world.topics, group_id=world.group_id
        )
        self.worker = _Worker(config, wiring, instance)
        if world.shared:
            self.worker.plan = self._plan(wiring)
        app: Any = SimpleNamespace(consumer=self.member, consumer_generation_id=-1)
        self.worker.app = app
        token = CURRENT.set(self)
        self._main = asyncio.ensure_future(self._live())
        CURRENT.reset(token)

    def _wiring(self) -> Wiring:
        world, limits = self.world, Limits()
        client = {"process": self}
        return Wiring(
            inputs=tuple(world.topics[kind] for kind in INPUTS),
            store=self.store,
            open_log=lambda n: KafkaLog(
                client,
                journal=world.topics["journal"],
                inputs=[tp for _, tp in world.inputs(n)],
                partition=n,
            ),
            open_writer=lambda n: world.plants.writer(
                client,
                transactional_id=f"{world.group_id}-{n}",
                partition=n,
                topics=world.topics,
                limits=limits,
            ),
            pace=world.pace,
            skip_after=world.skip_after,
        )

    def _plan(self, wiring: Wiring) -> Plan:
        world, client = self.world, {"process": self}
        sources = learner_inputs(world.partitions, features=world.case.shares_features)
        wide = world.partitions, world.lead_s, sources
        plan = Plan.of(wiring, client, world.topics, world.group_id, *wide)
        names = {**world.topics, "journal": world.topics["learning"]}
        learner = replace(
            plan.learner,
            open_writer=lambda _: world.plants.writer(
                client,
                transactional_id=f"{world.group_id}-learner",
                partition=0,
                topics=names,
                limits=Limits(),
            ),
        )
        return replace(plan, learner=learner, consume=Direct)  # type: ignore[arg-type]

    def fresh(self, partition: int) -> PartitionTask:
        """A task at its beginning, in which this process may die."""
        task: PartitionTask = self.world.fresh(partition)
        task.reach = self.reach  # type: ignore[attr-defined]
        return task

    # Its life.

    async def _live(self) -> None:
        asyncio.create_task(self.member.fetch())  # noqa: RUF006 - `make_task` keeps it
        self.worker.share()
        being = asyncio.ensure_future(self._be_member())
        being.add_done_callback(self._lost)
        asyncio.create_task(self.worker._watch())  # noqa: RUF006
        await self.worker.ending.wait()
        await self.worker._stop_all()
        self.world.exited(self, self.worker.code, self.worker.failure)
        self.end()

    def _lost(self, being: asyncio.Task[None]) -> None:
        if not being.cancelled():
            self.worker._end(AGAIN, being.exception())

    async def _be_member(self) -> None:
        group = self.world.group
        while True:
            self.generation, numbers = await group.join(self.instance, self)
            tps = {TP(self.world.topics[kind], n) for kind in INPUTS for n in numbers}
            await self._hang()
            self.member.assign(tps)
            self.worker.app.consumer_generation_id = self.generation
            await self.worker._on_assigned(None, tps)
            await self._heartbeats()
            await self.worker._on_revoked(None, tps)

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self.io(None)
            except (KafkaError, OSError):
                continue
            if not self.beats(self.generation):
                return

    def beats(self, generation: int) -> bool:
        """One heartbeat that arrived."""
        return self.world.group.heartbeat(self.instance, self, generation)

    # Its faults.

    async def io(self, step: str | None, *, fails: bool = True) -> None:
        """One request: the process may die here, hang, or get no answer."""
        if not self.alive:
            raise asyncio.CancelledError
        if step is not None:
            self.reach(step)
        fate, rng = self.world.fate, self.world.rng
        slow = fate.strikes("request is slow")
        await asyncio.sleep(rng.uniform(0.1, 2.0) if slow else rng.expovariate(1_000))
        await self._hang()
        while self.world.kafka.down:
            await asyncio.sleep(0.2)
            if fails:
                raise KafkaConnectionError("down")
        if fails and fate.strikes("request fails"):
            raise rng.choice((NodeNotReadyError, KafkaConnectionError, ConnectionError))("told to")

    async def _hang(self) -> None:
        while not self._running.is_set():
            await self._running.wait()
        if not self.alive:
            raise asyncio.CancelledError

    def reach(self, step: str) -> None:
        """Be at a numbered step; perhaps die there."""
        if self.alive and self.world.fate.crashes(step):
            self.world.died(self)
            self.end()
        if not self.alive:
            raise asyncio.CancelledError

    def stop(self) -> None:
        """SIGSTOP."""
        self._running.clear()

    def go_on(self) -> None:
        """SIGCONT."""
        self._running.set()

    @property
    def stopped(self) -> bool:
        """Whether it hangs."""
        return not self._running.is_set()

    def end(self) -> None:
        """kill -9, or the end after an exit."""
        self.alive = False
        self._running.set()
        for kick in self.kicks:
            self.world.kafka.listeners.remove(kick)
        self.kicks.clear()
        for task in self.tasks:
            task.cancel()
