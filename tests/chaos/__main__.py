"""`python -P -m tests.chaos --events N --faults N --seed S`: a table, exit code 1 if not exact."""

# ruff: noqa: T201 - it prints its table.

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.embedded import Stack
from streams.topics import topic_admin
from tests.chaos.crew import Crew
from tests.chaos.faults import Faults, Struck
from tests.chaos.folding import USE_CASE, differing
from tests.chaos.proxy import Proxies
from tests.chaos.publisher import Publisher
from tests.chaos.reasons import lines_of, reason
from tests.chaos.verifier import Found, records, verify

WORKERS = 3
CALM_S = 3.0
STARTED_S_MAX = 240.0
DRAIN_S_MAX = 180.0
KILLED_S_MAX = 10.0
STALL_S = 30.0


def arguments() -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--faults", type=int, default=10)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between faults, at most")
    parser.add_argument("--rest", type=float, default=8.0, help="age of workers that are struck")
    parser.add_argument("--stall", type=float, default=STALL_S, help="longest silence allowed, s")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--only", nargs="*", help="only these kinds of faults")
    parser.add_argument("--archive", type=float, help="snapshots in an archive, every so many s")
    parser.add_argument("--logs", type=Path, help="keep the workers' logs there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shared", action="store_true", help="one model learns from all")
    return parser.parse_args()


async def run(options: argparse.Namespace, folder: Path) -> int:
    """Start everything, do it harm, and verify."""
    proxies = Proxies(options.brokers)
    stack = Stack(folder / "servers", options.brokers, await proxies.start())
    endpoints = await asyncio.to_thread(stack.up)
    prefix = f"chaos{uuid.uuid4().hex[:6]}."
    settings = Settings(riverrun_home=folder / "servers", riverrun_topic_prefix=prefix).at(
        endpoints.bootstrap_servers, endpoints.redis_url, endpoints.kafka_password
    )
    file = folder / "shipments.py"
    source = USE_CASE.read_text()
    if options.shared:
        source = source.replace('learning="partition"', 'learning="shared"')
    file.write_text(source)
    loaded = load(str(file))
    await topic_admin.ensure(loaded.use_case, settings)
    names = topic_admin.names_of(loaded.use_case, settings)
    client = settings.kafka_client()
    logs = options.logs or folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    # What the proxies stand before asks for no password.
    behind = Settings(riverrun_home=folder / "servers", riverrun_topic_prefix=prefix)
    environment = behind.at(*proxies.before(endpoints)).environment()
    if options.archive is not None:
        environment["RIVERRUN_ARCHIVE"] = f"file://{folder / 'archive'}"
        environment["RIVERRUN_ARCHIVE_INTERVAL_S"] = str(options.archive)
    crew = Crew(environment, logs, file)
    rng = random.Random(options.seed)
    faults = Faults(stack, crew, proxies, rng, brokers=options.brokers, shared=options.shared)
    if options.only:
        faults.kinds = {kind: faults.kinds[kind] for kind in options.only}
    supervising, begun = asyncio.create_task(crew.supervise()), monotonic()
    try:
        publisher = Publisher(client, names, options.rate, options.seed)
        took = await harm(options, crew, faults, publisher, client, names)
        drained_s = await drained(client, names, publisher.sent)
        supervising.cancel()
        await asyncio.to_thread(crew.stop)
        tally = await verify(client, names)
        print(f"{monotonic() - begun:6.1f} s  all is read, and folded again", file=sys.stderr)
        differ = await differing(settings, names, tally.digests, loaded)
        print(f"{monotonic() - begun:6.1f} s  folded", file=sys.stderr)
    finally:
        supervising.cancel()
        await asyncio.to_thread(crew.stop)
        await proxies.close()
        await asyncio.to_thread(stack.down, True)
    good = report(faults.struck, tally, differ, crew, drained_s, took, options.stall)
    if not good:
        print(crew.log_tails(), file=sys.stderr)
    return 0 if good else 1


async def harm(
    options: argparse.Namespace,
    crew: Crew,
    faults: Faults,
    publisher: Publisher,
    client: Mapping[str, Any],
    names: Mapping[str, str],
) -> float:
    """Publish, and meanwhile strike; gives the seconds that it took."""
    for n in range(WORKERS):
        crew.start(f"worker{n}")
    began = monotonic()
    over = asyncio.Event()
    publishing = asyncio.create_task(publisher.run(options.events, over))
    await answering(client, names)
    await asyncio.sleep(CALM_S)
    for number, kind in enumerate(faults.plan(options.faults, options.kills), 1):
        await crew.rested(options.rest, 2 * options.rest)
        at = monotonic() - began
        await faults.strike(kind)
        struck = faults.struck[-1]
        text = f"{at:6.1f} s  fault {number}: {kind} ({struck.whom})"
        print(text, file=sys.stderr, flush=True)
        await asyncio.sleep(faults.rng.uniform(options.pause / 2, options.pause))
    over.set()
    await publishing
    return monotonic() - began


async def answering(client: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Wait until every partition answers."""
    count = load(str(USE_CASE)).use_case.partitions
    async with asyncio.timeout(STARTED_S_MAX):
        places: set[int] = set()
        since: dict[Any, int] = {}
        while len(places) < count:
            published = records(client, names["predictions"], since)
            places |= {record.partition async for record in published}
            await asyncio.sleep(0.2)


async def drained(client: Mapping[str, Any], names: Mapping[str, str], events: int) -> float | None:
    """Wait until every event has a prediction and an example; None: they do not come."""
    began = monotonic()
    for kind in ("predictions", "examples"):
        ids: set[bytes] = set()
        since: dict[Any, int] = {}
        while len(ids) < events:
            # Only what is new: this takes processors from the workers that are waited for.
            ids |= {bytes(_id(record)) async for record in records(client, names[kind], since)}
            if monotonic() - began > DRAIN_S_MAX:
                return None
            await asyncio.sleep(1)
    return monotonic() - began


def _id(record: Any) -> bytes:
    return next((value for name, value in record.headers if name == "ce_id"), b"")


def report(
    struck: list[Struck],
    tally: Found,
    differ: list[str],
    crew: Crew,
    drained_s: float | None,
    took: float,
    stall_s: float,
) -> bool:
    """Print the table; True if everything is as promised."""
    silences = tally.silences()
    print(f"{'at':>7}  {'fault':<26}{'whom':<34}{'longest silence':>16}  partitions above 1 s")
    start = struck[0].began if struck else 0.0
    worst_kill = 0.0
    for at, one in enumerate(struck):
        until = struck[at + 1].began if at + 1 < len(struck) else one.ended + 60
        overlapping = [(gap, n) for began, gap, n in silences if one.began - 1 <= began < until]
        worst = max((gap for gap, _ in overlapping), default=0.0)
        if one.kind.startswith("kill"):
            worst_kill = max(worst_kill, worst)
        places = len({n for _, n in overlapping})
        print(f"{one.began - start:6.1f}s  {one.kind:<26}{one.whom:<34}{worst:>14.1f} s  {places}")
    stall = max((gap for _, gap, _ in silences), default=0.0)
    bugs = {code: count for code, count in crew.exits.items() if code in (70, 78)}
    rows = [
        ("events", f"{tally.events:,}"),
        ("outcomes", f"{tally.outcomes:,}"),
        ("seconds", f"{took:.0f}"),
        ("faults", str(len(struck))),
        ("kill -9", str(crew.kills)),
        ("exits by themselves, code: count", str(dict(crew.exits))),
        ("drained after the last event", "never" if drained_s is None else f"{drained_s:.1f} s"),
        ("duplicates", str(tally.duplicates)),
        ("lost", str(tally.lost)),
        ("wrong", str(tally.wrong)),
        ("identical to a fresh fold", "yes" if not differ else "NO: " + "; ".join(differ[:5])),
        ("longest silence after a kill -9", f"{worst_kill:.1f} s (target {KILLED_S_MAX:.0f})"),
        ("longest silence of all", f"{stall:.1f} s (a stall is {stall_s:.0f})"),
    ]
    for name, value in rows:
        print(f"{name:<34}{value}")
    print_reasons(tally, crew, start)
    for text in tally.examples_of_wrong:
        print(f"  {text}")
    exact = not (tally.duplicates or tally.lost or tally.wrong or differ)
    return exact and drained_s is not None and stall < stall_s and not bugs


def print_reasons(tally: Found, crew: Crew, start: float) -> None:
    """What each silence above the target for a kill went to."""
    lines = lines_of(crew.folder)
    for began, gap, n in sorted(tally.silences()):
        if gap > KILLED_S_MAX:
            why = reason(lines, n, began, gap)
            print(f"{began - start:6.1f}s  partition {n} silent for {gap:.1f} s: {why}")


def main() -> int:
    """Run in a folder of its own."""
    options = arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it says so at each retry
    with tempfile.TemporaryDirectory(prefix="riverrun-chaos-") as folder:
        return asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the fold must sum as the workers did
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-P", "-m", "tests.chaos", *sys.argv[1:]])
    sys.exit(main())
