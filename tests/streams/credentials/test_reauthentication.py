"""Sessions that are renewed: which requests go on, which wait, and what a refusal ends."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka import client as aiokafka_client
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.protocol.admin import SaslAuthenticateRequest

from streams.credentials import reauthentication
from streams.credentials.reauthentication import ReauthenticatingConnection
from streams.credentials.token import TokenUnavailable


class Connection(ReauthenticatingConnection):
    """One without a socket: `sent` are the requests that were written."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("broker", 9092, **settings)
        self.sent: list[Any] = []
        self.shaken = asyncio.Event()
        self.closed_by: Exception | None = None

    def __del__(self) -> None:
        pass  # there is no socket that could be left open

    def _send_now(self, request: Any, expect_response: bool) -> Any:
        if self.closed_by is not None:
            raise KafkaConnectionError("closed")
        self.sent.append(request)
        return asyncio.sleep(0, result=f"answer to {request}")

    async def _do_sasl_handshake(self) -> None:
        await self.shaken.wait()
        self._session_ends = self._renew_at = monotonic() + 100

    def connected(self) -> bool:
        """Whether it is open."""
        return self.closed_by is None

    def close(self, reason: Any = None, exc: Any = None) -> Any:
        """Close it."""
        self.closed_by = exc


class Away(aiokafka.abc.AbstractTokenProvider):
    """Has none."""

    async def token(self) -> str:
        """Fail."""
        raise TokenUnavailable("the endpoint is down")


def due(**settings: Any) -> Connection:
    """A connection whose session ends soon."""
    connection = Connection(**settings)
    connection._renew_at, connection._session_ends = 0.0, monotonic() + 100
    return connection


def test_aiokafka_has_the_private_members_that_are_used() -> None:
    """Another version of aiokafka fails here, and not in the midst of a session."""
    assert aiokafka.__version__ == "0.14.0"
    attributes = vars(AIOKafkaConnection)
    assert {"send", "close", "connected", "_do_sasl_handshake"} <= attributes.keys()
    names = AIOKafkaConnection.__init__.__code__.co_names
    assert {"_loop", "_sasl_mechanism", "_sasl_oauth_token_provider"} <= set(names)
    assert callable(aiokafka_client.create_conn)


async def test_requests_wait_in_their_order_until_the_session_is_renewed() -> None:
    """What was sent before goes on; what comes meanwhile follows after, each with its answer."""
    connection = due()
    first = connection.send("first")
    await asyncio.sleep(0)
    later = [connection.send(name) for name in ("second", "third")]
    assert await first == "answer to first"
    assert connection.sent == ["first"]
    connection.shaken.set()
    assert await asyncio.gather(*later) == ["answer to second", "answer to third"]
    assert connection.sent == ["first", "second", "third"]
    assert connection.renewals == 1
    assert await connection.send("fourth") == "answer to fourth"


async def test_requests_go_on_while_no_token_is_to_be_had() -> None:
    """Before the session ends a token that is missing holds nothing up; after it, it is closed."""

    connection = due(sasl_oauth_token_provider=Away(), sasl_mechanism="OAUTHBEARER")
    assert await connection.send("first") == "answer to first"
    await asyncio.sleep(0.01)
    assert await connection.send("second") == "answer to second"
    assert connection.connected()
    connection._renew_at = connection._session_ends = 0.0
    await connection.send("third")
    await asyncio.sleep(0.01)
    assert isinstance(connection.closed_by, TokenUnavailable)


async def test_a_refusal_closes_the_connection_and_fails_what_waits() -> None:
    """Whoever waits is told that the connection is closed, and asks on a new one."""
    connection = due()

    async def refused() -> None:
        await connection.shaken.wait()
        raise SaslAuthenticationFailed("no")

    connection._do_sasl_handshake = refused
    await connection.send("first")
    waiting = connection.send("second")
    connection.shaken.set()
    with pytest.raises(KafkaConnectionError):
        await waiting
    assert isinstance(connection.closed_by, SaslAuthenticationFailed)


async def test_what_is_wrong_with_a_token_is_raised() -> None:
    """RFC 7628: the server says it in its challenge, under no error code."""
    connection = Connection(
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth_token_provider=Away(),
    )
    answer = SimpleNamespace(error_code=0, sasl_auth_bytes=b'{"status":"invalid_token"}')
    connection._send_now = lambda *_: asyncio.sleep(0, result=answer)
    with pytest.raises(SaslAuthenticationFailed, match="invalid_token"):
        await connection.send(SaslAuthenticateRequest(b""))


def test_the_session_s_end_is_what_the_broker_says() -> None:
    """Without one it is never renewed; with one, after four fifths, and never within a second."""

    async def ends(life_ms: int) -> tuple[float | None, float]:
        connection = Connection()
        answer = SimpleNamespace(error_code=0, sasl_auth_bytes=b"", session_lifetime_ms=life_ms)
        connection._send_now = lambda *_: asyncio.sleep(0, result=answer)
        await connection.send(SaslAuthenticateRequest(b""))
        return connection._renew_at, monotonic()

    renew_at, now = asyncio.run(ends(0))
    assert renew_at is None
    for life_ms, after_s in ((100_000, 80), (500, reauthentication.RETRY_S)):
        renew_at, now = asyncio.run(ends(life_ms))
        assert renew_at is not None
        assert abs(renew_at - now - after_s) < 0.5
