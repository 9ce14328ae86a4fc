"""The evaluation of alerts and the measurements: by one monitor of a use case at a time.

The leader is a key in Redis that expires ten seconds after its last renewal. Alerts are written to
the `alerts` topic, from which every monitor reads them back into the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import orjson
from aiokafka import AIOKafkaProducer
from redis.exceptions import RedisError

from schemas.errors import RiverrunError
from schemas.headers import stamp
from schemas.records import Alert
from streams.config.settings import Settings
from streams.monitor.alert_context import AlertContext, parse_limits
from streams.monitor.alert_state import AlertState
from streams.monitor.rules import rules
from streams.monitor.store import event_queries, queries, worker_queries
from streams.monitor.store.monotonic_counts import TABLE, CounterTotals
from streams.monitor.store.queries import Board
from streams.monitor.store.record_rows import Row
from streams.monitor.store.view_models import Mute, PartitionRow, Sample
from streams.monitor.webhook_outbox import Outbox, is_held_back
from streams.monitor.webhook_sender import Webhook

if TYPE_CHECKING:
    from streams.monitor.agent import MonitoredUseCase

log = logging.getLogger("riverrun.monitor")

LOOK_S, SAMPLE_S = 2.0, 5.0


class Evaluator:
    """The alert evaluation of some use cases. run, until cancelled."""

    def __init__(self, cases: Sequence[MonitoredUseCase], settings: Settings) -> None:
        self._settings = settings
        self._monitor_id = secrets.token_hex(8)
        self._webhook = Webhook(settings)
        self._watches = [UseCaseWatch(case, self._monitor_id) for case in cases]
        self._limits = parse_limits(settings.riverrun_alert_limits)
        self._alerting = {
            loaded.use_case.name: AlertState(
                loaded.use_case.name,
                rules(self._limits),
                settings.riverrun_topic_prefix,
                loaded.argument,
            )
            for loaded in (case.loaded for case in cases)
        }
        self._sampled: dict[str, float] = {}

    async def run(self) -> None:
        """Evaluate all use cases every `LOOK_S` seconds."""
        sending = asyncio.create_task(self._webhook.run(self._watches))
        producer = AIOKafkaProducer(
            **self._settings.kafka_client(), acks="all", enable_idempotence=True
        )
        try:
            await producer.start()
            while True:
                for watch in self._watches:
                    try:
                        await self._look(watch, producer)
                    except (RedisError, OSError, TimeoutError, RiverrunError) as error:
                        log.warning("monitor: %s: %s", type(error).__name__, error)
                await asyncio.sleep(LOOK_S)
        finally:
            sending.cancel()
            with contextlib.suppress(Exception):
                await producer.stop()

    async def _look(self, watch: UseCaseWatch, producer: Any) -> None:
        case = watch.case
        if not await case.store.has_live_monitor() or not await case.store.lead(self._monitor_id):
            return
        name, now_s = case.loaded.use_case.name, time()
        rows = await worker_queries.partitions(case.board.source, case.board.count, now_s)
        if monotonic() - self._sampled.get(name, 0.0) >= SAMPLE_S:
            self._sampled[name] = monotonic()
            restarts = restart_rows(await case.store.workers())
            (table,) = await case.store.tables([TABLE])
            measured = sample_rows(rows, CounterTotals.of(table), now_s)
            await case.store.add([*measured, *learnt_rows(rows, now_s), *restarts])
        context = await read_alert_context(case.board, self._limits, now_s)
        known = await event_queries.alerts(case.board.source)
        for alert in self._alerting[name].step(context, known):
            log.warning("alert %s is %s: %s", alert.alert_id, alert.state, alert.cause)
            await self._publish(watch, producer, alert, context)

    async def _publish(
        self, watch: UseCaseWatch, producer: Any, alert: Alert, context: AlertContext
    ) -> None:
        case = watch.case
        headers = stamp("alerts", alert.use_case, 0)
        await producer.send_and_wait(
            case.topics["alerts"],
            key=alert.alert_id.encode(),
            value=alert.model_dump_json().encode(),
            headers=[*headers, ("ce_id", f"{alert.alert_id}/{alert.state}".encode())],
        )
        if self._webhook.enabled:
            await watch.outbox.put(
                alert, context.now_s, is_held_back(alert, context.overview.muted)
            )


class UseCaseWatch:
    """One use case with the outbox of its alerts."""

    def __init__(self, case: MonitoredUseCase, monitor_id: str) -> None:
        self.case = case
        self.outbox = Outbox(case.store)
        self._monitor_id = monitor_id

    async def is_leader(self) -> bool:
        """Return whether this process evaluates the use case now."""
        return await self.case.store.lead(self._monitor_id)

    async def muted(self) -> Mute | None:
        """Return the mute that is in force; None without one."""
        return await event_queries.muted(self.case.board.source, time())


async def read_alert_context(
    board: Board, limits: Mapping[str, float], now_s: float
) -> AlertContext:
    """Return everything that rules look at, read now."""
    source, count = board.source, board.count
    return AlertContext(
        use_case=board.use_case,
        now_s=now_s,
        limits=limits,
        overview=await queries.overview(board, now_s),
        partitions=await worker_queries.partitions(source, count, now_s),
        drift=await event_queries.drift(source),
        lifecycle=await event_queries.lifecycle(source),
        letters=await event_queries.dead_letters(source, count),
        samples=await queries.samples(board),
        closed_blocks=await queries.closed_blocks(board),
        delivery=await event_queries.delivery(source),
        scores=await queries.recent(board),
        learner=await worker_queries.learner(source, shared=board.use_case.is_shared(count)),
    )


def sample_rows(rows: Sequence[PartitionRow], counted: CounterTotals, now_s: float) -> list[Row]:
    """Return one sample of all partitions and the new totals; empty without a worker status."""
    owned = [row for row in rows if row.worker is not None]
    if not owned:
        return []
    counted.add(owned)
    ages = [row.freshness_s for row in owned if row.freshness_s is not None]
    latencies = [row.latency_s for row in owned if row.latency_s is not None]
    measured = Sample(
        time=datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
        events_per_s=sum(row.events_per_s or 0.0 for row in owned),
        lag=sum(row.lag or 0 for row in owned),
        freshness_s=min(ages, default=None),
        latency_s=max(latencies, default=None),
        **counted.totals,
        live=sum(row.state == "live" for row in owned),
    )
    moment = f"{int(now_s * 1000):013d}"
    return [Row("samples", moment, orjson.dumps(asdict(measured))), counted.row()]


def restart_rows(workers: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return one row for each partition's last recovery; the same row at each look.

    A partition that had read no record by then started for the first time and is left out.
    """
    return [
        Row(
            "restarts",
            f"{int(partition['recovered_at'] * 1000):013d}-{partition['partition']}",
            orjson.dumps(
                {
                    "partition": partition["partition"],
                    "worker": worker["worker"],
                    "time": partition["recovered_at"],
                    "event_time": partition["recovered_to"],
                    "seconds": partition["recovery_s"],
                }
            ),
        )
        for worker in workers
        for partition in worker["partitions"]
        if partition.get("recovered_to") is not None
    ]


def learnt_rows(rows: Sequence[PartitionRow], now_s: float) -> list[Row]:
    """Return when each partition last learnt, so that it is known after its worker ends."""
    return [
        Row("learnt", str(row.partition), str(now_s - row.freshness_s).encode())
        for row in rows
        if row.freshness_s is not None
    ]
