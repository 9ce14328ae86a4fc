"""One run: a Kafka, a group, processes, what goes in, what goes wrong, and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson
from faust.types import TP

from models.features.window_declarations import over_events
from models.task.partition_task import PartitionTask
from models.training.learner_inputs import learner_inputs
from models.values.durations import minutes
from schemas.topics import INPUTS, LEARNER, topic_names
from streams.partition.pace import Pace
from streams.partition.runner import State
from streams.replay.journal_fold import Entry
from streams.worker.worker_process import AGAIN, BUG, CLEAN, DECIDE
from tests.simulation.broker import Kafka, Message
from tests.simulation.checks import Safety
from tests.simulation.clients import simulated
from tests.simulation.fate import Fate
from tests.simulation.group import Group
from tests.simulation.plants import POISON, Plants
from tests.simulation.process import Process, make_task
from tests.simulation.store import Vault
from tests.simulation.upstream import Upstream
from tests.simulation.workload import Sending, workload
from tests.support.one_partition import FEATURES, command, use_case
from tests.support.virtual_time import run_virtually

SENDING_S = 10.0
FAULTS_S = 22.0
SHARED = 0.5
"""Of the runs with several partitions, in which one model learns from all of them."""
DRAIN_S_MAX = 60.0
"""Virtual seconds after the last fault in which everything must have come out."""


@dataclass
class Result:
    """What became of one seed."""

    seed: int
    failures: list[str]
    events: int = 0
    records: int = 0
    checks: int = 0
    drained_s: float = 0.0
    rebalances: int = 0
    loads: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    digest: str = ""


class World:
    """Everything in one run, made of its seed."""

    def __init__(self, seed: int, plants: Plants) -> None:
        self.seed = seed
        self.plants = plants
        self.fate = Fate(seed)
        self.rng = rng = random.Random(seed + 1)
        self.partitions = rng.choice((1, 2, 2, 3))
        self.workers_wanted = rng.choice((1, 2, 2, 3))
        apart = random.Random(seed + 4)
        self.shared = self.partitions > 1 and apart.random() < SHARED
        self.lead_s = apart.choice((1.0, 60.0, 1e9))
        everybody = {"everybody": over_events(by=(), last=minutes(10)).count()}
        self.case = use_case(
            partitions=self.partitions,
            learning="shared" if self.shared else "partition",
            features={**FEATURES, **everybody} if self.shared else FEATURES,
        )
        self.topics = topic_names("parcels", prefix="", adopted={})
        self.group_id = "simulated"
        self.kafka = Kafka(rng)
        self.vault = Vault()
        self.group = Group(self.partitions, rng)
        self.processes: dict[str, Process] = {}
        self.exits: Counter[int] = Counter()
        self.failures: list[str] = []
        self.loads = 0
        self.sent: list[Sending] = []
        self.pace = Pace(
            alignment_wait_s=rng.choice((0.02, 0.2, 0.5)),
            batch_records_max=rng.choice((3, 8, 40)),
            batch_s_max=0.05,
            commit_interval_s=rng.choice((0.0, 0.01, 0.1)),
            report_interval_s=1.0,
            stop_s_max=5.0,
        )
        self.skip_after = random.Random(seed + 2).choice((0, 0, 1, 2))
        self._skips_sent: set[tuple[int, Any]] = set()
        self.upstream = Upstream(self)
        self._ending = False

    @property
    def numbers(self) -> list[int]:
        """The tasks: the partitions, and the learner if there is one."""
        return [*range(self.partitions), *([LEARNER] if self.shared else [])]

    def inputs(self, number: int) -> list[tuple[str, TP]]:
        """Return kind and place of each input of a task, in its journal's numbering."""
        if number == LEARNER:
            places = [*learner_inputs(self.partitions, features=self.case.shares_features)]
        else:
            places = [(kind, number) for kind in INPUTS]
            places += [("models", 0)] if self.shared else []
        return [(kind, TP(self.topics[kind], n)) for kind, n in places]

    def fresh(self, number: int) -> Any:
        """Return a task at its beginning."""
        common: dict[str, Any] = {"partitions": self.partitions, "definition": "d1"}
        if number == LEARNER:
            return self.plants.learner(self.case, **common)
        return self.plants.task(self.case, partition=number, **common)

    def fail(self, what: str) -> None:
        """Note a broken promise."""
        self.failures.append(what)

    # Processes.

    def start(self, instance: str) -> None:
        """Start a worker, unless one of that id runs."""
        process = self.processes.get(instance)
        if not self._ending and (process is None or not process.alive):
            self.processes[instance] = Process(self, instance)

    def died(self, process: Process) -> None:
        """It crashed at a step: its supervisor starts it again."""
        self._start_later(process.instance)

    def exited(self, process: Process, code: int, failure: BaseException | None) -> None:
        """It ended by itself."""
        self.exits[code] += 1
        if code in (BUG, DECIDE):
            self.fail(f"{process.instance} ended with {code}: {failure}")
        if code != CLEAN or process.instance in self._wanted():
            self._start_later(process.instance)

    def _wanted(self) -> list[str]:
        return [f"w{n}" for n in range(self.workers_wanted)]

    def _start_later(self, instance: str) -> None:
        wait_s = 0.5 if self.fate.healed else self.rng.choice((0.1, 0.5, 2.0, 8.0))
        if instance in self._wanted():
            asyncio.get_running_loop().call_later(wait_s, self.start, instance)

    def _alive(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    # A run.

    async def run(self, events: int) -> Result:
        """From the first record to the last check."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(make_task)
        self.sent = workload(self.rng, self.partitions, events, SENDING_S)
        self._poison()
        side = [asyncio.create_task(self._tick()), asyncio.create_task(self.upstream.send())]
        side.append(asyncio.create_task(self._operate()))
        side.append(asyncio.create_task(self._trouble()))
        for instance in self._wanted():
            loop.call_later(self.rng.uniform(0, 2), self.start, instance)
        await asyncio.sleep(FAULTS_S)
        await self._heal()
        drained_s = await self._drain()
        safety = Safety(self)
        if drained_s is not None:
            safety.check()
        for task in side:
            task.cancel()
        result = self._result(drained_s, safety)
        self._ending = True
        for process in self._alive():
            process.end()
        return result

    def _result(self, drained_s: float | None, safety: Safety) -> Result:
        fate = self.fate
        for code, count in self.exits.items():
            fate.struck[f"exit code {code}"] += count
        return Result(
            self.seed,
            self.failures,
            events=sum(s.kind == "events" for s in self.sent),
            records=len(self.sent),
            checks=safety.checks,
            drained_s=DRAIN_S_MAX if drained_s is None else drained_s,
            rebalances=self.group.rebalances,
            loads=self.loads,
            faults=fate.struck,
            crashes=fate.crashed,
            reached=fate.reached,
            digest=safety.digest(),
        )

    def _poison(self) -> None:
        # In some runs, some events and outcomes that `apply` fails on.
        rng = random.Random(self.seed + 3)
        for n in rng.sample(range(len(self.sent)), rng.choice((0, 0, 1, 2))):
            sending = self.sent[n]
            value = sending.message.value or b""
            if sending.kind in ("events", "outcomes") and value.endswith(b"}"):
                message = sending.message._replace(value=value[:-1] + b"," + POISON + b"}")
                self.sent[n] = sending._replace(message=message)
                self.fate.struck["record that `apply` fails on"] += 1

    async def _operate(self) -> None:
        # An operator reads where a partition halts, and lets it set that record aside.
        while True:
            await asyncio.sleep(1.0)
            for process in self._alive():
                for number, partition in process.worker.partitions.items():
                    position = partition._halting.suspect.input_offset
                    if partition.state is State.HALTED and position is not None:
                        self._set_aside(number, position)

    def _set_aside(self, number: int, position: tuple[int, int]) -> None:
        if (number, position) in self._skips_sent:
            return
        self._skips_sent.add((number, position))
        record = {"input": INPUTS[position[0]], "offset": position[1]}
        told = command(f"skip-{number}-{position}", "skip", record=record)
        message = Message(b"skip", orjson.dumps(told))
        self.upstream.append(Sending(0.0, "commands", number, message), None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.group.tick()

    # Faults of a moment.

    async def _trouble(self) -> None:
        fate, rng = self.fate, self.rng
        while fate.moments:
            await asyncio.sleep(rng.expovariate(1 / 2.5))
            if fate.healed:
                return
            kind = rng.choice(fate.moments)
            if self._strike(kind):
                fate.struck[kind] += 1

    def _strike(self, kind: str) -> bool:
        later = asyncio.get_running_loop().call_later
        rng, alive = self.rng, self._alive()
        process = rng.choice(alive) if alive else None
        if kind == "broker down":
            self.kafka.down = True
            later(rng.choice((0.1, 1.0, 6.0)), setattr, self.kafka, "down", False)
        elif kind == "snapshots flushed":
            self.vault.snapshots.clear()
        elif kind == "snapshots lose a second":
            self.vault.lose_since(asyncio.get_running_loop().time() - 1.0)
        elif kind == "rebalance storm":
            for n in range(rng.randint(1, 3)):
                name = f"guest{n}"
                later(rng.uniform(0, 2), self.start, name)
                later(rng.uniform(2, 6), self._leave, name)
        elif process is None or process.stopped:
            return False
        elif kind == "kill -9":
            process.end()
            self.died(process)
        elif kind == "SIGSTOP":
            process.stop()
            later(rng.choice((1.0, 4.0, 9.0, 13.0)), process.go_on)
        elif kind == "SIGTERM":
            process.worker._end(CLEAN, None)
        return True

    def _leave(self, name: str) -> None:
        process = self.processes.get(name)
        if process is not None and process.alive:
            process.worker._end(CLEAN, None)
            self.group.leave(name)

    async def _heal(self) -> None:
        self.fate.healed = True
        self.kafka.down = False
        for name, process in self.processes.items():
            process.go_on()
            if name.startswith("guest"):
                self._leave(name)
        for instance in self._wanted():
            self.start(instance)

    # Liveness.

    async def _drain(self) -> float | None:
        clock = asyncio.get_running_loop().time
        began, exits = clock(), self.exits[AGAIN]
        while clock() - began < DRAIN_S_MAX:
            await asyncio.sleep(0.25)
            if self._quiet() and all(map(self._drained, self.numbers)):
                return clock() - began
        self.fail(
            f"liveness: not drained {DRAIN_S_MAX:.0f} s after the last fault, "
            f"{self.exits[AGAIN] - exits} exits since; {self._standing()}"
        )
        return None

    def _quiet(self) -> bool:
        # All is sent, and no transaction is open.
        return self.upstream.all_sent and all(
            log.stable == len(log.entries) for log in self.kafka.logs.values()
        )

    def _drained(self, number: int) -> bool:
        last = self.last_entry(number)
        for index, (kind, tp) in enumerate(self.inputs(number)):
            if kind == "models":
                continue  # a version waits until its time has come
            log = self.kafka.log(tp)
            at = 0 if last is None else max(0, last.next[index])
            if log.stable != len(log.entries) or log.committed(at, len(log.entries)):
                return False
        task = self.live_task(number)
        return task is not None and task.seq == (0 if last is None else last.seq + 1)

    def journal(self, number: int) -> TP:
        """Return where a task's journal is."""
        if number == LEARNER:
            return TP(self.topics["learning"], 0)
        return TP(self.topics["journal"], number)

    def last_entry(self, number: int) -> Entry | None:
        """The newest committed journal entry."""
        log = self.kafka.log(self.journal(number))
        records = log.committed(max(0, len(log.entries) - 20), len(log.entries))
        records = records or log.committed(0, len(log.entries))
        value = records[-1].value if records else None
        return None if value is None else Entry.decode(value)

    def live_task(self, number: int) -> PartitionTask | None:
        """The state of whoever owns that partition now, if it is idle."""
        for process in self._alive():
            sharing = process.worker.sharing
            partition = process.worker.partitions.get(number)
            if number == LEARNER and sharing is not None:
                partition = sharing.learner
            if (
                partition is not None
                and process.generation == self.group.generation
                and partition.state is State.LIVE
                and not partition.intake.applied
            ):
                task: Any = partition.task
                return task  # type: ignore[no-any-return]
        return None

    def _standing(self) -> str:
        lines = []
        for process in self._alive():
            for number, partition in process.worker.partitions.items():
                intake = partition.intake
                lines.append(
                    f"{process.instance}/{number} {partition.state} lag {intake.lag()} "
                    f"times {intake._times} lost {intake.lost} full {intake.full}"
                )
        return f"down {self.kafka.down}; " + "; ".join(lines)


def simulate(seed: int, *, events: int = 24, plants: Plants | None = None) -> Result:
    """Run one seed in virtual time."""
    chosen = plants or Plants()

    async def run() -> Result:
        return await World(seed, chosen).run(events)

    logging.getLogger("riverrun").setLevel(logging.CRITICAL + 1)
    asyncio_log = logging.getLogger("asyncio")
    before = asyncio_log.level
    asyncio_log.setLevel(logging.CRITICAL + 1)
    with simulated(), contextlib.ExitStack() as patches:
        for name, planted in (
            ("worker.worker_process.PartitionRunner", chosen.partition),
            ("partition.runner.Recovery", chosen.resuming),
            ("partition.runner.Intake", chosen.intake),
            ("partition.recovery.FAR_RECORDS", 8),  # runs are short
        ):
            patches.enter_context(patch(f"streams.{name}", planted))
        try:
            return run_virtually(run())
        finally:
            asyncio_log.setLevel(before)
            logging.getLogger("riverrun").setLevel(logging.NOTSET)
