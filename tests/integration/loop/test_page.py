"""The page in a real browser, against real workers on a real Kafka and Redis."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.partitioner import partition_of
from streams.embedded import Endpoints
from streams.web.render.server_sent_events import EACH_MAX
from tests.support.loop import SOURCE, Loop, parcels
from tests.support.servers.browser import SCREENS, SIZES, Page, chromium, launched, waited

pytestmark = pytest.mark.integration

MARKED = (
    SOURCE.replace("from river import", "from typing import Annotated\n\nfrom river import", 1)
    .replace("    miles: int\n", '    miles: int\n    sender: Annotated[str, Personal] = ""\n')
    .replace("interval=None", "interval=0.9, segments=Segments('depot'), window=hours(6)")
    .replace("Promotion, UseCase", "Personal, Promotion, Segments, UseCase")
)  # fmt: skip
ROWS = [
    (kind, {**fields, "sender": "Ann Miller"} if kind == "event" else fields)
    for kind, fields in parcels(700)
]
IDS = [str(fields["event_id"]) for kind, fields in ROWS if kind == "event"]
VIEWS = {
    "overview": ("", "Is it worth having?"),
    "value": ("parcels", "Saved against the baseline"),
    "contest": ("parcels/contest", "Model history"),
    "drift": ("parcels/drift?subject=weight", "before and now"),
    "event": ("parcels/event?id=p600", "as computed at event time"),
    "dead-letters": ("parcels/dead-letters", "By cause"),
    "workers": ("parcels/workers?topic=predictions", "Live tail"),
}


@pytest.fixture(scope="module")
def page(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a use case that has answered, learnt and refused."""
    chromium()
    loop = Loop(stack, tmp_path_factory.mktemp("page"), MARKED)
    page = Page(loop)
    try:
        waited(loop.publish(ROWS))
        for number in range(3):
            waited(bad(loop, f"bad{number}"))
        loop.start()
        page.start()
        waited(loop.wait_for("examples", IDS))
        yield page
    finally:
        page.stop()
        loop.close()


async def bad(loop: Loop, event_id: str) -> float:
    """Publish an event without a weight; gives when."""
    value = orjson.dumps({"event_id": event_id, "depot": "north", "sender": "Ann Miller"})
    async with AIOKafkaProducer(**loop.settings.kafka_client()) as producer:
        partition = partition_of(b"north", 2)
        await producer.send_and_wait(loop.names["events"], value, key=b"north", partition=partition)
    return time.time()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests here."""
    with launched() as browser:
        yield browser


Open = Callable[..., Any]


@pytest.fixture
def tab(browser: Any, page: Page) -> Iterator[Open]:
    """Opens a view in a tab of its own, signed in; whatever the console complains of fails."""
    contexts, complaints = [], []

    def open_at(path: str, size: str = "wide", **options: Any) -> Any:
        width, height = SIZES[size] if size in SIZES else tuple(map(int, size.split("x")))
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "console",
            lambda message: complaints.append(message.text) if bad_word(message) else None,
        )
        page.enter(opened)
        opened.goto(page.address + path)
        asked = opened.get_by_role("button", name="Look up")
        if "event?id=" in path and asked.count() == 2:  # the form above, and this event's own
            asked.last.click()
        return opened

    yield open_at
    for context in contexts:
        context.close()
    assert [text for text in complaints if "ERR_" not in text] == []


def bad_word(message: Any) -> bool:
    """What a browser says of broken policy, scripts or styles."""
    return message.type in ("error", "warning")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_seen_whole(tab: Open, view: str, size: str) -> None:
    """With its figures, nothing wider than the screen, no personal value; the picture is kept."""
    path, text = VIEWS[view]
    opened = tab(path, size)
    opened.get_by_text(text).first.wait_for(timeout=150_000)
    wide = opened.evaluate("document.documentElement.scrollWidth")
    assert wide <= SIZES[size][0], view
    assert "Miller" not in opened.content()
    SCREENS.mkdir(parents=True, exist_ok=True)
    opened.screenshot(path=SCREENS / f"{view}-{size}.png", full_page=True)


@pytest.mark.parametrize("view", VIEWS)
def test_a_small_phone_in_the_dark_is_enough(tab: Open, view: str) -> None:
    """360 pixels hold every view, and the dark one is dark."""
    path, text = VIEWS[view]
    opened = tab(path, "360x740", color_scheme="dark")
    opened.get_by_text(text).first.wait_for(timeout=150_000)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", ground)[:3])) < 120


def test_a_promotion_from_click_to_lifecycle(tab: Open, page: Page) -> None:
    """Asked with who and why, shown until it is applied in 2 of 2, and on the audit trail."""
    opened = tab("parcels/contest")
    opened.get_by_role("button", name="Promote brisk").click()
    dialog = opened.locator("#command")
    dialog.get_by_label("Your name").fill("Grace")
    dialog.get_by_label("Reason").fill("it is better")
    dialog.get_by_role("button", name="Send to every partition").click()
    opened.get_by_text("applied in 2 of 2").wait_for(timeout=60_000)
    opened.locator("#model-brisk").get_by_text("champion").wait_for(timeout=15_000)
    told = [r for r in waited(page.loop.values("lifecycle")) if r["who"] == "Grace"]
    promoted = {(r["partition"], r["model"]) for r in told if r["to_state"] == "champion"}
    assert promoted == {(0, "brisk"), (1, "brisk")}
    assert {r["why"] for r in told} == {"it is better"}


def test_a_dead_letter_is_seen_within_two_seconds_and_sent_again(
    tab: Open, page: Page, record_property: Callable[[str, object], None]
) -> None:
    """From its record to the open page, the best of three; then from click to its second try."""
    opened = tab("parcels/dead-letters")
    opened.get_by_text("By cause").wait_for()
    took = []
    for number in range(3):
        waited(bad(page.loop, f"live{number}"))
        letters = -1
        while letters < 4 + number:
            records = waited(page.loop.records("dead-letter"))
            letters = len(records)
        position = f"{records[-1].partition}/{records[-1].offset}"
        opened.get_by_role("link", name=position, exact=True).wait_for(timeout=15_000)
        took.append(time.time() - max(r.timestamp for r in records) / 1000)
    record_property("page_dead_letter_seen_s", [round(second, 2) for second in took])
    assert min(took) < 2.0
    opened.get_by_role("link", name=position, exact=True).click()
    opened.get_by_text("Record as received").wait_for()
    opened.locator("#opened").get_by_role("button", name="Send again").click()
    dialog = opened.locator("#redrive")
    dialog.get_by_label("Your name").fill("Grace")
    dialog.get_by_label("Reason").fill("to try it")
    dialog.get_by_role("button", name="Send again").click()
    opened.locator(".action").get_by_text("1 sent again").wait_for(timeout=30_000)


async def implausible(loop: Loop, event_id: str) -> None:
    """Publish an event and an outcome of implausible value."""
    left = datetime(2024, 5, 6, tzinfo=UTC)
    event = {"event_id": event_id, "event_time": left.isoformat(), "depot": "north", "weight": 1.0}
    outcome = {"event_id": event_id, "outcome_time": left.isoformat(), "hours": 700.0}
    await loop.publish([("event", event | {"miles": 9}), ("outcome", outcome)])


def test_a_held_outcome_is_released_from_click_to_example(tab: Open, page: Page) -> None:
    """Asked with who and why; what was held is learnt, and the page says how many."""
    waited(implausible(page.loop, "held"))
    opened = tab("parcels/dead-letters")
    row = opened.locator("tr", has_text="quarantined").filter(has=opened.get_by_role("button"))
    row.get_by_role("button", name="Release").click(timeout=60_000)
    dialog = opened.locator("#release")
    dialog.get_by_label("Your name").fill("Grace")
    dialog.get_by_label("Reason").fill("it was on a ship")
    dialog.get_by_role("button", name="Release").click()
    opened.get_by_text("1 of 1 learnt, applied in 2 of 2").wait_for(timeout=60_000)
    waited(page.loop.wait_for("examples", ["held"]))


def test_the_worth_report_is_made_to_be_handed_on(tab: Open) -> None:
    """From the use case's view to one file, which says what the page says."""
    opened = tab("parcels")
    opened.get_by_role("link", name="Worth report").click()
    opened.get_by_role("button", name="Create the report").click()
    download = opened.get_by_role("link", name="Download the report")
    download.wait_for(timeout=90_000)
    verdict = opened.locator("#report .pill").inner_text()
    with opened.expect_download() as pending_download:
        download.click()
    report = pending_download.value.path().read_text("utf-8")
    assert "<script" not in report
    assert verdict.lower() in report.lower()


def test_a_lost_connection_is_said_and_found_again(tab: Open, page: Page) -> None:
    """A page that hangs, then one that is gone: the banner says how old all is; then it heals."""
    opened = tab("")
    opened.get_by_text("Is it worth having?").wait_for()
    banner = opened.get_by_role("alert").filter(has_text="The connection is lost")
    assert banner.is_hidden()
    page.freeze()
    try:
        banner.wait_for(timeout=20_000)
        opened.screenshot(path=SCREENS / "lost-wide.png")
    finally:
        page.thaw()
    banner.wait_for(state="hidden", timeout=20_000)
    port = page.port
    page.stop()
    banner.wait_for(timeout=20_000)
    page.start(port)
    banner.wait_for(state="hidden", timeout=30_000)


def test_a_prediction_is_proved_on_the_spot(tab: Open) -> None:
    """The button folds the log in a process of its own; what it taught comes with it."""
    opened = tab("parcels/event?id=p650")
    opened.get_by_role("button", name="Verify now").click(timeout=120_000)
    opened.get_by_text("Identical to the last bit.").wait_for(timeout=120_000)
    opened.get_by_text("What the models learnt").wait_for()
    opened.screenshot(path=SCREENS / "proved-wide.png", full_page=True)


def first_value(opened: Any) -> tuple[Any, str]:
    """The KPI's chart with the keyboard on it, and what it shows of its first point."""
    chart = opened.locator("#figure-kpi river-chart")
    chart.locator("svg").wait_for()
    chart.focus()
    opened.keyboard.press("Home")
    return chart, chart.locator(".tip").inner_text()


def test_a_chart_is_read_by_keys_zoomed_and_exported(tab: Open) -> None:
    """Arrow keys show the CSV's own figure; + narrows, the address keeps it; Esc leaves it."""
    opened = tab("parcels")
    chart, shown = first_value(opened)
    with opened.expect_download() as download:
        opened.locator("#figure-kpi").get_by_role("link", name="CSV").click()
    first = download.value.path().read_text().splitlines()[1].split(",")
    assert f"{float(first[1]):.6g}" in shown.replace(",", "")
    chart.focus()
    opened.keyboard.press("+")
    assert "zoom.time=" in opened.url
    opened.reload()
    chart.locator("svg").wait_for()
    chart.get_by_role("button", name="whole range").wait_for()
    chart.focus()
    opened.keyboard.press("Escape")
    assert "zoom.time=" not in opened.url
    chart.get_by_role("button", name="brisk").click()
    assert "hide.kpi=brisk" in opened.url


COMING_AND_GOING = """async ([fresh, count]) => {
  const { morph } = await import("/static/morph.js"), main = document.querySelector("main");
  const sent = await (await fetch(location)).text();
  const html = new DOMParser().parseFromString(sent, "text/html").querySelector("main").innerHTML;
  for (let n = 0; n < count; n++) {
    morph(main, fresh + html);
    morph(main, html);
  }
}"""


@pytest.mark.parametrize("fresh", ["<section>new</section>", "\n", "<figure id='new'></figure>"])
def test_what_comes_and_goes_above_leaves_the_reader_where_he_is(tab: Open, fresh: str) -> None:
    """A redrawn chart keeps its focus, its cursor and the exact values that are read."""
    opened = tab("parcels")
    chart, shown = first_value(opened)
    opened.evaluate(COMING_AND_GOING, [fresh, 3])
    assert chart.evaluate("chart => chart === document.activeElement")
    assert chart.locator(".tip").inner_text() == shown != ""


def test_who_is_not_signed_in_sees_no_act(browser: Any, page: Page) -> None:
    """On loopback everybody reads; the buttons are not there to be pressed."""
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(page.address + "parcels/contest")
    opened.get_by_text("Model history").wait_for()
    assert opened.get_by_role("button", name="Promote").count() == 0
    opened.get_by_role("link", name="Sign in", exact=True).click()
    opened.get_by_label("Secret").fill("wrong secret")
    opened.get_by_role("main").get_by_role("button", name="Sign in").click()
    opened.get_by_text("The secret is wrong.").wait_for()
    context.close()


def test_the_tail_follows_with_a_filter(tab: Open, page: Page) -> None:
    """Only what passes is shown, as it is committed; personal values cannot be filtered for."""
    opened = tab("parcels/workers?topic=dead-letter&where=error_class=malformed")
    rows = opened.locator("river-tail details")
    rows.first.wait_for(timeout=20_000)
    before = rows.count()
    waited(bad(page.loop, "tailed"))
    opened.wait_for_function(
        "n => document.querySelectorAll('river-tail details').length > n", arg=before
    )
    opened.goto(page.address + "parcels/workers?topic=events&where=sender=Ann")
    opened.get_by_text("no record matches the filter so far").wait_for(timeout=20_000)


async def flooded(address: str, case: str, ask: Callable[[], Any]) -> tuple[Counter[int], Any]:
    """What becomes of a flood of one who is not signed in, and of what `ask` asks meanwhile."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        paths = [
            *(f"{case}/event?id=p{n}&prove=1" for n in range(200)),
            *(f"tail/{case}?topic=events&where=n={n}" for n in range(64)),
            *(f"live/{case}/event?id=p{n}" for n in range(64)),
        ]
        answers = await asyncio.gather(*(session.get(address + path) for path in paths))
        statuses = Counter(answer.status for answer in answers)
        own = await asyncio.to_thread(ask)
        for answer in answers:
            answer.close()
    return statuses, own


def test_a_flood_without_sign_in_keeps_no_operator_waiting(page: Page) -> None:
    """200 proofs by their address begin nothing, of 128 tails and event streams a dozen are let in,
    the page does not grow by much, and whoever signs in has an event's life as fast as ever.
    """

    def asked() -> float:
        async def run() -> float:
            began, jar = time.time(), aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                await session.post(f"{page.address}enter", data={"secret": page.secret})
                text = await (await session.get(f"{page.address}parcels/event?id=p630")).text()
                word = text.partition('name="form_token" value="')[2].partition('"')[0]
                body = {"form_token": word, "id": "p630"}
                await session.post(f"{page.address}ask/parcels/event", data=body)
                while "Prediction and reasons" not in text:
                    assert time.time() - began < 60, text
                    await asyncio.sleep(0.3)
                    text = await (await session.get(f"{page.address}parcels/event?id=p630")).text()
            return time.time() - began

        return asyncio.run(run())

    before = page.memory_bytes
    statuses, took = waited(flooded(page.address, "parcels", asked))
    assert statuses[429] + statuses[503] >= 128 - EACH_MAX
    assert took < 60
    assert page.memory_bytes - before < 150 << 20
