"""One worker process: a Faust app that starts and stops the runners of its partitions.

Assignment only starts and stops: nothing slow happens inside Faust's rebalance hooks, since past
their timeouts its recovery hangs without a warning. A runner recovers with its partitions shut
and opens them itself.

Ends, and with which exit code:
    0   SIGTERM or SIGINT: transactions in flight end, state is handed on, connections closed
    70  a bug: state and journal differ; nothing of the batch was committed
    75  Kafka or the group is not to be had, or a partition stalls: start again
    78  something does not fit and a person has to decide
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from faust.types import TP

from models.inputs.decoder import MODELS
from models.task.learner_task import LEARNER, learner_inputs
from schemas.errors import ConfigError, Incompatible
from schemas.topics import INPUTS
from streams.config.naming import transactional_id
from streams.config.process_env import claim_instance
from streams.kafka.clock_check import ClockWatch
from streams.kafka.faust_transport import App, Batch, make_app, tell_quietly
from streams.kafka.header_names import tolerate
from streams.kafka.transactional_writer import Limits, TransactionalWriter
from streams.partition.ports import (
    FreshStore,
    Pace,
    PartitionTask,
    SnapshotStore,
    Source,
    Wiring,
)
from streams.partition.recovery import KeptState
from streams.partition.runner import PartitionRunner, State
from streams.partition.shared_topic import SharedReader
from streams.replay.fold import Diverged, rolled
from streams.replay.kafka_log import KafkaLog
from streams.sources.relay_plan import RelayPlan
from streams.sources.relays import Relays
from streams.telemetry.health_server import HealthServer
from streams.telemetry.measurements import Measurements
from streams.telemetry.worker_status import publish
from streams.worker.feature_store_writer import FeatureStoreWriter
from streams.worker.shared_learning import Plan, SharedLearning
from streams.worker.topic_watch import TopicWatch

log = logging.getLogger("riverrun.worker")
CLEAN, BUG, AGAIN, DECIDE = 0, os.EX_SOFTWARE, os.EX_TEMPFAIL, os.EX_CONFIG
SESSION_S, HEARTBEAT_S, REBALANCE_S = 6.0, 1.0, 20.0
FETCH_WAIT_MS = 30  # an input that opens while another's fetch waits is held up at most this long
SHUTDOWN_S_MAX = 8.0
Metrics = Callable[..., bytes]
"""What renders `/metrics` (streams/telemetry/prometheus.py)."""
WATCH_S = 0.5


def run_worker(
    factory: Callable[[int], PartitionTask],
    *,
    client: Mapping[str, Any],
    topics: Mapping[str, str],
    group_id: str,
    store: SnapshotStore | None = None,
    pace: Pace | None = None,
    compression: str | None = None,
    instance: str | None = None,
    claimed: str | None = None,
    redis_url: str | None = None,
    health_host: str = "127.0.0.1",
    health_port: int | None = 0,
    metrics: Metrics | None = None,
    shorten: Callable[[Any, int], Any | None] | None = None,
    roll: Callable[..., Awaitable[Any]] | None = None,
    on_stopped: Callable[[], Awaitable[None]] | None = None,
    serving: FeatureStoreWriter | None = None,
    beside: Callable[[], Coroutine[Any, Any, Any]] | None = None,
    skip_after: int = 0,
    shown_name: str = "USECASE",
    partitions: int | None = None,
    lead_s: Callable[[int], float] | None = None,
    learner: Sequence[tuple[str, int]] | None = None,
    prepare: Callable[[Any, bool], None] | None = None,
    flaw: Callable[[Any], str | None] | None = None,
    relays: RelayPlan | None = None,
) -> int:
    """Run one worker until it is told to stop; gives the exit code.

    `factory(partition)` makes a fresh task; `client` holds aiokafka's connection and security
    arguments; `topics` kind → name, inputs among them only as far as they exist; `group_id` also
    names the transactions. `instance` is the static member id (None: the lowest free one of this
    host), `claimed` one that the caller holds; `health_port` None: no server, 0: any; `beside`
    runs while this worker owns partition 0; `lead_s` (of how many records are learnt) is by how
    much event time a partition may run ahead where one model learns from all (None: each by
    itself): the factory makes the learner then (`LEARNER`), `learner` names its inputs (None:
    commands and examples), and `flaw` says why a version cannot be used; `relays`: of its sources;
    `prepare`, `skip_after`, `shown_name` and `partitions` are `Wiring`'s. It must run under
    `python -P` with PYTHONHASHSEED=0 (processes.reexec_if_unsafe).
    """
    inputs = tuple(topics.get(kind) for kind in INPUTS)
    read = inputs if lead_s is None else (*inputs, TP(topics["models"], 0))
    limits = Limits()
    wiring = Wiring(
        inputs=inputs,
        store=store or FreshStore(factory),
        open_log=lambda n: KafkaLog(client, journal=topics["journal"], inputs=read, partition=n),
        open_writer=lambda n: TransactionalWriter(
            client,
            transactional_id=transactional_id(group_id, n),
            partition=n,
            topics=topics,
            limits=limits,
            compression=compression,
        ),
        pace=pace or Pace(),
        shorten=shorten or (lambda output, limit_bytes: None),
        roll=roll or rolled,
        skip_after=skip_after,
        shown_name=shown_name,
        partitions=partitions,
        prepare=prepare or (lambda task, live: None),
        flaw=None if flaw is None else lambda i, record: flaw(record) if i == MODELS else None,
    )
    claim = claim_instance(group_id, instance)
    with claim if claimed is None else contextlib.nullcontext(claimed) as member:
        worker = _Worker(wiring, client, group_id, member, redis_url, on_stopped, serving, beside)
        if partitions is not None:
            worker.topics = TopicWatch(client, topics, shown_name, partitions)
        if lead_s is not None:
            assert partitions is not None
            sources = learner or learner_inputs(partitions, features=False)
            worker.plan = Plan.of(wiring, client, topics, group_id, partitions, lead_s, sources)
        if relays is not None:
            worker.relays = Relays(relays, partial(worker._end, DECIDE))
        health = None if health_port is None else (health_host, health_port)
        return asyncio.run(worker.main(health, metrics))


class _Worker:
    def __init__(
        self,
        wiring: Wiring,
        client: Mapping[str, Any],
        group_id: str,
        instance: str,
        redis_url: str | None,
        on_stopped: Callable[[], Awaitable[None]] | None = None,
        serving: FeatureStoreWriter | None = None,
        beside: Callable[[], Coroutine[Any, Any, Any]] | None = None,
    ) -> None:
        self.wiring = wiring
        self.client = client
        self.group_id = group_id
        self.instance = instance
        self.redis_url = redis_url
        self.on_stopped = on_stopped
        self.beside = beside
        self.besides: list[asyncio.Task[Any]] = []
        self.serving = serving
        self.partitions: dict[int, PartitionRunner] = {}
        self.runs: dict[int, asyncio.Task[None]] = {}
        self.kept: dict[int, KeptState] = {}
        self.measures: dict[int, Measurements] = {}
        self.topics: TopicWatch | None = None
        self.plan: Plan | None = None
        self.sharing: SharedLearning | None = None
        self.readers: list[SharedReader] = []
        self.relays: Relays | None = None
        self.clock = ClockWatch()
        self.assigned = False
        self.owned: set[int] = set()
        self.code = CLEAN
        self.ending = asyncio.Event()
        self.failure: BaseException | None = None

    # From start to end.

    async def main(self, health_at: tuple[str, int] | None, metrics: Metrics | None) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        loop.add_signal_handler(signal.SIGINT, self.ending.set)
        loop.set_exception_handler(tell_quietly)
        self.app = self._make_app()
        health = await self._start_health(health_at, metrics)
        self.share()
        side = [asyncio.create_task(self._watch()), *self._telling()]
        if self.topics is not None:
            await self.topics.first()
            side.append(asyncio.create_task(self.topics.run(partial(self._end, DECIDE))))
        starting = asyncio.create_task(self._run_app())
        if self.serving is not None:
            self.serving.assigned = lambda: list(self.partitions)
            self.serving.start()
        await self.ending.wait()
        log.info("worker %s: stopping", self.instance)
        bound = loop.call_later(SHUTDOWN_S_MAX, self._exit_now)
        await self._stop_all()
        for task in side:
            task.cancel()
        if self.code != AGAIN:  # else it is back under its member id before its session ends
            with contextlib.suppress(Exception):
                self.app.consumer.leave_on_stop()
        await self._stop_app(starting)
        for beside in (self.sharing, self.relays):
            if beside is not None:
                await beside.close()
        if self.serving is not None:
            await asyncio.to_thread(self.serving.close)
        if self.on_stopped is not None:
            await self.on_stopped()  # bounded as all of the shutdown
        if health is not None:
            await health.close()
        bound.cancel()
        if self.failure is not None:
            log.error("worker %s: %s", self.instance, self.failure)
        return self.code

    def _exit_now(self) -> None:
        # SIGTERM amid a rebalance can hang or crash Faust; transactions have ended by now.
        log.warning("worker %s: shutdown took too long, exiting", self.instance)
        logging.shutdown()
        os._exit(self.code)

    def _end(self, code: int, failure: BaseException | None) -> None:
        if not self.ending.is_set():
            self.code, self.failure = code, failure
            self.ending.set()

    def _group_topics(self) -> list[str]:
        # `models` is read beside the group.
        return [topic for topic in self.wiring.inputs if isinstance(topic, str)]

    def _make_app(self) -> App:
        tolerate()
        app = make_app(
            self.group_id,
            client=self.client,
            group={
                "group_id": self.group_id,
                "group_instance_id": self.instance,
                "session_timeout_ms": int(SESSION_S * 1000),
                "heartbeat_interval_ms": int(HEARTBEAT_S * 1000),
                "rebalance_timeout_ms": int(REBALANCE_S * 1000),
                "max_poll_interval_ms": 600_000,
                "fetch_max_wait_ms": FETCH_WAIT_MS,
            },
            topics=self._group_topics(),
            route=self._route,
            datadir=tempfile.mkdtemp(prefix="riverrun-"),
            canonical_url=f"http://{self.instance}.invalid",
        )
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        return app

    def share(self) -> None:
        """Begin to read what partitions share: foreign topics, and the versions of their models."""
        if self.relays is not None:
            self.relays.start()
        if self.plan is not None:
            self.sharing = SharedLearning(self.plan)
            self.wiring = self.sharing.wiring(self.wiring)
            self.sharing.start()

    async def _run_app(self) -> None:
        try:
            await self.app.start()
            await self.app.wait_until_stopped()
            reason = self.app.crash_reason
            if not self.ending.is_set():
                self._end(AGAIN, reason or RuntimeError("Faust stopped"))
        except Exception as error:
            self._end(AGAIN, error)

    async def _stop_app(self, starting: asyncio.Task[None]) -> None:
        with contextlib.suppress(Exception):
            await self.app.stop()
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await starting

    # Assignment.

    async def _on_revoked(self, _: Any, revoked: Collection[TP], **__: Any) -> None:
        await self._stop_all()

    async def _on_assigned(self, _: Any, assigned: Collection[TP], **__: Any) -> None:
        if self.ending.is_set():
            return
        await self._stop_all()
        self._check_together(assigned)
        numbers = {tp.partition for tp in assigned}
        generation = self.app.consumer_generation_id
        self.assigned = True
        for number in sorted(numbers):
            self._start(number, generation)
        self.kept.clear()  # those of partitions that are others' now
        for number in self.owned - numbers:
            self.wiring.store.release(number)
        self.owned = numbers
        if self.relays is not None:
            self.relays.begin(numbers, generation, self.app.consumer)
        if self.sharing is not None and 0 in numbers:
            self.sharing.begin(generation, self.app.consumer)
        elif self.sharing is not None:
            self.sharing.forget()
            self.wiring.store.release(LEARNER)
        if self.beside is not None and 0 in numbers:
            self.besides.append(asyncio.create_task(self.beside(), name="beside"))

    def _check_together(self, assigned: Collection[TP]) -> None:
        topics = set(self._group_topics())
        for number in {tp.partition for tp in assigned}:
            missing = topics - {tp.topic for tp in assigned if tp.partition == number}
            if missing:
                self._end(
                    DECIDE,
                    Incompatible(
                        f"partition {number} came without {sorted(missing)}: all topics of a use "
                        "case must exist and have the same number of partitions. One was deleted, "
                        "made anew or raised: `riverrun status` says which, and the ways on"
                    ),
                )

    def _start(self, number: int, generation: int) -> None:
        source: Source = self.app.consumer
        if self.sharing is not None:
            source, reader = self.sharing.source(self.app.consumer, partial(self._give, number))
            self.readers.append(reader)
        partition = PartitionRunner(
            number,
            generation,
            source,
            self.wiring,
            kept=self.kept.pop(number, None),
            siblings=lambda: len(self.partitions),
            measures=self.measures.setdefault(number, Measurements()),
        )
        self.partitions[number] = partition
        run = self.runs[number] = asyncio.create_task(partition.run(), name=f"partition {number}")
        run.add_done_callback(self._ended)

    def _ended(self, run: asyncio.Task[None]) -> None:
        error = None if run.cancelled() else run.exception()
        if error is None:
            return
        decide = isinstance(error, (Incompatible, ConfigError))
        code = BUG if isinstance(error, Diverged) else DECIDE if decide else AGAIN
        log.error("%s: %s", run.get_name(), error, exc_info=error if code == BUG else None)
        self._end(code, error)

    async def _stop_all(self) -> None:
        """Let every transaction in flight end, bounded; keep the states."""
        for side in self.besides:
            side.cancel()
        self.besides.clear()
        stopping, self.partitions = self.partitions, {}
        runs, self.runs = self.runs, {}
        for partition in stopping.values():
            partition.stop()
        others = [
            asyncio.create_task(o.end()) for o in (self.sharing, self.relays) if o is not None
        ]
        if ending := [*runs.values(), *others]:
            await asyncio.wait(ending, timeout=self.wiring.pace.stop_s_max)
        for reader in self.readers:
            reader.close()
        self.readers.clear()
        for number, run in runs.items():
            if not run.done():
                log.warning("partition %d did not end in time; its state is dropped", number)
                run.cancel()
            elif not run.cancelled() and run.exception() is None:
                kept = stopping[number].kept
                if kept is not None:
                    self.kept[number] = kept

    def _route(self, batch: Batch) -> None:
        self._give(batch.partition, batch)

    def _give(self, number: int, batch: Batch) -> None:
        partition = self.partitions.get(number)
        if partition is not None:
            partition.accept(batch)

    # Watching and telling.

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                self.clock.look()
                for partition in list(self.partitions.values()):
                    partition.watch()
            except Exception as error:
                self._end(AGAIN, error)

    def status(self) -> dict[str, Any]:
        """Return this worker and its partitions; plain values."""
        partitions = [p.status() for p in self.partitions.values()]
        return {
            "worker": self.instance,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "live": self.failure is None,
            "ready": self.assigned and all(p["state"] == State.LIVE for p in partitions),
            "time": time.time(),
            "warnings": [
                *self.clock.warnings,
                *([] if self.topics is None else self.topics.warnings),
                *([] if self.relays is None else self.relays.warnings),
            ],
            "features": None if self.serving is None else self.serving.status(),
            "partitions": partitions,
            **({} if self.sharing is None else {"learner": self.sharing.status()}),
            **({} if self.relays is None else {"relays": self.relays.status()}),
        }

    async def _start_health(
        self, at: tuple[str, int] | None, metrics: Metrics | None
    ) -> HealthServer | None:
        if at is None:
            return None
        rendered = None if metrics is None else partial(self._rendered, metrics)
        health = HealthServer(self.status, metrics=rendered, host=at[0], port=at[1])
        log.info("health on http://%s:%d/readyz", at[0], await health.start())
        return health

    def _rendered(self, metrics: Metrics) -> bytes:
        features = None if self.serving is None else self.serving.status()
        relays = [] if self.relays is None else self.relays.status()
        return metrics(list(self.partitions.values()), self.measures, features, relays)

    def _telling(self) -> list[asyncio.Task[None]]:
        at, told = self.redis_url, (self.group_id, self.instance, self.status)
        return [] if at is None else [asyncio.create_task(publish(at, *told))]
