"""The page's door: who may read, who may act, what every answer forbids. No server behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.web.app import is_loopback, page_context
from streams.web.routes import CONTEXT, application
from streams.web.state.auth import SESSION_S, SESSIONS_MAX, Auth
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import PageModel, ViewRequest
from streams.web.state.sign_in_attempts import CLIENTS_MAX, DELAYED_MAX, SignInAttempts
from streams.web.views import overview

SECRET = "correct horse battery"
NOBODY = Settings(
    kafka_bootstrap_servers="127.0.0.1:1", redis_url="redis://:swordfish@127.0.0.1:1/0"
)
FLIGHTS = load("flight_eta")
Client = TestClient[web.Request, web.Application]


def context(host: str = "127.0.0.1", names: str = "", proxies: str = "") -> PageContext:
    """The page context of the flights, with servers that do not answer."""
    settings = NOBODY.model_copy(
        update={
            "riverrun_ops_password": type(NOBODY.redis_url)(SECRET),
            "riverrun_ops_names": names,
            "riverrun_ops_proxies": proxies,
        }
    )
    return page_context([FLIGHTS], settings, host, 8088)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A browser of a page on loopback; it keeps cookies and follows nothing."""
    async with TestClient(TestServer(application(context()))) as client:
        yield client


@pytest.fixture
async def outside() -> AsyncIterator[Client]:
    """A browser of a page that listens everywhere."""
    async with TestClient(TestServer(application(context("0.0.0.0", "ops.example.com")))) as client:
        yield client


async def enter(client: Client) -> Any:
    """Sign in."""
    return await client.post("/enter", data={"secret": SECRET}, allow_redirects=False)


async def form_token_of(client: Client) -> str:
    """The token that forms of this session carry, as the page has it."""
    text = await (await client.get("/nowhere")).text()
    return text.partition('name="form_token" value="')[2].partition('"')[0]


ACT = {"verb": "promote", "model": "trees", "who": "me", "why": "because"}


@pytest.mark.parametrize(
    "path", ["/", "/flight_eta", "/nowhere", "/enter", "/static/chart.js", "/livez"]
)
async def test_every_answer_forbids_frames_sniffing_and_foreign_code(
    client: Client, path: str
) -> None:
    """Pages, errors, scripts: the policy allows nothing inline and nothing from elsewhere."""
    answer = await client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "aiohttp" not in answer.headers["Server"]
    if not path.startswith("/static"):
        assert answer.headers["Cache-Control"] == "no-store"


async def test_pages_have_nothing_inline(client: Client) -> None:
    """No style attribute, no inline script, no handler: what the policy forbids is not tried."""
    for path in ("/", "/flight_eta/workers", "/enter", "/nowhere"):
        text = await (await client.get(path)).text()
        assert " style=" not in text
        assert " onclick=" not in text
        assert "<script>" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", ""])
async def test_a_name_that_is_not_ours_is_refused(client: Client, host: str) -> None:
    """DNS rebinding: the attacker's name in `Host` gets nothing, whatever the path."""
    for path in ("/", "/static/chart.js", "/enter"):
        assert (await client.get(path, headers={"Host": host})).status == 421


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1", "[::1]:8088", "10.1.2.3"])
async def test_addresses_and_localhost_are_ours(client: Client, host: str) -> None:
    """No name can be rebound to them."""
    assert (await client.get("/", headers={"Host": host})).status == 200


async def test_a_declared_name_is_ours(outside: Client) -> None:
    """What RIVERRUN_OPS_NAMES lists."""
    answer = await outside.get("/livez", headers={"Host": "OPS.example.com:443"})
    assert answer.status == 200


async def test_on_loopback_everybody_reads_and_nobody_acts(client: Client) -> None:
    """Without the cookie an act is refused, whatever it carries."""
    assert (await client.get("/flight_eta/contest")).status != 303
    for data in (ACT, {**ACT, "form_token": ""}, {**ACT, "form_token": "x" * 64}):
        answer = await client.post("/act/flight_eta/command", data=data)
        assert answer.status == 403


async def test_beyond_loopback_nobody_reads_without_the_secret(outside: Client) -> None:
    """Views lead to the door, streams are refused; what the door needs and /livez are free."""
    for path in ("/", "/flight_eta", "/flight_eta?csv=kpi", "/nowhere"):
        answer = await outside.get(path, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/enter")
    for path in ("/live/", "/tail/flight_eta?topic=events"):
        assert (await outside.get(path)).status == 401
    for path in ("/enter", "/static/style.css", "/livez"):
        assert (await outside.get(path)).status == 200
    assert (await enter(outside)).status == 303
    assert (await outside.get("/", allow_redirects=False)).status == 200


async def test_the_cookie_is_strict_and_no_script_s(client: Client) -> None:
    """HttpOnly, SameSite=Strict, for the whole page, and of no use with another key."""
    cookie = (await enter(client)).headers["Set-Cookie"]
    assert cookie.startswith("riverrun_ops_8088=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert SECRET not in cookie


async def test_a_forged_cookie_is_no_session(client: Client) -> None:
    """Something like it, a part of it, nonsense: nobody is signed in."""
    value = (await enter(client)).cookies["riverrun_ops_8088"].value
    for forged in (f"9{value}", value[:-1], value.swapcase(), "x", "..", ""):
        client.session.cookie_jar.clear()
        headers = {"Cookie": f"riverrun_ops_8088={forged}"}
        assert "Sign out" not in await (await client.get("/nowhere", headers=headers)).text()


async def test_an_act_needs_the_token_of_its_session_and_our_origin(client: Client) -> None:
    """The cookie alone, which a foreign form would send where SameSite failed, is not enough."""
    await enter(client)
    token = await form_token_of(client)
    assert len(token) == 64
    url = "/act/flight_eta/command"
    assert (await client.post(url, data=ACT)).status == 403
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert (
            await client.post(url, data={**ACT, "form_token": token}, headers=headers)
        ).status == 403
    with_token = {**ACT, "form_token": token, "who": ""}
    assert (await client.post(url, data=with_token)).status == 400  # it came through the door


@pytest.mark.parametrize("change", [{"why": " "}, {"model": "nobody"}, {"verb": "drain"}])
async def test_an_act_says_who_why_and_something_that_is_offered(
    client: Client, change: dict[str, str]
) -> None:
    """What is missing or unknown is refused before anything is sent."""
    await enter(client)
    data = {**ACT, "form_token": await form_token_of(client), **change}
    assert (await client.post("/act/flight_eta/command", data=data)).status == 400


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong secrets are answered sooner."""
    monkeypatch.setattr("streams.web.state.sign_in_attempts.DELAY_S", 0.001)
    monkeypatch.setattr("streams.web.state.sign_in_attempts.DELAY_S_MAX", 0.05)


async def test_wrong_secrets_shut_nobody_out(client: Client, quick: None) -> None:
    """However many came, from the same address too, the right one is let in at once."""
    for _ in range(30):
        assert (await client.post("/enter", data={"secret": "guess"})).status == 403
    assert (await enter(client)).status == 303


async def test_each_wrong_secret_of_a_client_waits_longer() -> None:
    """Doubled up to a bound, by client, started over by the right one; the counts are bounded."""
    counted = SignInAttempts()
    delays = [counted._count("10.0.0.1") for _ in range(40)]
    assert delays[:3] == [0.25, 0.5, 1.0]
    assert max(delays) == delays[-1] == 8.0
    assert counted._count("10.0.0.2") == 0.25
    counted.forget("10.0.0.1")
    assert counted._count("10.0.0.1") == 0.25
    for number in range(5_000):
        counted._count(f"10.1.{number}")
    assert len(counted._wrong) <= CLIENTS_MAX


@pytest.mark.slow
async def test_tries_at_the_same_time_are_bounded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password is not guessed by asking in parallel: what is too much is told to wait."""
    monkeypatch.setattr("streams.web.state.sign_in_attempts.DELAY_S", 0.3)
    wrong = [client.post("/enter", data={"secret": f"guess {n}"}) for n in range(40)]
    statuses = Counter(answer.status for answer in await asyncio.gather(*wrong))
    assert set(statuses) == {403, 429}
    assert statuses[403] <= DELAYED_MAX
    assert (await enter(client)).status == 303


async def test_another_sites_page_tries_no_secret(client: Client, quick: None) -> None:
    """What it sends is refused before it is looked at."""
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await client.post("/enter", data={"secret": SECRET}, headers=headers)
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers or "reader" in answer.headers["Set-Cookie"]


async def test_the_ticket_in_the_address_signs_in_once(client: Client) -> None:
    """Whoever finds it in a history or a log later has nothing."""
    door = client.app[CONTEXT].auth
    path = f"/enter?token={door.ticket}"
    assert (await client.get("/enter?token=other", allow_redirects=False)).status == 403
    assert (await client.head(path, allow_redirects=False)).status != 303
    prefetched = {"Sec-Purpose": "prefetch;prerender"}
    assert (await client.get(path, headers=prefetched, allow_redirects=False)).status != 303
    assert (await client.get(path, allow_redirects=False)).status == 303
    assert await form_token_of(client)
    client.session.cookie_jar.clear()
    assert (await client.get(path, allow_redirects=False)).status == 403
    assert (await client.get("/enter?token=", allow_redirects=False)).status == 200


async def test_a_cookie_after_its_sign_out_is_dead(client: Client) -> None:
    """Kept by whoever copied it, it neither reads, acts nor shows a token."""
    value = (await enter(client)).cookies["riverrun_ops_8088"].value
    token = await form_token_of(client)
    await client.post("/leave", data={"form_token": token})
    client.session.cookie_jar.clear()
    headers = {"Cookie": f"riverrun_ops_8088={value}"}
    assert "Sign out" not in await (await client.get("/nowhere", headers=headers)).text()
    act = client.post("/act/flight_eta/command", data={**ACT, "form_token": token}, headers=headers)
    assert (await act).status == 403


async def test_signing_out_ends_no_other_session(client: Client) -> None:
    """Of two browsers one stays signed in."""
    first = (await enter(client)).cookies["riverrun_ops_8088"].value
    client.session.cookie_jar.clear()
    await enter(client)
    await client.post("/leave", data={"form_token": await form_token_of(client)})
    headers = {"Cookie": f"riverrun_ops_8088={first}"}
    assert "Sign out" in await (await client.get("/nowhere", headers=headers)).text()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "secure"),
    [("", "https", False), ("127.0.0.1", "https", True), ("127.0.0.1", "http", False),
     ("10.9.9.9", "https", False)],
)  # fmt: skip
async def test_behind_a_declared_proxy_with_tls_cookies_are_secure(
    proxies: str, forwarded: str, secure: bool
) -> None:
    """`X-Forwarded-Proto` is believed of the proxies that are declared, and of nobody else."""
    behind = context(proxies=proxies)
    async with TestClient(TestServer(application(behind))) as client:
        headers = {"X-Forwarded-Proto": forwarded}
        answer = await client.post(
            "/enter", data={"secret": SECRET}, headers=headers, allow_redirects=False
        )
        assert ("Secure" in answer.headers["Set-Cookie"]) is secure


async def test_behind_a_proxy_loopback_reads_nothing_without_the_secret() -> None:
    """Whoever comes by the proxy comes from loopback, too."""
    async with TestClient(TestServer(application(context(proxies="127.0.0.1")))) as client:
        answer = await client.get("/flight_eta", allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/enter")


async def test_clients_are_told_apart_behind_a_proxy(quick: None) -> None:
    """By the last hop that the proxy itself wrote; what the client writes before it is not read."""
    behind = context(proxies="127.0.0.1")
    async with TestClient(TestServer(application(behind))) as client:
        for hops in ("1.1.1.1, 7.7.7.7", "2.2.2.2, 7.7.7.7", "8.8.8.8"):
            data, headers = {"secret": "guess"}, {"X-Forwarded-For": hops}
            assert (await client.post("/enter", data=data, headers=headers)).status == 403
    assert {name: n for name, (n, _) in behind.auth.attempts._wrong.items()} == {
        "7.7.7.7": 2,
        "8.8.8.8": 1,
    }


async def test_signing_out_needs_the_word_too(client: Client) -> None:
    """Nobody else signs anybody out."""
    await enter(client)
    await client.post("/leave", data={})
    token = await form_token_of(client)
    assert token
    await client.post("/leave", data={"form_token": token})
    assert not await form_token_of(client)


async def test_trouble_with_servers_is_said_without_their_credentials(client: Client) -> None:
    """A view whose servers are away says so, with what to do; passwords are in no answer."""
    for path in ("/", "/flight_eta", "/flight_eta/contest", "/flight_eta/workers"):
        text = await (await client.get(path)).text()
        assert "does not answer" in text, path
        assert "swordfish" not in text, path
        assert SECRET not in text


async def test_a_fault_of_the_page_tells_nothing_of_its_inside(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is raised goes to the log under a reference, and only the reference to the browser."""

    async def broken(context: PageContext, ask: ViewRequest) -> PageModel:
        raise ZeroDivisionError("the password is hunter2")

    monkeypatch.setattr(overview, "view", broken)
    answer = await client.get("/")
    text = await answer.text()
    assert answer.status == 500
    assert "hunter2" not in text
    reference = text.partition("reference ")[2][:6]
    assert f"reference {reference}" in caplog.text


async def test_what_comes_in_the_address_is_escaped(client: Client) -> None:
    """A use case, view or query of markup is text."""
    for path in ("/<script>alert(1)</script>", "/flight_eta/<img>", "/flight_eta/event?id=<b>"):
        text = await (await client.get(path)).text()
        assert "<script>alert" not in text
        assert "<img>" not in text
        assert "<b>" not in text.replace("<b></b>", "")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    """Anything else needs the secret to read."""
    assert is_loopback(host) is loopback


def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After twelve hours a cookie is worth nothing; no more sessions are kept than a bound."""
    door = Auth(SECRET, "c", True)
    session = door._new_session()
    request = type("Request", (), {"cookies": {"c": session}})()
    assert door.session(request) == session
    monkeypatch.setattr("streams.web.state.auth.time", lambda: time() + SESSION_S + 1)
    assert door.session(request) is None
    for _ in range(SESSIONS_MAX + 5):
        door._new_session()
    assert len(door._sessions) == SESSIONS_MAX
