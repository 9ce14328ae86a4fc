"""What many small use cases take in memory when one `riverrun worker` runs them all.

    python -P -m benchmarks.workers.many_use_cases --count 20 --events 200

Starts the embedded servers in a folder of its own, writes so many copies of a small use case, runs
one worker for all of them, sends each some events with outcomes, and waits until all are answered.
Then it adds up the proportional set size (Linux, `smaps_rollup`) of the parent and its processes:
a page that n of them share counts for 1/n in each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types

from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded import Stack
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.telemetry.log_format import quieten_client
from streams.topics import topic_admin
from tests.support.loop import SOURCE, parcels

MEGABYTE = 2**20
TIMEOUT_S = 600.0


def proportional_set_size(pid: int) -> int:
    """Return the bytes of a process, shared pages in equal parts to all that share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss of {pid}")


def written(folder: Path, count: int) -> list[LoadedUseCase]:
    """Write the use cases and load them."""
    loaded = []
    for n in range(count):
        name = f"parcels{n:02}"
        source = SOURCE.replace('name="parcels"', f'name="{name}"')
        file = folder / f"{name}.py"
        file.write_text(source)
        loaded.append(load(str(file)))
    return loaded


async def fed(loaded: LoadedUseCase, settings: Settings, events: int) -> None:
    """Send a use case its records, and wait until all are answered."""
    names = topic_admin.names_of(loaded.use_case, settings)
    sender = OrderedProducer(loaded.use_case, settings, names)
    rows = parcels(events)
    for kind, fields in rows:
        if kind == "event":
            sender._keys[str(fields["event_id"])] = str(fields["depot"]).encode()
    await sender.run(rows)
    deadline, answered = time.monotonic() + TIMEOUT_S, 0
    while answered < events:
        async with TopicReader([names["predictions"]], settings) as reader:
            answered = 0
            for tp in reader.topic_partitions:
                async for _ in reader.records(tp):
                    answered += 1
        if time.monotonic() > deadline:
            raise TimeoutError(f"{answered} of {events} answers of {loaded.use_case.name}")
        await asyncio.sleep(1.0)


def measured(count: int, events: int, settings: Settings, folder: Path) -> None:
    """Run the worker and print what it takes."""
    use_cases = written(folder, count)
    log = folder / "worker.log"
    command = [sys.executable, "-P", "-m", "streams.cli", "worker"]
    environment = {**os.environ, **settings.environment()}
    with log.open("wb") as out:
        files = [str(one.path) for one in use_cases]
        worker = subprocess.Popen([*command, *files], env=environment, stdout=out, stderr=out)
    try:
        for one in use_cases:
            while not asyncio.run(exists(one, settings)):
                if worker.poll() is not None:
                    raise SystemExit(log.read_text()[-3_000:])
                time.sleep(0.5)
        for one in use_cases:
            asyncio.run(fed(one, settings, events))
        parent = psutil.Process(worker.pid)
        children = parent.children()  # theirs write snapshots, and are gone within moments
        sizes = {p.pid: proportional_set_size(p.pid) for p in (parent, *children)}
    finally:
        worker.terminate()
        worker.wait(60)
    own = sorted(size for pid, size in sizes.items() if pid != worker.pid)
    print(f"use cases          {count}")
    print(f"events of each     {events}")
    print(f"processes          {len(sizes)}")
    print(f"parent             {sizes[worker.pid] / MEGABYTE:.0f} MB")
    print(f"each, in the mid   {own[len(own) // 2] / MEGABYTE:.1f} MB")
    print(f"all together       {sum(sizes.values()) / MEGABYTE:.0f} MB (proportional set size)")


async def exists(loaded: LoadedUseCase, settings: Settings) -> bool:
    """Return whether the worker has made the use case's topics."""
    names = topic_admin.names_of(loaded.use_case, settings)
    try:
        async with TopicReader([names["predictions"]], settings) as reader:
            return bool(reader.of(names["predictions"]))
    except Exception:  # not yet
        return False


def main() -> None:
    """Measure."""
    quieten_client()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--events", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="riverrun-many-") as name:
        folder = Path(name)
        stack = Stack(folder / "home")
        try:
            servers = stack.up()
            settings = Settings(
                kafka_bootstrap_servers=None,
                redis_url=None,
                riverrun_home=folder / "home",
                _env_file=None,
            ).at(servers.bootstrap_servers, servers.redis_url, servers.kafka_password)
            measured(options.count, options.events, settings, folder)
        finally:
            stack.down(purge=True)


if __name__ == "__main__":
    main()
