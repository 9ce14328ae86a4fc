"""Who may read the page and who may act, and what every answer tells the browser to forbid.

- Reading is free on loopback; anywhere else it needs the secret. Acting needs it always.
- The secret (a password that is set, else a token made at the start) is traded once for a cookie
  that is HttpOnly and SameSite=Strict. The cookie is signed, so nothing is kept for it here.
- A form carries a word that only this page could have written into it, and its `Origin` is ours.
- The `Host` header is an address, `localhost` or a declared name: any other is a DNS name that
  somebody points here, which would make their page the same origin as ours.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from time import monotonic, time
from urllib.parse import urlsplit

from aiohttp import web

SESSION_S = 12 * 3600
TRIES_MAX, TRIES_S = 10, 60.0
"""So many wrong secrets in so many seconds, then nobody is let in until they are over."""

OWN = "'self'"
POLICY = {
    "default-src": "'none'",
    "script-src": OWN,
    "style-src": OWN,
    "font-src": OWN,
    "img-src": f"{OWN} data:",
    "connect-src": OWN,
    "form-action": OWN,
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
class Door:
    """Decides on each request. Memory: the times of the last wrong tries.

    `open_to_read`: on loopback. `names`: host names beside localhost and addresses.
    """

    secret: str
    cookie: str
    open_to_read: bool
    names: Collection[str] = ()
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _wrong: deque[float] = field(default_factory=lambda: deque(maxlen=TRIES_MAX))

    def knows_host(self, host: str) -> bool:
        """Whether a `Host` header is one that this page answers to."""
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
        if name == "localhost" or name in {known.lower() for known in self.names}:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def admit(self, given: str) -> str | None:
        """A new session's cookie for the right secret; None for a wrong one, or too many."""
        if self.barred:
            return None
        if not hmac.compare_digest(given.encode(), self.secret.encode()):
            self._wrong.append(monotonic())
            return None
        session = f"{int(time()) + SESSION_S}.{secrets.token_urlsafe(12)}"
        return f"{session}.{self._sign('session', session)}"

    @property
    def barred(self) -> bool:
        """Whether too many wrong secrets came just now."""
        return len(self._wrong) == TRIES_MAX and monotonic() - self._wrong[0] < TRIES_S

    def session(self, request: web.Request) -> str | None:
        """The session that a request belongs to; None without a valid one."""
        session, _, signature = request.cookies.get(self.cookie, "").rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", session).encode()):
            return None
        return session if int(session.partition(".")[0]) > time() else None

    def may_read(self, request: web.Request) -> bool:
        """Whether this request may see anything."""
        return self.open_to_read or self.session(request) is not None

    def word(self, session: str) -> str:
        """What a form of this session carries."""
        return self._sign("form", session)

    def may_act(self, request: web.Request, word: str) -> bool:
        """Whether this request is an act of somebody who is signed in, made on this page."""
        session = self.session(request)
        if session is None or not same_origin(request):
            return False
        return hmac.compare_digest(word.encode(), self.word(session).encode())

    def let_in(self, response: web.StreamResponse, session: str, *, secure: bool) -> None:
        """Set the session's cookie."""
        response.set_cookie(
            self.cookie,
            session,
            max_age=SESSION_S,
            path="/",
            httponly=True,
            secure=secure,
            samesite="Strict",
        )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), "sha256").hexdigest()


def same_origin(request: web.Request) -> bool:
    """Whether the browser says that a page of ours sent it; a client without `Origin` may."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc == request.host


async def forbid(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on every answer, streams and errors too."""
    response.headers.update(HEADERS)
    if not request.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
