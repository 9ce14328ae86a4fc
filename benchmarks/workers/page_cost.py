"""What an open page costs the workers: events a second with it and without it, in turn.

    python -P -m benchmarks.workers.page_cost [--events N] [--rounds N] [--workers N]

Flights are published first; then workers answer and learn all of them as fast as they can: alone,
beside `riverrun ops` at which nobody looks (the monitor works in it), and with two views open, the
overview and the use case, read as a browser reads them. The browser itself is elsewhere, as it
would be. All shares one machine: with as many workers as cores, what the page needs the workers
lose.
Counted is from the tenth part of the predictions to the ninth, by their times on the topic. Runs
differ by more than the page costs on a small machine, so the CPU of `riverrun ops` is printed, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import monotonic

import psutil

from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.demo.loop import Workers
from streams.embedded.server_discovery import started
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.topics.topic_admin import ensure, names_of
from streams.web.state.subprocess_queries import environment
from usecases.data import nycflights

WAIT_S_MAX = 240.0
ALONE, MONITOR, OPEN = "alone", "beside the monitor", "with the page open"


async def published(loaded: LoadedUseCase, settings: Settings, events: int) -> None:
    """So many flights and their arrivals on fresh topics."""
    await ensure(loaded.use_case, settings)
    sender = OrderedProducer(loaded.use_case, settings, names_of(loaded.use_case, settings))
    await sender.run(nycflights.flights(limit=events))


async def answered(loaded: LoadedUseCase, settings: Settings, events: int) -> float:
    """Events a second, once all are answered."""
    topic = names_of(loaded.use_case, settings)["predictions"]
    async with TopicReader([topic], settings) as reader, asyncio.timeout(WAIT_S_MAX):
        while True:  # a look a second, so that the count costs nothing
            await asyncio.sleep(1)
            if sum(end for _, end in (await reader.bounds()).values()) < events:
                continue
            times = [
                r.timestamp / 1000 for p in reader.topic_partitions async for r in reader.records(p)
            ]
            if len(times) >= events:
                break
    times.sort()
    first, last = len(times) // 10, len(times) * 9 // 10
    return (last - first) / (times[last] - times[first])


@contextmanager
def page(
    loaded: LoadedUseCase, settings: Settings, views: Sequence[str]
) -> Iterator[dict[str, int]]:
    """The page with those views open; what each sent, in bytes."""
    command = [sys.executable, "-P", "-m", "streams.cli", "ops", str(loaded.path), "--json"]
    process = subprocess.Popen(
        [*command, "--port", "0"], env=environment(settings), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["address"]
    read: dict[str, int] = {}

    def look(path: str) -> None:
        with urllib.request.urlopen(f"{address}live/{path}", timeout=60) as stream:
            try:
                for line in stream:
                    read[path] = read.get(path, 0) + len(line)
            except OSError:
                return

    for path in views:
        threading.Thread(target=look, args=(path,), daemon=True).start()
    ops, began = psutil.Process(process.pid), monotonic()
    before = sum(ops.cpu_times()[:2])
    try:
        yield read
    finally:
        share = (sum(ops.cpu_times()[:2]) - before) / (monotonic() - began)
        print(f"  riverrun ops: {share:.1%} of a core")
        process.terminate()
        process.wait(20)


def run(loaded: LoadedUseCase, settings: Settings, events: int, workers: int, beside: str) -> float:
    """One run on topics of its own."""
    prefix = f"page-{uuid.uuid4().hex[:6]}."
    settings = settings.model_copy(update={"riverrun_topic_prefix": prefix})
    asyncio.run(published(loaded, settings, events))
    crew = Workers(loaded, settings)

    def measured() -> float:
        crew.start(workers)
        try:
            return asyncio.run(answered(loaded, settings, events))
        finally:
            crew.stop()

    if beside == ALONE:
        return measured()
    views = ("", loaded.use_case.name) if beside == OPEN else ()
    with page(loaded, settings, views) as read:
        rate = measured()
    for path, count in sorted(read.items()):
        print(f"  /{path}: {count / 1024:,.0f} KiB sent")
    return rate


def main() -> None:
    """Print each run, and what the page costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    settings, loaded = started(Settings.load(), lambda _: None), load("flight_eta")
    rates: dict[str, list[float]] = {ALONE: [], MONITOR: [], OPEN: []}
    for number in range(options.rounds):
        order = [*rates]
        for beside in order[number % 3 :] + order[: number % 3]:
            rate = run(loaded, settings, options.events, options.workers, beside)
            rates[beside].append(rate)
            print(f"{beside}: {rate:,.0f} events/s", flush=True)
    alone, monitor, page_open = (median(rates[beside]) for beside in rates)
    print(f"medians: {alone:,.0f}, {monitor:,.0f} and {page_open:,.0f} events/s")
    print(
        f"the monitor costs {1 - monitor / alone:.1%}, an open page {1 - page_open / monitor:.1%}"
    )


if __name__ == "__main__":
    main()
