"""Where tokens come from, and how long one serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

from streams.credentials import cloud_identity
from streams.credentials.cloud_identity import AwsTokens, AzureTokens
from streams.credentials.oidc import OidcTokens
from streams.credentials.token import Token, TokenRefused, TokenUnavailable
from streams.credentials.token_file import FileTokens
from streams.credentials.token_provider import RETRY_S, TokenProvider
from tests.support.servers.secured_kafka import CLIENT, SCOPE, SECRET, Issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A token endpoint."""
    issuer = Issuer(life_s=100)
    yield issuer
    issuer.close()


def asking(issuer: Issuer, **changed: str) -> OidcTokens:
    """A client of it."""
    settings = {"client_id": CLIENT, "secret": SECRET, "scope": SCOPE, **changed}
    return OidcTokens(issuer.url, **settings)


def test_the_client_credentials_grant_gives_a_token(issuer: Issuer) -> None:
    """The secret travels as RFC 6749 encodes it, and the answer's life counts from the question."""
    began = time.time()
    token = asking(issuer).fetch()
    assert began + 99 < token.expires_at <= time.time() + 100
    assert issuer.asked == [{"grant_type": "client_credentials", "scope": SCOPE}]
    assert SECRET not in repr(asking(issuer))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"secret": "wrong"}, "invalid_client. Check KAFKA_SASL_OAUTH_CLIENT_ID"),
        ({"scope": "other"}, "invalid_scope: no such scope. Check KAFKA_SASL_OAUTH_SCOPE"),
    ],
)
def test_a_refusal_names_what_to_mend(
    issuer: Issuer, changed: dict[str, str], message: str
) -> None:
    """What the endpoint refuses is told with the setting it is about, and without the secret."""
    with pytest.raises(TokenRefused, match=message) as refused:
        asking(issuer, **changed).fetch()
    assert SECRET not in str(refused.value)


def test_an_endpoint_that_is_down_is_tried_again(issuer: Issuer) -> None:
    """HTTP 503 and no answer at all are errors that pass."""
    issuer.failing = True
    with pytest.raises(TokenUnavailable, match="HTTP 503"):
        asking(issuer).fetch()
    nowhere = OidcTokens("http://127.0.0.1:9/token", CLIENT, SECRET)
    with pytest.raises(TokenUnavailable, match="refused"):
        nowhere.fetch()


def test_an_assertion_is_read_from_its_file_each_time(issuer: Issuer, tmp_path: Path) -> None:
    """Workload identity renews the file; each request shows what it holds then (RFC 7523)."""
    file = tmp_path / "assertion"
    for content in (issuer.token("pod"), issuer.token("the same pod")):
        file.write_text(content + "\n")
        OidcTokens(issuer.url, CLIENT, assertion_file=file, scope=SCOPE).fetch()
        assert issuer.asked[-1]["client_assertion"] == content
    assert issuer.asked[-1]["client_id"] == CLIENT


def test_a_token_file_is_read_with_its_end(issuer: Issuer, tmp_path: Path) -> None:
    """A JWT tells when it ends; one that has ended, an empty file and none say so."""
    file = tmp_path / "token"
    file.write_text(issuer.token())
    assert abs(FileTokens(file).fetch().expires_at - time.time() - 100) < 20
    file.write_text("opaque")
    assert FileTokens(file).fetch().value == "opaque"
    issuer.life_s = -5
    file.write_text(issuer.token())
    with pytest.raises(TokenUnavailable, match=r"expired \d+ s ago"):
        FileTokens(file).fetch()
    file.write_text("\n")
    with pytest.raises(TokenUnavailable, match="does not hold one token"):
        FileTokens(file).fetch()
    file.unlink()
    with pytest.raises(TokenUnavailable, match="FileNotFoundError"):
        FileTokens(file).fetch()


class Scripted:
    """A source that gives tokens of 100 s, or fails."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fetched = 0
        self.fails = False

    def fetch(self) -> Token:
        """Give the next one."""
        self.fetched += 1
        if self.fails:
            raise TokenUnavailable("down")
        return Token(f"token {self.fetched}", self.now + 100)


async def test_one_token_serves_all_until_four_fifths_of_its_life() -> None:
    """Clients that connect at once cost one request; the next is made before the end."""
    source = Scripted()
    provider = TokenProvider(source, {"a": "b"}, clock=lambda: source.now)
    assert set(await asyncio.gather(*(provider.token() for _ in range(20)))) == {"token 1"}
    source.now = 79
    assert await provider.token() == "token 1"
    source.now = 80
    assert await provider.token() == "token 2"
    assert provider.extensions() == {"a": "b"}


async def test_the_old_token_serves_while_the_source_is_down() -> None:
    """It is asked again every few seconds, and its error is raised once the token has ended."""
    source = Scripted()
    provider = TokenProvider(source, clock=lambda: source.now)
    await provider.token()
    source.now, source.fails = 90, True
    assert await provider.token() == "token 1"
    assert await provider.token() == "token 1"
    assert source.fetched == 2
    source.now += RETRY_S
    assert await provider.token() == "token 1"
    assert source.fetched == 3
    source.now = 100
    with pytest.raises(TokenUnavailable, match="down"):
        await provider.token()
    source.fails = False
    assert await provider.token() == "token 5"


def test_msk_signs_a_token_for_a_quarter_of_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real signer makes one of any credentials, without asking anybody."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not a secret")
    token = AwsTokens("eu-west-1").fetch()
    assert 800 < token.expires_at - time.time() <= 900
    assert len(token.value) > 200


def test_what_a_cloud_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials on the machine are an error that says which cloud has none."""

    def fail(region: str) -> tuple[str, int]:
        raise ValueError("AWS Credentials can not be empty")

    monkeypatch.setattr(MSKAuthTokenProvider, "generate_auth_token", fail)
    with pytest.raises(TokenUnavailable, match="MSK in eu-west-1: ValueError"):
        AwsTokens("eu-west-1").fetch()

    class Credential:
        def get_token(self, scope: str) -> object:
            raise OSError(f"nobody is logged in for {scope}")

    monkeypatch.setattr(cloud_identity, "_azure_credential", Credential)
    with pytest.raises(TokenUnavailable, match="nobody is logged in for scope"):
        AzureTokens("scope").fetch()


def test_azure_is_asked_for_the_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    """What azure-identity gives is what is sent."""
    from azure.core.credentials import AccessToken

    class Credential:
        def get_token(self, scope: str) -> AccessToken:
            return AccessToken(f"for {scope}", 1_900_000_000)

    monkeypatch.setattr(cloud_identity, "_azure_credential", Credential)
    assert AzureTokens("s").fetch() == Token("for s", 1_900_000_000.0)


def test_a_missing_library_is_told_with_its_extra() -> None:
    """Whoever names a cloud without its extra is told what to install."""
    from schemas.errors import ConfigError

    cloud_identity.require(cloud_identity.AWS, "aws")
    with pytest.raises(ConfigError, match="not installed") as missing:
        cloud_identity.require("no_such.library", "aws")
    assert missing.value.hint == "pip install 'riverrun[aws]'."
