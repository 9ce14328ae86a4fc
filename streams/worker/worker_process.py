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
from collections.abc import Collection
from functools import partial
from typing import Any

from faust.types import TP

from schemas.errors import ConfigError, Incompatible
from schemas.topics import LEARNER
from streams.config.process_env import claim_instance
from streams.kafka.clock_check import ClockWatch
from streams.kafka.faust_transport import App, Batch, make_app, tell_quietly
from streams.kafka.header_names import tolerate
from streams.partition.recovery import KeptState
from streams.partition.runner import PartitionRunner, State
from streams.partition.shared_topic import SharedReader
from streams.partition.wiring import (
    InputSource,
    Wiring,
)
from streams.replay.journal_fold import Diverged
from streams.sources.relay_service import RelayService
from streams.telemetry.health_server import HealthServer
from streams.telemetry.measurements import Measurements
from streams.telemetry.worker_status import publish
from streams.worker.shared_learning import SharedLearning
from streams.worker.topic_watch import TopicWatch
from streams.worker.worker_config import Metrics, WorkerConfig

log = logging.getLogger("riverrun.worker")
CLEAN, BUG, AGAIN, DECIDE = 0, os.EX_SOFTWARE, os.EX_TEMPFAIL, os.EX_CONFIG
SESSION_S, HEARTBEAT_S, REBALANCE_S = 6.0, 1.0, 20.0
FETCH_WAIT_MS = 30  # an input that opens while another's fetch waits is held up at most this long
SHUTDOWN_S_MAX = 8.0
WATCH_S = 0.5


def run_worker(config: WorkerConfig) -> int:
    """Run one worker until it is told to stop; return the exit code.

    The process must run under `python -P` with PYTHONHASHSEED=0 (process_env.reexec_if_unsafe).
    """
    wiring = config.wiring()
    claim = claim_instance(config.group_id, config.instance)
    with claim if config.claimed is None else contextlib.nullcontext(config.claimed) as member:
        worker = _Worker(config, wiring, member)
        return asyncio.run(worker.main())


class _Worker:
    def __init__(self, config: WorkerConfig, wiring: Wiring, instance: str) -> None:
        self.config = config
        self.wiring = wiring
        self.instance = instance
        self.plan = config.plan(wiring)
        self.besides: list[asyncio.Task[Any]] = []
        self.partitions: dict[int, PartitionRunner] = {}
        self.runs: dict[int, asyncio.Task[None]] = {}
        self.kept_states: dict[int, KeptState] = {}
        self.measures: dict[int, Measurements] = {}
        self.topics: TopicWatch | None = None
        if config.partitions is not None:
            watched = (config.client, config.topics, config.shown_name, config.partitions)
            self.topics = TopicWatch(*watched)
        self.sharing: SharedLearning | None = None
        self.readers: list[SharedReader] = []
        self.relay: RelayService | None = None
        if config.relay is not None:
            self.relay = RelayService(config.relay, partial(self._end, DECIDE))
        self.clock = ClockWatch()
        self.assigned = False
        self.owned: set[int] = set()
        self.code = CLEAN
        self.ending = asyncio.Event()
        self.failure: BaseException | None = None

    # From start to end.

    async def main(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ending.set)
        loop.add_signal_handler(signal.SIGINT, self.ending.set)
        loop.set_exception_handler(tell_quietly)
        self.app = self._make_app()
        health = await self._start_health()
        self.share()
        side = [asyncio.create_task(self._watch()), *self._telling()]
        if self.topics is not None:
            await self.topics.first()
            side.append(asyncio.create_task(self.topics.run(partial(self._end, DECIDE))))
        starting = asyncio.create_task(self._run_app())
        if self.config.serving is not None:
            self.config.serving.assigned = lambda: list(self.partitions)
            self.config.serving.start()
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
        for beside in (self.sharing, self.relay):
            if beside is not None:
                await beside.close()
        if self.config.serving is not None:
            await asyncio.to_thread(self.config.serving.close)
        if self.config.on_stopped is not None:
            await self.config.on_stopped()  # bounded as all of the shutdown
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
            self.config.group_id,
            client=self.config.client,
            group={
                "group_id": self.config.group_id,
                "client_id": self.instance,  # what DescribeGroups tells of it
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
        if self.relay is not None:
            self.relay.start()
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
        self.kept_states.clear()  # those of partitions that are others' now
        for number in self.owned - numbers:
            self.wiring.store.release(number)
        self.owned = numbers
        if self.relay is not None:
            self.relay.begin(numbers, generation, self.app.consumer)
        if self.sharing is not None and 0 in numbers:
            self.sharing.begin(generation, self.app.consumer)
        elif self.sharing is not None:
            self.sharing.forget()
            self.wiring.store.release(LEARNER)
        if self.config.beside is not None and 0 in numbers:
            self.besides.append(asyncio.create_task(self.config.beside(), name="beside"))

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
                        "created again or raised: `riverrun status` says which, and the ways on"
                    ),
                )

    def _start(self, number: int, generation: int) -> None:
        source: InputSource = self.app.consumer
        if self.sharing is not None:
            source, reader = self.sharing.source(self.app.consumer, partial(self._give, number))
            self.readers.append(reader)
        partition = PartitionRunner(
            number,
            generation,
            source,
            self.wiring,
            kept_state=self.kept_states.pop(number, None),
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
        others = [asyncio.create_task(o.end()) for o in (self.sharing, self.relay) if o is not None]
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
                kept_state = stopping[number].kept_state
                if kept_state is not None:
                    self.kept_states[number] = kept_state

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
                *([] if self.relay is None else self.relay.warnings),
            ],
            "features": None if self.config.serving is None else self.config.serving.status(),
            "partitions": partitions,
            **({} if self.sharing is None else {"learner": self.sharing.status()}),
            **({} if self.relay is None else {"relay": self.relay.status()}),
        }

    async def _start_health(self) -> HealthServer | None:
        config = self.config
        if config.health_port is None:
            return None
        rendered = None if config.metrics is None else partial(self._rendered, config.metrics)
        health = HealthServer(
            self.status, metrics=rendered, host=config.health_host, port=config.health_port
        )
        log.info("health on http://%s:%d/readyz", config.health_host, await health.start())
        return health

    def _rendered(self, metrics: Metrics) -> bytes:
        features = None if self.config.serving is None else self.config.serving.status()
        relay = None if self.relay is None else self.relay.status()
        learner = None if self.sharing is None else self.sharing.status()
        return metrics(list(self.partitions.values()), self.measures, features, relay, learner)

    def _telling(self) -> list[asyncio.Task[None]]:
        at, told = self.config.redis_url, (self.config.group_id, self.instance, self.status)
        return [] if at is None else [asyncio.create_task(publish(at, *told))]
