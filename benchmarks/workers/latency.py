"""Publish → committed prediction: median, 99 % and 99.9 % at idle, 800/s and 3,000/s.

    make bench-latency, or
    python -P -m benchmarks.workers.latency [--rate N …] [--seconds N] [--workers N]
        [--use-case FILE] [--pace JSON]

Real flights and their arrivals on embedded servers: a worker answers, this process sends as a
Poisson stream and reads committed predictions. A latency runs from just before an event is sent to
the moment at which the reader has its prediction. All shares one machine, so the sender's and the
reader's work is in it; both are librdkafka. `--pace` replaces fields of
streams.partition.wiring.Pace.

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
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from benchmarks.servers import servers
from streams.config.settings import Settings
from streams.config.use_case_loader import load
from streams.topics import topic_admin
from usecases.data import nycflights

LIGHT = str(Path(__file__).parents[1] / "light_flights.py")
WARM_UP = 300  # events before any clock: models made, connections open
WARM_UP_S = 5.0  # then at the rate itself: the broker's JVM compiles what it is asked for
ANSWERED_S_MAX = 90.0


class Bench:
    """One run at one rate, on topics of its own."""

    def __init__(
        self, settings: Settings, pace: Mapping[str, float], workers: int, use_case: str
    ) -> None:
        prefix = f"latency{uuid.uuid4().hex[:6]}."
        self.settings = settings.model_copy(update={"riverrun_topic_prefix": prefix})
        self.file = use_case
        self.use_case = load(use_case).use_case
        self.names = topic_admin.names_of(self.use_case, self.settings)
        self.pace = dict(pace)
        self.count = workers
        self.workers: list[subprocess.Popen[bytes]] = []
        self.sent: dict[bytes, float] = {}
        self.took: list[float] = []
        self._rows = self._recorded()
        self._keys: dict[str, bytes] = {}
        client = {"bootstrap.servers": self.settings.kafka_bootstrap_servers}
        # librdkafka's own partitioner is another one than Kafka's.
        sender = {"acks": "all", "linger.ms": 1, "partitioner": "murmur2_random"}
        self._producer = Producer({**client, **sender})
        reader = {"isolation.level": "read_committed", "group.id": prefix}
        self._consumer = Consumer({**client, **reader})
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the workers."""
        self.workers = [self.launch() for _ in range(self.count)]

    def launch(self, health_port: int | None = None) -> subprocess.Popen[bytes]:
        """Start one worker."""
        asked = {"pace": self.pace, "health_port": health_port}
        command = [sys.executable, "-P", "-m", "benchmarks.workers.latency"]
        command += ["--use-case", self.file, "--worker", json.dumps(asked)]
        environment = {**os.environ, **self.settings.environment()}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """End them."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(20)

    def cpu_s(self) -> float:
        """CPU seconds of the workers so far."""
        return sum(self.cpus_s())

    def cpus_s(self) -> list[float]:
        """CPU seconds of each worker so far."""
        stats = [Path(f"/proc/{worker.pid}/stat").read_text("utf-8") for worker in self.workers]
        fields = [stat.rsplit(")", 1)[1].split() for stat in stats]
        return [(int(of[11]) + int(of[12])) / os.sysconf("SC_CLK_TCK") for of in fields]

    def run(self, rate: float, seconds: float) -> str:
        """One row of the table."""
        asyncio.run(topic_admin.ensure(self.use_case, self.settings))
        self._consumer.assign(
            [
                TopicPartition(self.names["predictions"], number, 0)
                for number in range(self.use_case.partitions)
            ]
        )
        reading = threading.Thread(target=self._read)
        reading.start()
        self.start()
        try:
            self._warm_up(rate)
            return self._measure(rate, seconds)
        finally:
            self._ended.set()
            reading.join()
            self._consumer.close()
            self._producer.flush(5)
            self.stop()

    def _warm_up(self, rate: float) -> None:
        self._send(WARM_UP)
        self._answered(WARM_UP)
        time.sleep(1)
        self._answered(WARM_UP + self._stream(rate, WARM_UP_S))

    def _answered(self, count: int) -> None:
        deadline = time.monotonic() + ANSWERED_S_MAX
        while len(self.took) < count:
            if time.monotonic() > deadline:
                sys.exit(f"only {len(self.took)} of {count} events were answered; see above")
            time.sleep(0.05)

    def _stream(self, rate: float, seconds: float) -> int:
        """Send a Poisson stream; gives how many events."""
        began = at = time.perf_counter()
        count = 0
        while at < began + seconds:
            at += random.expovariate(rate)
            if (left := at - time.perf_counter()) > 0.0005:
                time.sleep(left)
            count += 1
            self._send(1)
        return count

    def _measure(self, rate: float, seconds: float) -> str:
        self.took.clear()
        cpu, began = self.cpu_s(), time.perf_counter()
        count = self._stream(rate, seconds)
        took_s = time.perf_counter() - began
        cpu = (self.cpu_s() - cpu) / took_s
        self._answered(count)
        cut = quantiles(self.took, n=1_000)
        return (
            f"{rate:>8,.0f}{count / took_s:>12,.0f}{cut[499] * 1e3:>12.1f}{cut[989] * 1e3:>12.1f}"
            f"{cut[998] * 1e3:>12.1f}{max(self.took) * 1e3:>12.0f}{cpu * 100:>14.0f} %"
        )

    def _read(self) -> None:
        while not self._ended.is_set():
            record = self._consumer.poll(0.1)
            if record is None:
                continue
            now = time.perf_counter()
            if record.error():
                raise KafkaException(record.error())
            name = next(value for key, value in record.headers() or [] if key == "ce_id")
            self.took.append(now - self.sent[bytes(name)])

    def _send(self, events: int) -> None:
        """So many events, and the outcomes that became known before each."""
        while events:
            kind, fields = next(self._rows)
            name = fields["event_id"]
            if kind == "event":
                events -= 1
                self._keys[name] = fields[self.use_case.key].encode()
                self.sent[name.encode()] = time.perf_counter()
            topic = self.names["events" if kind == "event" else "outcomes"]
            self._producer.produce(topic, orjson.dumps(fields), self._keys[name])
            self._producer.poll(0)

    def _recorded(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return iter(nycflights.flights())


def worker(use_case: str, pace: Mapping[str, Any], health_port: int | None) -> int:
    """A worker as `riverrun worker` starts it, perhaps at another pace."""
    import streams.worker.worker_process
    from streams.partition.pace import Pace
    from streams.worker.launch import operate, prepare

    if pace:
        paced: Any = lambda: Pace(**pace)  # noqa: E731 - in a class's place
        vars(streams.worker.worker_process)["Pace"] = paced
    loaded, settings = load(use_case), Settings.load()
    partitions = prepare(loaded, settings)
    return operate(loaded, settings, partitions=partitions, health_port=health_port)


def bench(settings: Settings, options: argparse.Namespace) -> None:
    """The table."""
    heads = ("events/s", "median ms", "99 % ms", "99.9 % ms", "worst ms")
    print(f"{'aimed/s':>8}" + "".join(f"{head:>12}" for head in heads) + f"{'worker CPU':>16}")
    for rate in options.rate or [10, 800, 3_000]:
        seconds = max(options.seconds, 200 / rate)
        one = Bench(settings, options.pace, options.workers, options.use_case)
        print(one.run(rate, seconds), flush=True)


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
    options = parser.parse_args()
    if options.worker is not None:
        return worker(options.use_case, **options.worker)
    with tempfile.TemporaryDirectory(prefix="riverrun-latency-") as folder:
        home = options.home or Path(folder)
        with servers(home, purge=options.home is None) as endpoints:
            settings = Settings.load(riverrun_home=home)
            settings = settings.at(
                endpoints.bootstrap_servers, endpoints.redis_url, endpoints.kafka_password
            )
            bench(settings, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
