"""Alerts sent to a webhook: JSON, signed, retried, bounded, and never in the way.

    POST, Content-Type: application/json          the Alert record, as on the topic
    Riverrun-Timestamp: <Unix time>
    Riverrun-Signature: sha256=<hex>              HMAC of `<timestamp>.<body>`, with a secret set

A receiver tells a repetition by `alert_id` and `state`. What cannot be delivered after `ATTEMPTS`,
or does not fit into the queue, is logged and left: the topic has it. Neither address nor secret is
in a message, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from time import time

import aiohttp

from schemas.errors import Misdeclared
from schemas.records import Alert
from streams.settings import Settings

log = logging.getLogger("riverrun.monitor")

ATTEMPTS = 5
AGAIN_S = 1.0
TIMEOUT_S = 5.0
QUEUE_MAX = 200


class Webhook:
    """The queue of one webhook. run (until cancelled); offer never waits."""

    def __init__(self, settings: Settings) -> None:
        url, secret = settings.riverrun_alert_webhook, settings.riverrun_alert_webhook_secret
        self._url = None if url is None else url.get_secret_value()
        if self._url is not None and not self._url.startswith(("https://", "http://")):
            raise Misdeclared("RIVERRUN_ALERT_WEBHOOK is no address.", mend="Give https://….")
        self._secret = None if secret is None else secret.get_secret_value().encode()
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(QUEUE_MAX)

    def offer(self, alert: Alert) -> None:
        """Send it soon, if there is a webhook and room."""
        if self._url is None:
            return
        try:
            self._queue.put_nowait(alert)
        except asyncio.QueueFull:
            log.error("webhook: alert %s is left, %d wait", alert.alert_id, QUEUE_MAX)

    async def run(self) -> None:
        """Deliver one after another."""
        if self._url is None:
            return
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                alert = await self._queue.get()
                await self._deliver(session, alert)

    async def _deliver(self, session: aiohttp.ClientSession, alert: Alert) -> None:
        body = alert.model_dump_json().encode()
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(AGAIN_S * 2 ** (attempt - 1))
            try:
                why = await self._post(session, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = type(error).__name__
            if not why:
                return
        log.error("webhook: alert %s was not taken (%s)", alert.alert_id, why)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> str:
        assert self._url is not None
        headers = {"Content-Type": "application/json", **signed(body, self._secret, time())}
        async with session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return "" if answer.status < 300 else f"HTTP {answer.status}"


def signed(body: bytes, secret: bytes | None, now_s: float) -> dict[str, str]:
    """The headers that say when, and prove from whom.

    >>> signed(b"{}", b"secret", 0.0)["Riverrun-Signature"][:19]
    'sha256=4bbe8d39de1f'
    """
    moment = str(int(now_s))
    headers = {"Riverrun-Timestamp": moment}
    if secret is not None:
        told = hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256)
        headers["Riverrun-Signature"] = f"sha256={told.hexdigest()}"
    return headers
