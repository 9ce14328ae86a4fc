"""Access: who may read and who may act, and the security headers of every response.

- Reading is open on loopback without a proxy; elsewhere it needs the secret. Acting always
  needs it.
- The secret is exchanged for a session: a cookie that is HttpOnly and SameSite=Strict, and is valid
  only while the session is stored here. Signing out ends it. The address printed at the start
  carries a ticket that is valid once.
- A browser that only reads also has a cookie, so that its forms are its own and its requests count
  against its own limits.
- A form carries a token that only this page can have written into it, and its `Origin` is ours.
- Requests that another site's page sends (Fetch Metadata) are refused, except following a link.
- The `Host` header must be an address, `localhost` or a declared name: any other is a DNS name that
  somebody points here, which would make their page the same origin as ours.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from time import time
from urllib.parse import urlsplit

from aiohttp import web

from streams.web.state.request_limits import Busy, Visitor
from streams.web.state.sign_in_attempts import SignInAttempts

SESSION_S = 12 * 3600
SESSIONS_MAX = 256
"""Most sessions; one more ends the oldest."""

SELF = "'self'"
POLICY = {
    "default-src": "'none'",
    "script-src": SELF,
    "style-src": SELF,
    "font-src": SELF,
    "img-src": f"{SELF} data:",
    "connect-src": SELF,
    "form-action": SELF,
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "riverrun",
}


@dataclass(slots=True)
class Auth:
    """Decides on each request. Memory: `SESSIONS_MAX` sessions, and the counts of failed attempts.

    `open_to_read`: on loopback. `names`: host names beside localhost and addresses. `guessable`: a
    person chose the secret. `proxies`: addresses whose X-Forwarded headers are trusted.
    """

    secret: str
    cookie: str
    open_to_read: bool
    names: Collection[str] = ()
    guessable: bool = False
    proxies: Collection[str] = ()
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    attempts: SignInAttempts = field(default_factory=SignInAttempts)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _sessions: OrderedDict[str, float] = field(default_factory=OrderedDict)

    # Identity.

    def knows_host(self, host: str) -> bool:
        """Return whether a `Host` header is one that this page answers to."""
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        if name == "localhost" or name in {known.lower() for known in self.names}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def client(self, request: web.Request) -> str:
        """Return the address that a request came from, behind the declared proxies."""
        address = request.remote or "unknown"
        hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
        while address in self.proxies and hops and hops[-1]:
            address = hops.pop()
        return address[:64]

    def secure(self, request: web.Request) -> bool:
        """Return whether the browser speaks TLS, to this page or to a declared proxy."""
        if request.remote in self.proxies:
            return request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
        return request.secure

    def visitor(self, request: web.Request) -> Visitor:
        """Return the visitor of a request."""
        if session := self.session(request):
            return Visitor(session, signed_in=True)
        return Visitor(self.reader(request) or f"address {self.client(request)}")

    def session(self, request: web.Request) -> str | None:
        """Return the valid session of a request, or None."""
        session = request.cookies.get(self.cookie, "")
        return session if self._sessions.get(session, 0.0) > time() else None

    def reader(self, request: web.Request) -> str | None:
        """Return the name of a browser that only reads; None without its cookie."""
        reader, _, signature = request.cookies.get(self._reader_cookie, "").rpartition(".")
        valid = hmac.compare_digest(signature.encode(), self._sign("reader", reader).encode())
        return reader if reader and valid else None

    # Permissions.

    def may_read(self, request: web.Request) -> bool:
        """Return whether this request may see anything."""
        return self.open_to_read or self.session(request) is not None

    def may_act(self, request: web.Request, token: str) -> bool:
        """Return whether a signed-in visitor sent this from a form of this page."""
        session = self.session(request)
        return session is not None and self._from_own_form(request, session, token)

    def may_ask(self, request: web.Request, token: str) -> bool:
        """Return whether a visitor who may read sent this from a form of this page."""
        name = self.session(request) or self.reader(request)
        return (
            name is not None
            and self.may_read(request)
            and self._from_own_form(request, name, token)
        )

    def form_token(self, name: str) -> str:
        """Return the token in the forms of this session or browser."""
        return self._sign("form", name)

    def _from_own_form(self, request: web.Request, name: str, token: str) -> bool:
        valid = hmac.compare_digest(token.encode(), self.form_token(name).encode())
        return valid and is_same_origin(request)

    # Sessions.

    async def admit(self, secret: str, client: str) -> str | None:
        """Return a new session for the right secret; None for a wrong one, after its delay.

        Raises `Busy` for a guessable secret, if too many of this client's attempts wait.
        """
        if self.guessable and self.attempts.is_crowded(client):
            raise Busy(
                429, "Too many sign-in attempts at once from this address. Try again in a moment."
            )
        if not hmac.compare_digest(secret.encode(), self.secret.encode()):
            await self.attempts.wrong(client)
            return None
        self.attempts.forget(client)
        return self._new_session()

    def redeem(self, ticket: str) -> str | None:
        """Return a new session for the ticket, the first time; None otherwise."""
        if not self.ticket or not hmac.compare_digest(ticket.encode(), self.ticket.encode()):
            return None
        self.ticket = ""
        return self._new_session()

    def leave(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(session, None)

    def _new_session(self) -> str:
        session = secrets.token_urlsafe(24)
        self._sessions[session] = time() + SESSION_S
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def let_in(self, request: web.Request, response: web.StreamResponse, session: str) -> None:
        """Set the session's cookie."""
        self._set_cookie(request, response, self.cookie, session)

    def welcome(self, request: web.Request, response: web.StreamResponse, reader: str) -> None:
        """Set the cookie of a browser that only reads."""
        value = f"{reader}.{self._sign('reader', reader)}"
        self._set_cookie(request, response, self._reader_cookie, value)

    @property
    def _reader_cookie(self) -> str:
        return f"{self.cookie}_reader"

    def _set_cookie(
        self, request: web.Request, response: web.StreamResponse, name: str, value: str
    ) -> None:
        response.set_cookie(
            name,
            value,
            max_age=SESSION_S,
            path="/",
            httponly=True,
            secure=self.secure(request),
            samesite="Strict",
        )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), "sha256").hexdigest()


def is_cross_site(request: web.Request) -> bool:
    """Return whether another site's page sent this, other than by following a link."""
    if request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none"):
        return False
    followed = (
        request.method == "GET"
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )
    return not followed


def is_same_origin(request: web.Request) -> bool:
    """Return whether a page of ours sent it; a client without `Origin` passes."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc == request.host


async def set_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of every response, streams and errors included."""
    response.headers.update(HEADERS)
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
