"""The monitor: a Faust agent that reads what all partitions tell, and fills shelves with it.

A group of its own; its offsets are never committed: the position is in Redis, in the same
transaction as the rows. Several monitors of one use case do no harm: rows are put under their keys,
who is outrun reads on from what is stored, and one of them at a time watches for alerts
(streams/monitor/watch.py).

    assignment ──▶ open: positions from Redis, seek ──▶ batches wait ──▶ rows + positions, together
                     ▲                                                       │ outrun, Redis flushed
                     └───────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import tempfile
from collections.abc import Collection, Sequence
from random import random
from time import monotonic
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP
from redis.exceptions import RedisError

from schemas.errors import Misdeclared, RiverrunError, Unavailable
from streams import topics
from streams.loading import Loaded
from streams.monitor.filling import Filling
from streams.monitor.rows import KINDS
from streams.monitor.shelves import Outrun, RedisShelves, connect
from streams.monitor.views import Board
from streams.monitor.watch import Watch
from streams.operating import group_of
from streams.processes import claim_instance
from streams.settings import Settings
from streams.tapes import Tapes
from streams.transport import App, Batch, make_app

log = logging.getLogger("riverrun.monitor")

PUT_S, CHECK_S = 0.25, 1.0
AGAIN_S = 2.0
SESSION_S, HEARTBEAT_S, REBALANCE_S = 6.0, 2.0, 20.0
TROUBLES = (RedisError, OSError, TimeoutError, RiverrunError)


class Case:
    """One use case that is watched."""

    def __init__(self, loaded: Loaded, count: int, names: dict[str, str], shelves: RedisShelves):
        self.loaded = loaded
        self.count = count
        self.kinds = {names[kind]: kind for kind in KINDS}
        self.topics = {kind: name for name, kind in self.kinds.items()}
        self.shelves = shelves
        self.filling = Filling(shelves)
        self.board = Board(loaded.use_case, count, shelves)


class Monitor:
    """The monitor of some use cases in this process. run (until stop, or cancelled) → stop.

    Raises `Misdeclared` without Redis, `Unavailable` if a server does not answer at the start;
    later on it waits for the servers.
    """

    def __init__(self, loadeds: Sequence[Loaded], settings: Settings) -> None:
        if settings.redis_url is None:
            raise Misdeclared("The monitor keeps its figures in Redis.", mend="Set REDIS_URL.")
        self.cases: list[Case] = []
        self._loadeds = tuple(loadeds)
        self._settings = settings
        self._client = connect(settings.redis_url.get_secret_value())
        self._ending = asyncio.Event()
        self._lock = asyncio.Lock()
        self._assigned: set[TP] = set()
        self._reopen = False
        self._reopen_at = 0.0
        self._app: App | None = None

    async def run(self) -> None:
        """Watch until stopped; a Faust that fails is started again."""
        for loaded in self._loadeds:
            self.cases.append(await self._case(loaded))
        self._of = {name: case for case in self.cases for name in case.kinds}
        with claim_instance(self.group) as instance:
            try:
                while not self._ending.is_set():
                    await self._life(instance)
            finally:
                await self._client.aclose()

    def stop(self) -> None:
        """End soon."""
        self._ending.set()

    @property
    def group(self) -> str:
        """Monitors of the same use cases share the reading."""
        names = ",".join(sorted(loaded.use_case.name for loaded in self._loadeds))
        place = hashlib.sha256(names.encode()).hexdigest()[:8]
        return f"riverrun.{self._settings.riverrun_topic_prefix}monitor-{place}"

    async def _case(self, loaded: Loaded) -> Case:
        count = await topics.ensure(loaded.use_case, self._settings)
        shelves = RedisShelves(self._client, group_of(loaded, self._settings))
        return Case(loaded, count, topics.names_of(loaded.use_case, self._settings), shelves)

    # One life of a Faust app.

    async def _life(self, instance: str) -> None:
        self._app = app = self._make_app(instance)
        watch = Watch(self.cases, self._settings)
        side = [
            asyncio.create_task(work)
            for work in (self._filling(), self._checking(), watch.run(), self._running(app))
        ]
        ending = asyncio.create_task(self._ending.wait())
        try:
            done, _ = await asyncio.wait({*side, ending}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ending}:
                if (error := task.exception()) is not None:
                    log.error("monitor: %s: %s; starting again", type(error).__name__, error)
        finally:
            for task in (*side, ending):
                task.cancel()
            await asyncio.gather(*side, ending, return_exceptions=True)
            self._assigned.clear()
            with contextlib.suppress(Exception):
                await app.stop()
        if not self._ending.is_set():
            await asyncio.sleep(AGAIN_S)

    async def _running(self, app: App) -> None:
        await app.start()
        await app.wait_until_stopped()
        raise Unavailable(f"Faust stopped: {app.crash_reason}")

    def _make_app(self, instance: str) -> App:
        app = make_app(
            self.group,
            client=self._settings.kafka_client(),
            group={
                "group_id": self.group,
                "group_instance_id": instance,
                "session_timeout_ms": int(SESSION_S * 1000),
                "heartbeat_interval_ms": int(HEARTBEAT_S * 1000),
                "rebalance_timeout_ms": int(REBALANCE_S * 1000),
                "max_poll_interval_ms": 600_000,
                "fetch_max_wait_ms": 100,
            },
            topics=list(self._of),
            route=self._route,
            datadir=tempfile.mkdtemp(prefix="riverrun-"),
            canonical_url=f"http://{instance}.invalid",
        )
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        return app

    # Assignment: nothing slow here, the filling opens.

    async def _on_revoked(self, _: Any, revoked: Collection[TP], **__: Any) -> None:
        self._consumer.shut(revoked)
        self._assigned.clear()
        for case in self.cases:
            case.filling.leave(list(case.filling.places))

    async def _on_assigned(self, _: Any, assigned: Collection[TP], **__: Any) -> None:
        self._assigned = set(assigned)
        self._reopen = True

    @property
    def _consumer(self) -> Any:
        assert self._app is not None
        return self._app.consumer

    def _route(self, batch: Batch) -> None:
        case = self._of[batch.topic]
        place = case.kinds[batch.topic], batch.partition
        if not case.filling.accept(place, batch):
            self._reopen = True
        elif case.filling.full:
            self._consumer.shut([TP(batch.topic, batch.partition)])

    # Filling.

    async def _filling(self) -> None:
        while True:
            await asyncio.sleep(PUT_S)
            async with self._lock:
                try:
                    await self._fill()
                except Outrun:
                    self._reopen = True
                except TROUBLES as error:
                    log.warning("monitor: %s: %s", type(error).__name__, error)
                    await asyncio.sleep(AGAIN_S)

    async def _fill(self) -> None:
        if self._reopen:
            if monotonic() < self._reopen_at:
                return  # two monitors that outrun each other must not do so all the time
            self._reopen_at = monotonic() + AGAIN_S * (1.0 + random())
            self._reopen = False
            try:
                await self._open()
            except BaseException:
                self._reopen = True
                raise
        for case in self.cases:
            was_full = case.filling.full
            await case.filling.put()
            if was_full:
                await self._consumer.open(self._tps(case))

    async def _open(self) -> None:
        assigned = set(self._assigned)
        self._consumer.shut(assigned)
        for case in self.cases:
            wanted = [tp for tp in assigned if tp.topic in case.kinds]
            async with Tapes(case.kinds, self._settings) as tapes:
                bounds = await tapes.bounds()
            places = {(case.kinds[tp.topic], tp.partition): bounds[_key(tp)] for tp in wanted}
            starts = await case.filling.open(places)
            seeks = {TP(case.topics[kind], n): at for (kind, n), at in starts.items()}
            if self._assigned >= seeks.keys():
                await self._consumer.seek_and_open(seeks)

    def _tps(self, case: Case) -> list[TP]:
        return [TP(case.topics[kind], number) for kind, number in case.filling.places]

    async def _checking(self) -> None:
        # Redis may be flushed while nothing comes: nobody would notice.
        while True:
            await asyncio.sleep(CHECK_S)
            async with self._lock:
                with contextlib.suppress(*TROUBLES):
                    for case in self.cases:
                        await self._check(case)

    async def _check(self, case: Case) -> None:
        if self._reopen or not case.filling.places:
            return
        try:
            await case.filling.check()
        except Outrun:
            self._reopen = True
            return
        if case.filling.caught_up:
            await case.shelves.tell_alive()


def _key(tp: TP) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)
