"""What is done to the servers and workers, one after another, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time

import redis.asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from streams.embedded import Endpoints, Stack
from tests.chaos.crew import Crew
from tests.chaos.proxy import ANSWERS, BOTH, REQUESTS, Held, Proxies

SESSION_S = 6.0
IN_SYNC_S_MAX = 60.0
PAUSE_S = 60.0
WAYS = ((REQUESTS,), (ANSWERS,), BOTH)


@dataclass
class Struck:
    """One fault: what, whom, and from when to when (seconds since 1970)."""

    kind: str
    whom: str
    began: float
    ended: float = 0.0


class Faults:
    """All faults by name; each returns once it is over, but for what follows from it."""

    def __init__(
        self,
        stack: Stack,
        crew: Crew,
        proxies: Proxies,
        rng: random.Random,
        *,
        brokers: int = 1,
        shared: bool = False,
    ) -> None:
        self.stack = stack
        self.crew = crew
        self.proxies = proxies
        self.rng = rng
        self.brokers = brokers
        self.struck: list[Struck] = []
        self._guests = 0
        self.kinds: dict[str, Callable[[], Awaitable[str]]] = {
            "kill -9": self._kill,
            "kill -9 with its parent": self._kill_parent,
            "kill -9 of two": self._kill_two,
            "SIGSTOP past the session": self._hang,
            "broker killed": self._broker_killed,
            "broker hangs": self._broker_hangs,
            "Redis killed": self._redis_killed,
            "Redis FLUSHALL": self._redis_flushed,
            "Redis half open": self._redis_half_open,
            "rebalance storm": self._storm,
            "Kafka half open": self._kafka_half_open,
            "worker half open": self._worker_half_open,
            "connections dead": self._connections_dead,
        }
        if shared:
            self.kinds["kill -9 of the learner"] = self._kill_learner
            self.kinds["learner hangs for a minute"] = self._hang_learner

    def plan(self, count: int, kills: int) -> list[str]:
        """Every kind once, then kills until there are enough, then any; in a drawn order."""
        plan = list(self.kinds)
        while sum(1 + name.endswith("two") for name in plan if name.startswith("kill")) < kills:
            plan.append(self.rng.choice([name for name in self.kinds if name.startswith("kill")]))
        while len(plan) < count:
            plan.append(self.rng.choice(list(self.kinds)))
        self.rng.shuffle(plan)
        return plan

    async def strike(self, kind: str) -> None:
        """Do one."""
        struck = Struck(kind, "", time())
        self.struck.append(struck)
        struck.whom = await self.kinds[kind]()
        struck.ended = time()

    def _somebody(self, count: int = 1) -> list[str]:
        names = [n for n, worker in self.crew.running.items() if worker.poll() is None]
        return self.rng.sample(sorted(names), min(count, len(names)))

    async def _kill(self) -> str:
        return self._kill_some(1)

    async def _kill_parent(self) -> str:
        return self._kill_some(1, parent=True)

    async def _kill_two(self) -> str:
        return self._kill_some(2, parent=self.rng.random() < 0.5)

    def _kill_some(self, count: int, *, parent: bool = False) -> str:
        names = self._somebody(count)
        for name in names:
            self.crew.kill(name, parent=parent)
        return " ".join(names) + (" with parent" if parent else "")

    async def _hang(self) -> str:
        names = self._somebody()
        for name in names:
            self.crew.signal(name, signal.SIGSTOP)
        await asyncio.sleep(SESSION_S + self.rng.uniform(2, 4))
        for name in names:
            if name in self.crew.running:
                self.crew.signal(name, signal.SIGCONT)
        return " ".join(names)

    async def _kill_learner(self) -> str:
        name = self.crew.learner() or self._somebody()[0]
        self.crew.kill(name, parent=False)
        return name

    async def _hang_learner(self) -> str:
        name = self.crew.learner() or self._somebody()[0]
        self.crew.signal(name, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        if name in self.crew.running:
            self.crew.signal(name, signal.SIGCONT)
        return name

    async def _broker_killed(self) -> str:
        node = self.rng.randint(1, self.brokers)
        broker = self.stack.broker(node)
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(self.rng.uniform(0, 1))
        await asyncio.to_thread(broker.start)
        if self.brokers > 1:
            return f"broker {node}, in sync after {await self._in_sync():.1f} s"
        return f"broker {node}"

    async def _in_sync(self) -> float:
        """Wait until every replica is in sync again: the next one down would be a second one."""
        began, endpoints = monotonic(), self.stack.find()
        assert endpoints is not None
        while monotonic() - began < IN_SYNC_S_MAX:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(5):
                    if await _all_in_sync(endpoints):
                        break
            await asyncio.sleep(0.5)
        return monotonic() - began

    async def _broker_hangs(self) -> str:
        node = self.rng.randint(1, self.brokers)
        broker = self.stack.broker(node)
        broker.signal(signal.SIGSTOP)
        await asyncio.sleep(self.rng.uniform(3, 8))
        broker.signal(signal.SIGCONT)
        return f"broker {node}"

    async def _redis_killed(self) -> str:
        server = self.stack.redis()
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(self.rng.uniform(0, 2))
        await asyncio.to_thread(server.start)
        return "redis"

    async def _redis_flushed(self) -> str:
        endpoints = self.stack.find()
        if endpoints is None:
            return "not there"
        try:
            async with redis.asyncio.from_url(endpoints.redis_url) as client:
                await client.flushall()
        except RedisError as error:
            return type(error).__name__
        # Nothing shows it until somebody has to recover.
        return "redis, then " + self._kill_some(1)

    async def _redis_half_open(self) -> str:
        self.proxies.redis.hang()
        whom = self._kill_some(1)
        await asyncio.sleep(self.rng.uniform(3, 8))
        self.proxies.redis.go_on()
        return f"redis, and {whom} recovers without"

    async def _kafka_half_open(self) -> str:
        """Nothing of any worker passes one way, or either, for less than a session."""
        ways = self.rng.choice(WAYS)
        await self._held(Held(ways), self.rng.uniform(2, SESSION_S - 1))
        return " and ".join(ways)

    async def _worker_half_open(self) -> str:
        """Nothing of one worker passes for more than a session; all that was held comes late."""
        name, ways = self._somebody()[0], self.rng.choice(WAYS)
        held = Held(ways, _pids(self.crew.worker(name)))
        await self._held(held, SESSION_S + self.rng.uniform(1, 3))
        return f"{name}, {' and '.join(ways)}"

    async def _connections_dead(self) -> str:
        """Of a worker's connections, each one in two never passes anything again; new ones do."""
        name = self._somebody()[0]
        pids = _pids(self.crew.worker(name))
        cut = sum(
            proxy.cut(pids, lambda: self.rng.random() < 0.5) for proxy in self.proxies.brokers
        )
        return f"{name}, {cut} of its connections"

    async def _held(self, held: Held, seconds: float) -> None:
        for proxy in self.proxies.brokers:
            proxy.hang(held)
        await asyncio.sleep(seconds)
        for proxy in self.proxies.brokers:
            proxy.go_on()

    async def _storm(self) -> str:
        names = []
        for _ in range(3):
            self._guests += 1
            name = f"guest{self._guests}"
            names.append(name)
            self.crew.start(name)
            await asyncio.sleep(self.rng.uniform(1, 2.5))
        for name in names:
            self.crew.leave(name)
            await asyncio.sleep(self.rng.uniform(0.2, 1))
        return f"{len(names)} guests"


async def _all_in_sync(servers: Endpoints) -> bool:
    admin = AIOKafkaAdminClient(**servers.kafka_client())
    try:
        await admin.start()
        topics = await admin.describe_topics()
        return all(
            len(replicas["isr"]) == len(replicas["replicas"])
            for topic in topics
            for replicas in topic["partitions"]
        )
    finally:
        await admin.close()


def _pids(pid: int | None) -> tuple[int, ...]:
    return () if pid is None else (pid,)
