"""Tokens of an OpenID Connect provider: the client credentials grant (RFC 6749, section 4.4).

The client shows a secret, or a signed assertion that is read from a file at each request (RFC
7523, section 2.2): that is what workload identity mounts into a container and renews there.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode
from urllib.request import Request, urlopen

from streams.credentials.token import Token, TokenRefused, TokenUnavailable, expiry_of
from streams.credentials.token_file import read_token

TIMEOUT_S = 10.0
LIFE_S_DEFAULT = 300.0
"""Seconds that a token serves whose answer tells no end."""

ANSWER_BYTES_MAX = 1 << 20
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
HINTS = {
    "invalid_client": "Check KAFKA_SASL_OAUTH_CLIENT_ID and its secret or assertion",
    "unauthorized_client": "Allow this client the client_credentials grant",
    "unsupported_grant_type": "Allow this client the client_credentials grant",
    "invalid_scope": "Check KAFKA_SASL_OAUTH_SCOPE, or grant this client the scope",
    "access_denied": "Grant this client access to the scope",
}


@dataclass(frozen=True)
class OidcTokens:
    """The token endpoint of a provider, and who riverrun is to it.

    `secret` or `assertion_file`; `cafile` are certificates to trust (None: the system's).
    """

    token_url: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    assertion_file: Path | None = None
    scope: str | None = None
    cafile: Path | None = None

    def fetch(self) -> Token:
        """Ask the token endpoint; see `TokenSource`."""
        asked_at = time.time()
        answer = self._post()
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise TokenRefused(f"{self.token_url} answers without an access_token")
        life_s = answer.get("expires_in")
        if isinstance(life_s, int | float | str) and str(life_s).replace(".", "", 1).isdigit():
            return Token(token, asked_at + float(life_s))
        return Token(token, expiry_of(token) or asked_at + LIFE_S_DEFAULT)

    def _post(self) -> dict[str, Any]:
        form = {"grant_type": "client_credentials"}
        headers = {"Accept": "application/json"}
        if self.scope:
            form["scope"] = self.scope
        if self.assertion_file is not None:
            form["client_id"] = self.client_id
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = read_token(self.assertion_file).value
        else:
            pair = f"{quote_plus(self.client_id)}:{quote_plus(self.secret or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        request = Request(self.token_url, urlencode(form).encode(), headers)
        try:
            context = ssl.create_default_context(cafile=self.cafile)
            with urlopen(request, timeout=TIMEOUT_S, context=context) as response:
                return _object_in(response.read(ANSWER_BYTES_MAX))
        except HTTPError as error:
            raise self._refusal(error) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise TokenUnavailable(f"no token from {self.token_url}: {reason}") from None

    def _refusal(self, error: HTTPError) -> TokenRefused | TokenUnavailable:
        if error.code == 429 or error.code >= 500:
            return TokenUnavailable(f"no token from {self.token_url}: HTTP {error.code}")
        try:
            answer = _object_in(error.read(ANSWER_BYTES_MAX))
        except (OSError, ValueError):
            answer = {}
        code = str(answer.get("error", f"HTTP {error.code}"))
        about = f": {answer['error_description']}" if answer.get("error_description") else ""
        hint = HINTS.get(code, "Check KAFKA_SASL_OAUTH_TOKEN_URL and the client there")
        return TokenRefused(f"{self.token_url} refuses a token, {code}{about}. {hint}")


def _object_in(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer
