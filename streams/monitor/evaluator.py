"""Watching for alerts, and measuring: one monitor of a use case at a time does it.

Who does is told in Redis, by a key that is gone ten seconds after its owner. Alerts are written to
the `alerts` topic, from which every monitor reads them back onto the shelves.
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
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaProducer
from redis.exceptions import RedisError

from schemas.errors import RiverrunError
from schemas.headers import stamp
from schemas.records import Alert
from streams.loading import Loaded
from streams.monitor import changes, views, workers
from streams.monitor.alerting import Alerting
from streams.monitor.figures import PartitionRow, Sample
from streams.monitor.rows import Row
from streams.monitor.rules import rules
from streams.monitor.scene import Scene, limits_of
from streams.monitor.shelves import RedisShelves
from streams.monitor.views import Board
from streams.monitor.webhooks import Webhook
from streams.settings import Settings

log = logging.getLogger("riverrun.monitor")

LOOK_S, SAMPLE_S = 2.0, 5.0


class Watched(Protocol):
    """One use case (agent.Case)."""

    loaded: Loaded
    board: Board
    topics: dict[str, str]

    @property
    def shelves(self) -> RedisShelves: ...  # noqa: D102 - agent.Case says it


class Watch:
    """The watch over some use cases. run, until cancelled."""

    def __init__(self, cases: Sequence[Watched], settings: Settings) -> None:
        self._cases = cases
        self._settings = settings
        self._me = secrets.token_hex(8)
        self._webhook = Webhook(settings)
        self._limits = limits_of(settings.riverrun_alert_limits)
        self._alerting = {
            name: Alerting(name, rules(self._limits), settings.riverrun_topic_prefix)
            for name in (case.loaded.use_case.name for case in cases)
        }
        self._sampled: dict[str, float] = {}

    async def run(self) -> None:
        """Look again and again."""
        sending = asyncio.create_task(self._webhook.run())
        producer = AIOKafkaProducer(
            **self._settings.kafka_client(), acks="all", enable_idempotence=True
        )
        try:
            await producer.start()
            while True:
                for case in self._cases:
                    try:
                        await self._look(case, producer)
                    except (RedisError, OSError, TimeoutError, RiverrunError) as error:
                        log.warning("monitor: %s: %s", type(error).__name__, error)
                await asyncio.sleep(LOOK_S)
        finally:
            sending.cancel()
            with contextlib.suppress(Exception):
                await producer.stop()

    async def _look(self, case: Watched, producer: Any) -> None:
        if not await case.shelves.alive() or not await case.shelves.lead(self._me):
            return
        name, now_s = case.loaded.use_case.name, time()
        rows = await workers.partitions(case.board.source, case.board.count, now_s)
        if monotonic() - self._sampled.get(name, 0.0) >= SAMPLE_S:
            self._sampled[name] = monotonic()
            told = restarted(await case.shelves.workers())
            await case.shelves.add([*sample(rows, now_s), *learnt(rows, now_s), *told])
        scene = await scene_of(case.board, self._limits, now_s)
        known = await changes.alerts(case.board.source)
        for alert in self._alerting[name].step(scene, known):
            log.warning("alert %s is %s: %s", alert.alert_id, alert.state, alert.cause)
            await self._publish(case, producer, alert)

    async def _publish(self, case: Watched, producer: Any, alert: Alert) -> None:
        headers = stamp("alerts", alert.use_case, 0)
        await producer.send_and_wait(
            case.topics["alerts"],
            key=alert.alert_id.encode(),
            value=alert.model_dump_json().encode(),
            headers=[*headers, ("ce_id", f"{alert.alert_id}/{alert.state}".encode())],
        )
        self._webhook.offer(alert)


async def scene_of(board: Board, limits: Mapping[str, float], now_s: float) -> Scene:
    """All that rules look at, read now."""
    source, count = board.source, board.count
    return Scene(
        use_case=board.use_case,
        now_s=now_s,
        limits=limits,
        overview=await views.overview(board, now_s),
        partitions=await workers.partitions(source, count, now_s),
        drift=await changes.drift(source),
        lifecycle=await changes.lifecycle(source),
        letters=await changes.dead_letters(source, count),
        letters_lately=await changes.letters_since(source, count, now_s - limits["dead_letter_s"]),
        samples=await views.samples(board),
        settled=await views.settled(board),
    )


def sample(rows: Sequence[PartitionRow], now_s: float) -> list[Row]:
    """What all partitions measure now, as one row; none where nobody tells."""
    told = [row for row in rows if row.worker is not None]
    if not told:
        return []
    ages = [row.freshness_s for row in told if row.freshness_s is not None]
    latencies = [row.latency_s for row in told if row.latency_s is not None]
    found = Sample(
        time=datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
        events_per_s=sum(row.events_per_s or 0.0 for row in told),
        lag=sum(row.lag or 0 for row in told),
        freshness_s=min(ages, default=None),
        latency_s=max(latencies, default=None),
        events=sum(row.events or 0 for row in told),
        learnt=sum(row.learnt or 0 for row in told),
        refused=sum(row.refused or 0 for row in told),
        live=sum(row.state == "live" for row in told),
    )
    return [Row("samples", f"{int(now_s * 1000):013d}", orjson.dumps(asdict(found)))]


def restarted(told: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Where and when each partition last began anew; the same row however often it is looked at.

    A partition that had seen no record then began for the first time.
    """
    return [
        Row(
            "restarts",
            f"{int(part['recovered_at'] * 1000):013d}-{part['partition']}",
            orjson.dumps(
                {
                    "partition": part["partition"],
                    "worker": worker["worker"],
                    "time": part["recovered_at"],
                    "event_time": part["recovered_to"],
                    "seconds": part["recovery_s"],
                }
            ),
        )
        for worker in told
        for part in worker["partitions"]
        if part.get("recovered_to") is not None
    ]


def learnt(rows: Sequence[PartitionRow], now_s: float) -> list[Row]:
    """When each partition last learnt, so that it is known beyond its worker."""
    return [
        Row("learnt", str(row.partition), str(now_s - row.freshness_s).encode())
        for row in rows
        if row.freshness_s is not None
    ]
