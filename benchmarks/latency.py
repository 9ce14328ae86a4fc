"""Publish → committed prediction: median, 99 % and 99.9 % at idle, 800/s and 3,000/s.

    make bench-latency, or
    python -P -m benchmarks.latency [--rate N …] [--seconds N] [--workers N] [--use-case FILE]
        [--pace JSON]

Real flights and their arrivals on embedded servers: a worker answers, this process sends as a
Poisson stream and reads committed predictions. A latency runs from just before `send` to the
moment at which the reader has the record. All shares one machine, so the sender's and the reader's
work is in it. `--pace` replaces fields of streams.wiring.Pace.

The use case is a light one (light_flights.py: StandardScaler and OneHotEncoder into
LinearRegression, 7 features, intervals): what is measured is the way, not the model. `--use-case
flight_eta` has two models a segment, 18 features and reasons.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.servers import servers
from streams import topics
from streams.loading import load
from streams.settings import Settings
from usecases.data import nycflights

LIGHT = str(Path(__file__).with_name("light_flights.py"))
WARM_UP = 300  # events before any clock: models made, connections open
WARM_UP_S = 5.0  # then at the rate itself: the broker's JVM compiles what it is asked for


class Bench:
    """One run at one rate, on topics of its own."""

    def __init__(
        self, settings: Settings, pace: Mapping[str, float], workers: int, use_case: str
    ) -> None:
        prefix = f"latency{uuid.uuid4().hex[:6]}."
        self.settings = settings.model_copy(update={"riverrun_topic_prefix": prefix})
        self.file = use_case
        self.use_case = load(use_case).use_case
        self.names = topics.names_of(self.use_case, self.settings)
        self.pace = pace
        self.count = workers
        self.workers: list[subprocess.Popen[bytes]] = []
        self.sent: dict[bytes, float] = {}
        self.took: list[float] = []
        self._rows = self._recorded()
        self._keys: dict[str, bytes] = {}

    def start(self) -> None:
        """Start the workers."""
        environment = {**os.environ, **self.settings.environment()}
        command = [sys.executable, "-P", "-m", "benchmarks.latency", "--use-case", self.file]
        command += ["--worker", json.dumps(dict(self.pace))]
        for _ in range(self.count):
            worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            self.workers.append(worker)

    def stop(self) -> None:
        """End them."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)

    def cpu_s(self) -> float:
        """CPU seconds of the workers so far."""
        spent = 0
        for worker in self.workers:
            text = Path(f"/proc/{worker.pid}/stat").read_text("utf-8")
            fields = text.rsplit(")", 1)[1].split()
            spent += int(fields[11]) + int(fields[12])
        return spent / os.sysconf("SC_CLK_TCK")

    async def run(self, rate: float, seconds: float) -> str:
        """One row of the table."""
        await topics.ensure(self.use_case, self.settings)
        client = self.settings.kafka_client()
        consumer = AIOKafkaConsumer(
            **client, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        producer = AIOKafkaProducer(**client, acks="all", linger_ms=0)
        await consumer.start()
        await producer.start()
        consumer.assign(
            [TopicPartition(self.names["predictions"], n) for n in range(self.use_case.partitions)]
        )
        self.start()
        reading = asyncio.create_task(self._read(consumer))
        try:
            await self._warm_up(producer, rate)
            return await self._measure(producer, rate, seconds)
        finally:
            reading.cancel()
            await producer.stop()
            await consumer.stop()
            await asyncio.to_thread(self.stop)

    async def _warm_up(self, producer: Any, rate: float) -> None:
        await self._send(producer, WARM_UP)
        await self._answered(WARM_UP)
        await asyncio.sleep(1)
        await self._answered(WARM_UP + await self._stream(producer, rate, WARM_UP_S))

    async def _answered(self, count: int) -> None:
        async with asyncio.timeout(90):
            while len(self.took) < count:  # noqa: ASYNC110 - not within the clock
                await asyncio.sleep(0.05)

    async def _stream(self, producer: Any, rate: float, seconds: float) -> int:
        """Send a Poisson stream; gives how many events."""
        began = at = time.perf_counter()
        count = 0
        while at < began + seconds:
            at += random.expovariate(rate)
            if (left := at - time.perf_counter()) > 0.0005:
                await asyncio.sleep(left)
            count += 1
            await self._send(producer, 1)
        return count

    async def _measure(self, producer: Any, rate: float, seconds: float) -> str:
        self.took.clear()
        cpu, began = self.cpu_s(), time.perf_counter()
        count = await self._stream(producer, rate, seconds)
        took_s = time.perf_counter() - began
        cpu = (self.cpu_s() - cpu) / took_s
        await self._answered(count)
        cut = quantiles(self.took, n=1_000)
        return (
            f"{rate:>8,.0f}{count / took_s:>12,.0f}{cut[499] * 1e3:>12.1f}{cut[989] * 1e3:>12.1f}"
            f"{cut[998] * 1e3:>12.1f}{max(self.took) * 1e3:>12.0f}{cpu * 100:>14.0f} %"
        )

    async def _read(self, consumer: Any) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                now = time.perf_counter()
                for record in records:
                    name = next(value for key, value in record.headers if key == "ce_id")
                    self.took.append(now - self.sent[bytes(name)])

    async def _send(self, producer: Any, events: int) -> None:
        """So many events, and the outcomes that became known before each."""
        while events:
            kind, fields = next(self._rows)
            name = fields["event_id"]
            if kind == "event":
                events -= 1
                self._keys[name] = fields[self.use_case.key].encode()
                self.sent[name.encode()] = time.perf_counter()
            topic = self.names["events" if kind == "event" else "outcomes"]
            await producer.send(topic, orjson.dumps(fields), key=self._keys[name])

    def _recorded(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return iter(nycflights.flights())


def worker(use_case: str, pace: Mapping[str, Any]) -> int:
    """A worker as `riverrun worker` starts it, perhaps at another pace."""
    import streams.worker
    from streams.operating import operate, prepare
    from streams.wiring import Pace

    if pace:
        paced: Any = lambda: Pace(**pace)  # noqa: E731 - in a class's place
        vars(streams.worker)["Pace"] = paced
    loaded, settings = load(use_case), Settings.load()
    return operate(loaded, settings, partitions=prepare(loaded, settings))


async def bench(settings: Settings, given: argparse.Namespace) -> None:
    """The table."""
    heads = ("events/s", "median ms", "99 % ms", "99.9 % ms", "worst ms")
    print(f"{'aimed/s':>8}" + "".join(f"{head:>12}" for head in heads) + f"{'worker CPU':>16}")
    for rate in given.rate or [10, 800, 3_000]:
        seconds = max(given.seconds, 200 / rate)
        one = Bench(settings, given.pace, given.workers, given.use_case)
        print(await one.run(rate, seconds), flush=True)


def main() -> int:
    """Measure, or be a worker."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--use-case", default=LIGHT, help="a file, or flight_eta")
    parser.add_argument("--pace", type=json.loads, default={})
    parser.add_argument("--home", type=Path, help="a folder whose embedded servers are used")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        return worker(given.use_case, given.worker)
    with tempfile.TemporaryDirectory(prefix="riverrun-latency-") as folder:
        home = given.home or Path(folder)
        with servers(home, purge=given.home is None) as endpoints:
            settings = Settings.load(riverrun_home=home)
            settings = settings.at(endpoints.bootstrap_servers, endpoints.redis_url)
            asyncio.run(bench(settings, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
