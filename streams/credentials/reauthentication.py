"""Connections that authenticate again before their session ends (KIP-368).

A broker may bound how long an authentication holds: by `connections.max.reauth.ms`, and by the
end of the token. It tells the time with its answer, and closes a connection that is used past it.
aiokafka does not authenticate again, so each end would break a transaction and recover partitions.

Here a connection authenticates again when it is used after four fifths of its session. The next
token is fetched first, while requests go on; then the requests that come wait, in their order,
until the broker has answered. Those that were sent before are answered before, as ever.

Private members of aiokafka are used here and in streams/kafka/faust_transport.py alone;
tests/streams/credentials/test_reauthentication.py names them.
"""

# aiokafka ships no types, so its classes are Any to mypy.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import monotonic
from typing import Any

from aiokafka import client as aiokafka_client
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from aiokafka.protocol.admin import (
    ApiVersionRequest,
    SaslAuthenticateRequest,
    SaslHandShakeRequest,
)

log = logging.getLogger("riverrun.credentials")

AGAIN_AFTER = 0.8
"""Share of a session after which it is renewed."""

RETRY_S = 1.0
"""A broker refuses to authenticate a connection twice within a second."""

_HANDSHAKE = (ApiVersionRequest, SaslHandShakeRequest, SaslAuthenticateRequest)


class ReauthenticatingConnection(AIOKafkaConnection):
    """A connection of aiokafka whose session is renewed while it is used."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.renewals = 0
        self._session_ends: float | None = None  # by the monotonic clock; None: never
        self._renew_at: float | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._held: list[tuple[Any, bool, asyncio.Future[Any]]] | None = None

    def send(self, request: Any, expect_response: bool = True) -> Awaitable[Any]:
        """Send a request, or let it wait for the renewal of the session; gives the response."""
        if isinstance(request, SaslAuthenticateRequest):
            return self._authenticate(self._send_now(request, expect_response))
        if isinstance(request, _HANDSHAKE):
            return self._send_now(request, expect_response)
        if self._renewing is None and self._is_due():
            self._renewing = self._loop.create_task(self._renew())
        if self._held is None:
            return self._send_now(request, expect_response)
        waiting: asyncio.Future[Any] = self._loop.create_future()
        self._held.append((request, expect_response, waiting))
        return waiting

    def _send_now(self, request: Any, expect_response: bool) -> Awaitable[Any]:
        answer: Awaitable[Any] = super().send(request, expect_response)
        return answer

    def _is_due(self) -> bool:
        return self._renew_at is not None and monotonic() >= self._renew_at

    async def _authenticate(self, answer: Awaitable[Any]) -> Any:
        asked_at = monotonic()
        response = await answer
        if self._sasl_mechanism == "OAUTHBEARER" and response.sasl_auth_bytes:
            # What is wrong with the token (RFC 7628, section 3.2.3); aiokafka does not look at it.
            error = SaslAuthenticationFailed(response.sasl_auth_bytes.decode("utf-8", "replace"))
            self.close(reason=CloseReason.AUTH_FAILURE, exc=error)
            raise error
        life_s = getattr(response, "session_lifetime_ms", 0) / 1_000
        if response.error_code == 0 and life_s > 0:
            self._session_ends = asked_at + life_s
            self._renew_at = asked_at + max(AGAIN_AFTER * life_s, RETRY_S)
        return response

    async def _renew(self) -> None:
        try:
            if self._sasl_oauth_token_provider is not None:
                await self._sasl_oauth_token_provider.token()  # requests go on meanwhile
            self._held = []
            await self._do_sasl_handshake()  # closes the connection if it is refused
            self.renewals += 1
        except (KafkaError, OSError, TimeoutError) as error:
            self._failed(error)
        finally:
            self._renewing = None
            self._release()

    def _failed(self, error: Exception) -> None:
        assert self._session_ends is not None
        if self._held is None and monotonic() < self._session_ends:
            log.warning("%s:%s: the session is not renewed yet: %s", self.host, self.port, error)
            self._renew_at = monotonic() + RETRY_S
        elif self.connected():
            self.close(reason=CloseReason.AUTH_FAILURE, exc=error)

    def _release(self) -> None:
        """Send what waited, in its order."""
        held, self._held = self._held or [], None
        for request, expect_response, waiting in held:
            if waiting.done():  # whoever sent it gave up
                continue
            try:
                answer = self._send_now(request, expect_response)
            except KafkaConnectionError as error:
                waiting.set_exception(error)
            else:
                passing = self._loop.create_task(_passed_on(answer, waiting))
                self._passing.add(passing)  # a task that nobody holds may be collected
                passing.add_done_callback(self._passing.discard)


async def _passed_on(answer: Awaitable[Any], waiting: asyncio.Future[Any]) -> None:
    try:
        response = await answer
    except BaseException as error:
        if not waiting.done():
            waiting.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        if not waiting.done():
            waiting.set_result(response)


async def connected(host: str, port: int, **settings: Any) -> ReauthenticatingConnection:
    """Return a new connection that is authenticated."""
    connection = ReauthenticatingConnection(host, port, **settings)
    await connection.connect()
    return connection


def install() -> None:
    """Let all clients of aiokafka in this process make such connections."""
    aiokafka_client.create_conn = connected
