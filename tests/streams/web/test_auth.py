"""The page's door: who may read, who may act, what every answer forbids. No server behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.loading import load
from streams.ops import overview
from streams.ops.desk import Desk
from streams.ops.opening import desk_of, is_loopback
from streams.ops.safety import TRIES_MAX, Door
from streams.ops.scene import Ask, Scene
from streams.ops.server import application
from streams.settings import Settings

SECRET = "correct horse battery"
NOBODY = Settings(
    kafka_bootstrap_servers="127.0.0.1:1", redis_url="redis://:swordfish@127.0.0.1:1/0"
)
FLIGHTS = load("flight_eta")
Client = TestClient[web.Request, web.Application]


def desk(host: str = "127.0.0.1", names: str = "") -> Desk:
    """A desk of the flights, with servers that do not answer."""
    settings = NOBODY.model_copy(
        update={
            "riverrun_ops_password": type(NOBODY.redis_url)(SECRET),
            "riverrun_ops_names": names,
        }
    )
    return desk_of([FLIGHTS], settings, host, 8088)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A browser of a page on loopback; it keeps cookies and follows nothing."""
    async with TestClient(TestServer(application(desk()))) as client:
        yield client


@pytest.fixture
async def outside() -> AsyncIterator[Client]:
    """A browser of a page that listens everywhere."""
    async with TestClient(TestServer(application(desk("0.0.0.0", "ops.example.com")))) as client:
        yield client


async def enter(client: Client) -> Any:
    """Sign in."""
    return await client.post("/enter", data={"secret": SECRET}, allow_redirects=False)


async def word_of(client: Client) -> str:
    """The word that forms of this session carry, as the page has it."""
    text = await (await client.get("/nowhere")).text()
    return text.partition('name="word" value="')[2].partition('"')[0]


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
    for data in (ACT, {**ACT, "word": ""}, {**ACT, "word": "x" * 64}):
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
    """Another's signature, an expiry moved on, nonsense: nobody is signed in."""
    value = (await enter(client)).cookies["riverrun_ops_8088"].value
    session, _, signature = value.rpartition(".")
    for forged in (f"9{session}.{signature}", f"{session}.{'0' * 64}", "x", "..", ""):
        client.session.cookie_jar.clear()
        headers = {"Cookie": f"riverrun_ops_8088={forged}"}
        assert "Sign out" not in await (await client.get("/nowhere", headers=headers)).text()


async def test_an_act_needs_the_word_of_its_session_and_our_origin(client: Client) -> None:
    """The cookie alone, which a foreign form would send where SameSite failed, is not enough."""
    await enter(client)
    word = await word_of(client)
    assert len(word) == 64
    url = "/act/flight_eta/command"
    assert (await client.post(url, data=ACT)).status == 403
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert (await client.post(url, data={**ACT, "word": word}, headers=headers)).status == 403
    with_word = {**ACT, "word": word, "who": ""}
    assert (await client.post(url, data=with_word)).status == 400  # it came through the door


@pytest.mark.parametrize("change", [{"why": " "}, {"model": "nobody"}, {"verb": "drain"}])
async def test_an_act_says_who_why_and_something_that_is_offered(
    client: Client, change: dict[str, str]
) -> None:
    """What is missing or unknown is refused before anything is sent."""
    await enter(client)
    data = {**ACT, "word": await word_of(client), **change}
    assert (await client.post("/act/flight_eta/command", data=data)).status == 400


async def test_guessing_is_stopped(client: Client) -> None:
    """After so many wrong secrets even the right one waits."""
    for _ in range(TRIES_MAX):
        assert (await client.post("/enter", data={"secret": "guess"})).status == 403
    assert (await enter(client)).status == 403


async def test_signing_out_needs_the_word_too(client: Client) -> None:
    """Nobody else signs anybody out."""
    await enter(client)
    await client.post("/leave", data={})
    word = await word_of(client)
    assert word
    await client.post("/leave", data={"word": word})
    assert not await word_of(client)


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
    """What is raised goes to the log under a mark, and only the mark to the browser."""

    async def broken(desk: Desk, ask: Ask) -> Scene:
        raise ZeroDivisionError("the password is hunter2")

    monkeypatch.setattr(overview, "view", broken)
    answer = await client.get("/")
    text = await answer.text()
    assert answer.status == 500
    assert "hunter2" not in text
    mark = text.partition("under mark ")[2][:6]
    assert f"mark {mark}" in caplog.text


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


def test_a_session_ends() -> None:
    """After twelve hours the cookie is worth nothing."""
    door = Door(SECRET, "c", True)
    past = f"{1}.nonce"
    request = type("Request", (), {"cookies": {"c": f"{past}.{door._sign('session', past)}"}})()
    assert door.session(request) is None
