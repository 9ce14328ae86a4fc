"""What one visitor, and what another site's page, can take from everybody else: little."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streams.web.render.server_sent_events import EACH_MAX, STREAMS_MAX
from streams.web.routes import CONTEXT, application
from streams.web.state.live_tails import ROWS_MAX, Follower, LiveTails
from streams.web.state.page_context import PageContext
from streams.web.state.page_model import Case
from streams.web.state.request_limits import Busy, RequestSlots, Visitor
from tests.streams.web.test_auth import FLIGHTS, NOBODY, SECRET, context, enter

Client = TestClient[web.Request, web.Application]
EVENT = "/flight_eta/event?id=UA1"
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A browser of a page on loopback; it keeps cookies and follows nothing."""
    async with TestClient(TestServer(application(context()))) as client:
        yield client


def token(text: str) -> str:
    """The token that the page's forms carry."""
    return text.partition('name="form_token" value="')[2].partition('"')[0]


def asked(client: Client) -> int:
    """How many questions were begun."""
    page: PageContext = client.app[CONTEXT]
    return len(page.subprocess_queries._queries)


@pytest.mark.parametrize("path", [EVENT, f"{EVENT}&prove=1", "/flight_eta/worth"])
@pytest.mark.parametrize("headers", [{}, LINK])
async def test_looking_at_an_address_begins_no_work(
    client: Client, path: str, headers: dict[str, str]
) -> None:
    """Neither a proof nor a search nor a report: a link of anybody's may lead there."""
    for n in range(50):
        answer = await client.get(f"{path}{'&' if '?' in path else '?'}n={n}", headers=headers)
        assert answer.status == 200
    assert asked(client) == 0


async def test_another_sites_page_gets_nothing(client: Client) -> None:
    """Images, fetches, frames and event streams of it are refused; a link is followed."""
    for path in ("/", EVENT, "/live/", "/tail/flight_eta?topic=events", "/livez"):
        assert (await client.get(path, headers=CROSS)).status == 403
        frame = {**LINK, "Sec-Fetch-Dest": "iframe"}
        assert (await client.get(path, headers=frame)).status == 403
    assert (await client.get("/flight_eta/event", headers=LINK)).status == 200


async def test_a_question_is_asked_by_the_pages_own_form(client: Client) -> None:
    """Without sign-in on loopback, but with the browser's cookie, its token and our origin."""
    url, form = "/ask/flight_eta/event", {"id": "UA1"}
    text = await (await client.get(EVENT)).text()
    data = {**form, "form_token": token(text)}
    for refused in (
        {"data": form},
        {"data": {**form, "form_token": "x" * 64}},
        {"data": data, "headers": {"Origin": "http://evil.example"}},
        {"data": data, "headers": {"Sec-Fetch-Site": "cross-site"}},
    ):
        assert (await client.post(url, **refused)).status == 403  # type: ignore[arg-type]
    assert asked(client) == 0
    answer = await client.post(url, data=data, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, EVENT)
    assert asked(client) == 1
    client.session.cookie_jar.clear()
    assert (await client.post(url, data={**data, "id": "UA2"})).status == 403


@pytest.mark.parametrize("event_id", ["-x", "--help", "a b&c=d", "Zürich/7"])
async def test_any_id_can_be_asked_for(client: Client, event_id: str) -> None:
    """One that begins with a hyphen is data, too."""
    text = await (await client.get("/flight_eta/event?id=a")).text()
    data = {"id": event_id, "form_token": token(text)}
    answer = await client.post("/ask/flight_eta/event", data=data)
    assert answer.status == 200
    (words,) = client.app[CONTEXT].subprocess_queries._queries
    assert words[-2:] == ("--", event_id)


async def test_too_many_questions_are_answered_with_429(client: Client) -> None:
    """In words, with when to try again."""
    text = await (await client.get(EVENT)).text()
    for n in range(8):
        data = {"id": f"UA{n}", "form_token": token(text)}
        answer = await client.post("/ask/flight_eta/event", data=data, allow_redirects=False)
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "queries open at once" in await answer.text()


async def opened(client: Client, path: str, count: int) -> tuple[Counter[int], list[Any]]:
    """So many streams, opened and not read."""
    answers = await asyncio.gather(*(client.get(path) for _ in range(count)))
    return Counter(answer.status for answer in answers), answers


async def test_streams_of_one_visitor_are_bounded_and_others_have_theirs(client: Client) -> None:
    """64 of one browser that is not signed in: the rest is refused, and an operator gets in."""
    statuses, answers = await opened(client, "/live/", 64)
    assert statuses == {200: EACH_MAX, 429: 64 - EACH_MAX}
    for answer in answers:
        if answer.status == 429:
            assert "at once" in await answer.text()
    await enter(client)
    own, others = await opened(client, "/live/", 1)
    assert own == {200: 1}
    for answer in [*answers, *others]:
        answer.close()


def test_all_who_are_not_signed_in_leave_places_for_who_is() -> None:
    """Whatever number of visitors: 503 for them, and a place for whoever signs in."""
    places = RequestSlots("live views", each=EACH_MAX, together=STREAMS_MAX)
    for n in range(STREAMS_MAX):
        places.take(Visitor(f"reader {n}"))
    with pytest.raises(Busy) as busy:
        places.take(Visitor("one more"))
    assert busy.value.status == 503
    operator = Visitor("operator", signed_in=True)
    places.take(operator)
    places.leave(Visitor("reader 0"))
    places.take(Visitor("reader next"))


def test_who_does_not_take_rows_costs_no_memory() -> None:
    """Beyond its room rows are counted and not kept."""
    follower = Follower([])
    for n in range(10 * ROWS_MAX):
        follower.offer([{"n": n}])
    assert len(follower._rows) == ROWS_MAX

    async def taken() -> tuple[int, int]:
        rows, left_out = await follower.take(1_000, 0.1)
        return rows[-1]["n"], left_out

    assert asyncio.run(taken()) == (10 * ROWS_MAX - 1, 9 * ROWS_MAX)


async def test_rows_that_do_not_pass_wake_nobody() -> None:
    """A busy topic costs a follower nothing but its filter."""
    follower = Follower([lambda row: row["n"] < 0])
    follower.offer([{"n": n} for n in range(100)])
    assert await follower.take(10, 0.05) == ([], 0)
    assert not follower._arrived.is_set()


async def test_followers_of_a_topic_share_its_reader() -> None:
    """64 tails of one topic are one reader; it ends with the last of them."""
    tails, case = LiveTails(), Case(FLIGHTS, NOBODY)
    follows = [tails.follow(case, "events", []) for _ in range(64)]
    for follow in follows:
        await follow.__aenter__()
    assert tails.topics == ["flight_eta.events"]
    for follow in follows:
        await follow.__aexit__(None, None, None)
    assert tails.topics == []


async def test_a_tail_whose_kafka_is_away_says_so(client: Client) -> None:
    """As an event of its stream; the stream ends."""
    answer = await client.get("/tail/flight_eta?topic=events")
    assert "event: failed" in await answer.text()


async def test_the_secret_is_in_no_refusal(client: Client) -> None:
    """Whatever is refused, and why."""
    for path in ("/live/", EVENT):
        answer = await client.get(path, headers=CROSS)
        assert SECRET not in await answer.text()
