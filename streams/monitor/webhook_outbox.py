"""Alerts queued for the webhook, stored in Redis until it accepts them, oldest first.

While alerts are muted they stay queued: one that opens and closes meanwhile is never sent, one that
is still open is sent when the mute ends. Bounds: `ALERTS_MAX` alerts, `KEEP_S` seconds. Alerts
dropped beyond the bounds are counted and logged, and are on the `alerts` topic all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import orjson

from schemas.records import Alert
from streams.monitor.store.event_queries import DELIVERY
from streams.monitor.store.record_rows import Row
from streams.monitor.store.table_store import Table
from streams.monitor.store.view_models import Mute

log = logging.getLogger("riverrun.monitor")

TABLE = "webhook"
ALERTS_MAX = 1_000
KEEP_S = 86_400.0


class OutboxStore(Protocol):
    """The store of the queue (store.RedisStore)."""

    async def tables(self, names: Sequence[str]) -> list[Table]: ...  # noqa: D102 - see there

    async def add(self, rows: Iterable[Row]) -> None: ...  # noqa: D102 - see there

    async def remove(self, name: str, fields: Sequence[str]) -> None: ...  # noqa: D102 - see there


class QueuedAlert(NamedTuple):
    """One queued alert: its field, when it was queued (Unix time), and whether muted then."""

    field: str
    since_s: float
    muted: bool
    alert: Alert


class Outbox:
    """The queued alerts of one use case. put → (waiting → done | failed)*."""

    def __init__(self, store: OutboxStore) -> None:
        self._store = store

    async def put(self, alert: Alert, now_s: float, muted: bool) -> None:
        """Queue an alert, or remove it if it was muted from its opening to its closing."""
        waiting = await self.waiting()
        opened = [s.field for s in waiting if s.muted and s.alert.alert_id == alert.alert_id]
        if muted and alert.state == "closed" and opened:
            await self._store.remove(TABLE, opened)
            return
        excess = waiting[: max(0, len(waiting) + 1 - ALERTS_MAX)]
        await self.drop(excess, f"{ALERTS_MAX} wait already")
        field = f"{int(now_s * 1000):013d}|{alert.alert_id}|{alert.state}"
        body = {"muted": muted, "alert": alert.model_dump(mode="json")}
        await self._store.add([Row(TABLE, field, orjson.dumps(body))])

    async def waiting(self) -> list[QueuedAlert]:
        """Return the queued alerts, oldest first."""
        (table,) = await self._store.tables([TABLE])
        return [_queued_alert(field, value) for field, value in sorted(table.items())]

    async def done(self, queued: QueuedAlert) -> None:
        """Remove an alert that was accepted."""
        await self._store.remove(TABLE, [queued.field])
        await self._store.remove(DELIVERY, [DELIVERY])

    async def failed(self, waiting: Sequence[QueuedAlert], why: str) -> None:
        """Record how many alerts wait, since when, and why."""
        since = datetime.fromtimestamp(waiting[0].since_s, UTC).isoformat(timespec="seconds")
        delivery = {"waiting": len(waiting), "since": since, "why": why}
        await self._store.add([Row(DELIVERY, DELIVERY, orjson.dumps(delivery))])

    async def drop(self, queued_alerts: Sequence[QueuedAlert], why: str) -> None:
        """Drop these alerts and log each."""
        for queued in queued_alerts:
            log.error("webhook: alert %s is dropped: %s", queued.alert.alert_id, why)
        if queued_alerts:
            await self._store.remove(TABLE, [queued.field for queued in queued_alerts])


def _queued_alert(field: str, value: bytes) -> QueuedAlert:
    body: Mapping[str, Any] = orjson.loads(value)
    alert = Alert.model_validate_json(orjson.dumps(body["alert"]))
    return QueuedAlert(field, int(field[:13]) / 1000, body["muted"], alert)


def is_held_back(alert: Alert, muted: Mute | None) -> bool:
    """Return whether an alert is not to be sent now."""
    return muted is not None and (not muted.rules or alert.rule in muted.rules)
