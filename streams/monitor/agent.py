"""The monitor: a Faust agent that reads the output topics of all partitions into the store.

It has a consumer group of its own. Its offsets are never committed: the positions are in Redis,
written in the same transaction as the rows. Several monitors of one use case do no harm: rows are
written under their keys, a monitor whose positions are out of date reads on from the stored ones,
and one of them at a time evaluates the alerts (streams/monitor/evaluator.py).

    assignment ──▶ open: positions from Redis, seek ──▶ batches ──▶ rows + positions, together
                     ▲                                                 │ conflict, Redis flushed
                     └─────────────────────────────────────────────────┘
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

from schemas.errors import ConfigError, RiverrunError, Unavailable
from streams.config.naming import group_of
from streams.config.process_env import claim_instance
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.faust_transport import App, Batch, make_app
from streams.kafka.header_names import tolerate
from streams.kafka.topic_reader import TopicReader
from streams.monitor.evaluator import Evaluator
from streams.monitor.store.ingest import Ingest
from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import KINDS
from streams.monitor.store.table_store import (
    KindPartition,
    MetricsTables,
    PositionConflict,
    connect,
)
from streams.topics import topic_admin

log = logging.getLogger("riverrun.monitor")

PUT_S, CHECK_S = 0.25, 1.0
AGAIN_S = 2.0
SESSION_S, HEARTBEAT_S, REBALANCE_S = 6.0, 2.0, 20.0
TROUBLES = (RedisError, OSError, TimeoutError, RiverrunError)


class MonitoredUseCase:
    """A use case with its topics, store, ingest and board."""

    def __init__(
        self, loaded: LoadedUseCase, count: int, names: dict[str, str], store: MetricsTables
    ):
        self.loaded = loaded
        self.count = count
        self.kinds = {names[kind]: kind for kind in KINDS}
        self.topics = {kind: name for name, kind in self.kinds.items()}
        self.store = store
        self.ingest = Ingest(store)
        self.board = Board(loaded.use_case, count, store)


class Monitor:
    """The monitor of some use cases in this process. run (until stop, or cancelled) → stop.

    Raises `ConfigError` without Redis, `Unavailable` if a server does not answer at the start.
    Later it waits for the servers.
    """

    def __init__(self, loadeds: Sequence[LoadedUseCase], settings: Settings) -> None:
        if settings.redis_url is None:
            raise ConfigError("The monitor stores its figures in Redis.", hint="Set REDIS_URL.")
        self.cases: list[MonitoredUseCase] = []
        self._loadeds = tuple(loadeds)
        self._settings = settings
        self._client = connect(settings.redis_address())
        self._ending = asyncio.Event()
        self._lock = asyncio.Lock()
        self._assigned: set[TP] = set()
        self._reopen = False
        self._reopen_at = 0.0
        self._app: App | None = None

    async def run(self) -> None:
        """Run until stopped; restart Faust when it fails."""
        for loaded in self._loadeds:
            self.cases.append(await self._case(loaded))
        self._of = {name: case for case in self.cases for name in case.kinds}
        with claim_instance(self.group) as instance:
            try:
                while not self._ending.is_set():
                    await self._run_app(instance)
            finally:
                await self._client.aclose()

    def stop(self) -> None:
        """Ask `run` to end soon."""
        self._ending.set()

    @property
    def group(self) -> str:
        """Return the consumer group, shared by all monitors of the same use cases."""
        names = ",".join(sorted(loaded.use_case.name for loaded in self._loadeds))
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        return f"riverrun.{self._settings.riverrun_topic_prefix}monitor-{digest}"

    async def _case(self, loaded: LoadedUseCase) -> MonitoredUseCase:
        count = await topic_admin.ensure(loaded.use_case, self._settings)
        store = MetricsTables(self._client, group_of(loaded, self._settings))
        return MonitoredUseCase(
            loaded, count, topic_admin.names_of(loaded.use_case, self._settings), store
        )

    # One run of a Faust app.

    async def _run_app(self, instance: str) -> None:
        self._app = app = self._make_app(instance)
        evaluator = Evaluator(self.cases, self._settings)
        side = [
            asyncio.create_task(work)
            for work in (self._ingesting(), self._checking(), evaluator.run(), self._running(app))
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
        tolerate()
        app = make_app(
            self.group,
            client=self._settings.kafka_client(),
            group={
                "group_id": self.group,
                "client_id": instance,
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

    # Assignment: nothing slow here; _open does the work.

    async def _on_revoked(self, _: Any, revoked: Collection[TP], **__: Any) -> None:
        self._consumer.shut(revoked)
        self._assigned.clear()
        for case in self.cases:
            case.ingest.leave(list(case.ingest.next_offsets))

    async def _on_assigned(self, _: Any, assigned: Collection[TP], **__: Any) -> None:
        self._assigned = set(assigned)
        self._reopen = True

    @property
    def _consumer(self) -> Any:
        assert self._app is not None
        return self._app.consumer

    def _route(self, batch: Batch) -> None:
        case = self._of[batch.topic]
        partition = KindPartition(case.kinds[batch.topic], batch.partition)
        if not case.ingest.accept(partition, batch):
            self._reopen = True
        elif case.ingest.full:
            self._consumer.shut([TP(batch.topic, batch.partition)])

    # Ingest.

    async def _ingesting(self) -> None:
        while True:
            await asyncio.sleep(PUT_S)
            async with self._lock:
                try:
                    await self._fill()
                except PositionConflict:
                    self._reopen = True
                except TROUBLES as error:
                    log.warning("monitor: %s: %s", type(error).__name__, error)
                    await asyncio.sleep(AGAIN_S)

    async def _fill(self) -> None:
        if self._reopen:
            if monotonic() < self._reopen_at:
                return  # two monitors with a conflict must not retry all the time
            self._reopen_at = monotonic() + AGAIN_S * (1.0 + random())
            self._reopen = False
            try:
                await self._open()
            except BaseException:
                self._reopen = True
                raise
        for case in self.cases:
            was_full = case.ingest.full
            await case.ingest.put()
            if was_full:
                await self._consumer.open(self._tps(case))

    async def _open(self) -> None:
        assigned = set(self._assigned)
        self._consumer.shut(assigned)
        for case in self.cases:
            wanted = [tp for tp in assigned if tp.topic in case.kinds]
            async with TopicReader(case.kinds, self._settings) as reader:
                bounds = await reader.bounds()
            starts = await case.ingest.open(
                {
                    KindPartition(case.kinds[tp.topic], tp.partition): bounds[_key(tp)]
                    for tp in wanted
                }
            )
            seeks = {TP(case.topics[kind], n): at for (kind, n), at in starts.items()}
            if self._assigned >= seeks.keys():
                await self._consumer.seek_and_open(seeks)

    def _tps(self, case: MonitoredUseCase) -> list[TP]:
        return [TP(case.topics[kind], number) for kind, number in case.ingest.next_offsets]

    async def _checking(self) -> None:
        # Redis may be flushed while nothing comes: nobody would notice.
        while True:
            await asyncio.sleep(CHECK_S)
            async with self._lock:
                with contextlib.suppress(*TROUBLES):
                    for case in self.cases:
                        await self._check(case)

    async def _check(self, case: MonitoredUseCase) -> None:
        if self._reopen or not case.ingest.next_offsets:
            return
        try:
            await case.ingest.check()
        except PositionConflict:
            self._reopen = True
            return
        if case.ingest.caught_up:
            await case.store.renew_heartbeat()


def _key(tp: TP) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)
