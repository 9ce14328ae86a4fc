"""Alerts sent to a webhook: JSON, signed, queued until accepted, bounded, in the background.

    POST, Content-Type: application/json          the Alert record, as on the topic
    Riverrun-Timestamp: <Unix time>
    Riverrun-Signature: sha256=<hex>              HMAC of `<timestamp>.<body>`, with a secret set

A receiver recognises a repetition by `alert_id` and `state`. An alert that it does not accept is
queued in Redis (webhook_outbox.py) and sent again with exponential backoff, from one second to
`PAUSE_S_MAX`, for a day. Meanwhile another alert, on the page and on the topic, says so. Neither
address nor secret is in a message, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Sequence
from time import monotonic, time
from typing import Protocol

import aiohttp
from redis.exceptions import RedisError

from schemas.errors import ConfigError
from streams.config.settings import Settings
from streams.monitor.store.view_models import Mute
from streams.monitor.webhook_outbox import KEEP_S, Outbox, is_held_back

log = logging.getLogger("riverrun.monitor")

LOOK_S, PAUSE_S, PAUSE_S_MAX = 0.5, 1.0, 300.0
TIMEOUT_S = 5.0


class WatchedOutbox(Protocol):
    """One use case's outbox with its leadership and mute (evaluator.UseCaseWatch)."""

    outbox: Outbox

    async def is_leader(self) -> bool:
        """Return whether this process evaluates the use case now."""

    async def muted(self) -> Mute | None:
        """Return the mute that is in force; None without one."""


class Webhook:
    """One webhook. run (until cancelled) delivers the queued alerts of outboxes."""

    def __init__(self, settings: Settings) -> None:
        url, secret = settings.riverrun_alert_webhook, settings.riverrun_alert_webhook_secret
        self._url = None if url is None else url.get_secret_value()
        if self._url is not None and not self._url.startswith(("https://", "http://")):
            raise ConfigError("RIVERRUN_ALERT_WEBHOOK is not a URL.", hint="Set it to https://….")
        self._secret = None if secret is None else secret.get_secret_value().encode()
        self._pause_s, self._not_before = 0.0, 0.0

    @property
    def enabled(self) -> bool:
        """Return whether an address is set."""
        return self._url is not None

    async def run(self, outboxes: Sequence[WatchedOutbox]) -> None:
        """Deliver the alerts of all outboxes in turn, until cancelled."""
        if self._url is None:
            return
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.sleep(LOOK_S)
                if monotonic() < self._not_before:
                    continue
                for watched in outboxes:
                    try:
                        await self._deliver(session, watched)
                    except (RedisError, OSError, TimeoutError) as error:
                        log.warning("webhook: %s: %s", type(error).__name__, error)

    async def _deliver(self, session: aiohttp.ClientSession, watched: WatchedOutbox) -> None:
        waiting = await watched.outbox.waiting()
        if not waiting or not await watched.is_leader():
            return
        muted, now_s = await watched.muted(), time()
        old = [sending for sending in waiting if now_s - sending.since_s > KEEP_S]
        await watched.outbox.drop(old, f"not accepted for {KEEP_S / 3_600:.0f} hours")
        due = [s for s in waiting[len(old) :] if not is_held_back(s.alert, muted)]
        for number, sending in enumerate(due):
            why = await self._attempt(session, sending.alert.model_dump_json().encode())
            if why:
                self._back_off(why)
                await watched.outbox.failed(due[number:], why)
                return
            self._pause_s = 0.0
            await watched.outbox.done(sending)

    def _back_off(self, why: str) -> None:
        if not self._pause_s:
            log.warning("webhook: an alert was not accepted (%s); it is sent again", why)
        self._pause_s = min(max(2 * self._pause_s, PAUSE_S), PAUSE_S_MAX)
        self._not_before = monotonic() + self._pause_s

    async def _attempt(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """Return why the webhook did not accept the body; empty if it did."""
        try:
            return await self._post(session, body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> str:
        assert self._url is not None
        headers = {"Content-Type": "application/json", **signed(body, self._secret, time())}
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return "" if answer.status < 300 else f"HTTP {answer.status}"


def signed(body: bytes, secret: bytes | None, now_s: float) -> dict[str, str]:
    """Return the headers with the time and the signature.

    >>> signed(b"{}", b"secret", 0.0)["Riverrun-Signature"][:19]
    'sha256=4bbe8d39de1f'
    """
    moment = str(int(now_s))
    headers = {"Riverrun-Timestamp": moment}
    if secret is not None:
        signature = hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256)
        headers["Riverrun-Signature"] = f"sha256={signature.hexdigest()}"
    return headers
