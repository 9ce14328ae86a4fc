"""The pictures of the page in README and docs, of real flights; one command makes them again.

    make screenshots ARGS="--events 20000 --everything DIR"

It starts what `riverrun demo` starts, and takes the pictures while the workers still run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import queue
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from playwright.sync_api import TimeoutError, sync_playwright

from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.demo.counts import READ, Count
from streams.demo.loop import Workers
from streams.demo.page_process import page_beside
from streams.embedded.server_discovery import started
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.topics.topic_admin import ensure, names_of
from usecases.data import nycflights

IMAGES = Path(__file__).parents[3] / "docs" / "images"
WIDTH, SCALE = 1120, 1.5
"""README shows pictures about 850 pixels wide: wider ones could not be read there."""

CASE = "flight_eta"
Shot = tuple[str, str, str, int]
SHOTS: list[Shot] = [
    ("page-overview", "", "Is it worth having?", 760),
    ("page-value", CASE, "Worst groups", 1250),
    ("page-event", f"{CASE}/event", "Prediction and reasons", 1400),
]
"""Name, path, what is waited for, how much of it is shown."""

VIEWS = {
    "overview": "",
    "value": CASE,
    "contest": f"{CASE}/contest",
    "drift": f"{CASE}/drift?subject=queue_10",
    "event": f"{CASE}/event",
    "letters": f"{CASE}/dead-letters",
    "workers": f"{CASE}/workers?topic=predictions",
    "worth": f"{CASE}/worth",
}
SIZES = {"wide": (1440, 900), "phone": (390, 844)}


async def streamed(settings: Settings, events: int) -> str:
    """Publish so many flights and wait until all are answered and learnt; gives one's id."""
    loaded = load(CASE)
    names = names_of(loaded.use_case, settings)
    count, answered = Count(loaded.use_case, names), ""
    sender = OrderedProducer(loaded.use_case, settings, names)
    sending = asyncio.create_task(sender.run(nycflights.flights(limit=events)))
    began = monotonic()
    async with TopicReader([names[kind] for kind in READ], settings) as topics:
        while not (sending.done() and count.answered == sender.events and count.complete):
            count.take(await topics.some(0.2))
            if monotonic() - began > 900:
                raise RuntimeError(f"{count.answered} of {events} were answered")
    await sending
    async with TopicReader([names["examples"]], settings) as topics:
        for tp in topics.topic_partitions:
            for record in await topics.last(tp, 1):
                answered = record.value.decode().split('"event_id":"')[1].split('"')[0]
    return answered


def pictures(sign_in: str, event_id: str, everything: Path | None) -> None:
    """Take them; `sign_in` is the page's address with its token."""
    base = sign_in.split("enter")[0]
    at = {f"{CASE}/event": f"{CASE}/event?id={event_id}"}
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        context = browser.new_context()
        context.new_page().goto(sign_in)
        take = _taker(browser, context.storage_state(), base, at)
        for name, path, text, height in SHOTS:
            take(IMAGES / f"{name}.png", path, (WIDTH, height), "light", text, SCALE)
        if everything is None:
            return
        everything.mkdir(parents=True, exist_ok=True)
        for size, shape in SIZES.items():
            for scheme in ("light", "dark"):
                for view, path in VIEWS.items():
                    take(everything / f"{view}-{size}-{scheme}.png", path, shape, scheme)


def _taker(browser: Any, session: Any, base: str, at: dict[str, str]) -> Callable[..., None]:
    def take(
        file: Path,
        path: str,
        shape: tuple[int, int],
        scheme: str,
        text: str = "",
        scale: float = 1.0,
    ) -> None:
        width, height = shape
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            device_scale_factor=scale,
            storage_state=session,
        )
        tab = context.new_page()
        tab.goto(base + at.get(path, path))
        for words in ("Look up", "Make the report"):
            asked = tab.get_by_role("main").get_by_role("button", name=words)
            if asked.count() and ("?id=" in tab.url or path.endswith("worth")):
                asked.last.click()
        if text:
            tab.get_by_text(text).first.wait_for(timeout=120_000)
        busy = tab.locator("[aria-busy]").first
        with contextlib.suppress(TimeoutError):
            busy.wait_for(state="hidden", timeout=60_000)
        tab.wait_for_timeout(1_500)  # the first live picture
        tab.screenshot(path=file, full_page=not text)
        sys.stdout.write(f"{file}\n")
        context.close()

    return take


def main() -> None:
    """Servers, workers, flights, page, pictures; all but the servers are ended."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--events", type=int, default=20_000)
    asked.add_argument("--everything", type=Path, help="every view, too, at two sizes and themes")
    options = asked.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = started(Settings.load(), lambda text: None)
    prefix = f"shots-{datetime.now(UTC):%Y%m%d-%H%M%S}."
    settings = settings.model_copy(update={"riverrun_topic_prefix": prefix})
    loaded, told = load(CASE), queue.Queue[str]()
    crew = Workers(loaded, settings)
    asyncio.run(ensure(loaded.use_case, settings))
    crew.start(2)
    try:
        with page_beside(loaded, settings, told.put):
            event_id = asyncio.run(streamed(settings, options.events))
            pictures(told.get(timeout=60), event_id, options.everything)
    finally:
        crew.stop()


if __name__ == "__main__":
    main()
