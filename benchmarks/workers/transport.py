"""What flows costs, without a model: records/s, CPU an event, latency idle and under load.

    python -P benchmarks/workers/transport.py BOOTSTRAP_SERVERS [--events N]
        [--partitions N] [--rate N]

One worker process with a ledger for a task (tests/support/ledger/ledger.py): three outputs an
event, one an outcome, journal, exactly once. CPU is the worker's own, from its start-up to the
last commit, less what starting costs. Latency is publish → committed prediction read by another
process.
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
import time
import uuid
from pathlib import Path
from statistics import quantiles
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

WORKER = Path(__file__).parents[2] / "tests/support/ledger/ledger_worker.py"
KINDS = [
    "events",
    "outcomes",
    "commands",
    "features",
    "predictions",
    "examples",
    "drift",
    "metrics",
    "journal",
]


class Bench:
    """One run's topics, worker and counters."""

    def __init__(self, servers: str, partitions: int) -> None:
        self.servers = servers
        self.partitions = partitions
        self.group = f"bench-{uuid.uuid4().hex[:8]}"
        self.topics = {kind: f"{self.group}.{kind}" for kind in KINDS}
        self.worker: subprocess.Popen[bytes] | None = None

    async def make_topics(self) -> None:
        """Create them."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        await admin.create_topics(
            [NewTopic(name, self.partitions, 1) for name in self.topics.values()]
        )
        await admin.close()

    def start_worker(self, **pace: float) -> None:
        """Start the one worker."""
        settings = {
            "bootstrap_servers": self.servers,
            "group": self.group,
            "topics": self.topics,
            "log": "WARNING",
            "pace": pace,
        }
        self.worker = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), json.dumps(settings)],
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )

    def stop_worker(self) -> float:
        """SIGTERM; gives the seconds that it took."""
        assert self.worker is not None
        began = time.perf_counter()
        self.worker.send_signal(signal.SIGTERM)
        assert self.worker.wait() == 0
        return time.perf_counter() - began

    def cpu_s(self) -> float:
        """CPU seconds of the worker so far."""
        assert self.worker is not None
        fields = Path(f"/proc/{self.worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def reader(self) -> AIOKafkaConsumer:
        """A consumer of committed predictions, from the beginning."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 << 20,
            check_crcs=False,
        )
        await consumer.start()
        consumer.assign(
            [TopicPartition(self.topics["predictions"], n) for n in range(self.partitions)]
        )
        return consumer

    async def publish(self, count: int, first: int = 0) -> None:
        """Events of 150 bytes and an outcome for every second of them, as fast as it goes."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.servers, linger_ms=20, max_batch_size=256 << 10
        )
        await producer.start()
        for i in range(first, first + count):
            n = i % self.partitions
            body = json.dumps({"t": i, "id": f"e{i}", "pad": "x" * 100}).encode()
            await producer.send(self.topics["events"], body, key=b"%d" % n, partition=n)
            if i % 2:
                late = json.dumps({"t": i + 0.5, "id": f"e{i}"}).encode()
                await producer.send(self.topics["outcomes"], late, key=b"%d" % n, partition=n)
        await producer.stop()


async def throughput(bench: Bench, events: int, **pace: float) -> None:
    """Drain a backlog."""
    await bench.make_topics()
    await bench.publish(events)
    consumer = await bench.reader()
    bench.start_worker(**pace)
    seen, first_at, cpu_at_first = 0, 0.0, 0.0
    while seen < events:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            seen += len(records)
        if seen and not first_at:
            first_at, cpu_at_first, seen_first = time.perf_counter(), bench.cpu_s(), seen
    took, cpu = time.perf_counter() - first_at, bench.cpu_s() - cpu_at_first
    rest = events - seen_first
    await consumer.stop()
    print(
        f"backlog of {events} events, {bench.partitions} partitions: {rest / took:,.0f} events/s, "
        f"{cpu / rest * 1e6:.1f} µs CPU an event (1.5 records in, 3.5 out); "
        f"stopped in {bench.stop_worker():.1f} s"
    )


async def latency(bench: Bench, rate: float, seconds: float, **pace: float) -> None:
    """Publish at a rate (Poisson) and time each answer."""
    await bench.make_topics()
    consumer = await bench.reader()
    bench.start_worker(**pace)
    producer = AIOKafkaProducer(bootstrap_servers=bench.servers)
    await producer.start()
    sent: list[float] = []
    took: list[float] = []
    started, done = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        while not done.is_set() or len(took) < len(sent):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                now = time.perf_counter()
                started.set()
                took.extend(now - sent[int(record.key)] for record in records)

    reading = asyncio.create_task(read())
    await _one(bench, producer, sent, 0)
    await asyncio.wait_for(started.wait(), 60)
    await asyncio.sleep(1)
    cpu, began = bench.cpu_s(), time.perf_counter()
    at = began
    while at < began + seconds:
        at += random.expovariate(rate)
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        await _one(bench, producer, sent, len(sent))
    cpu = (bench.cpu_s() - cpu) / (time.perf_counter() - began)
    done.set()
    await asyncio.wait_for(reading, 60)
    took = sorted(took[1:])  # the first one waited for the worker to start
    cut = quantiles(took, n=100)
    print(
        f"{rate:g} events/s for {seconds:g} s, {bench.partitions} partitions: "
        f"median {cut[49] * 1e3:.1f} ms, 99 % {cut[98] * 1e3:.1f} ms, worst "
        f"{took[-1] * 1e3:.0f} ms; {cpu * 100:.0f} % of a CPU"
    )
    await producer.stop()
    await consumer.stop()
    bench.stop_worker()


async def _one(bench: Bench, producer: Any, sent: list[float], i: int) -> None:
    sent.append(time.perf_counter())
    body = json.dumps({"t": i, "id": f"e{i}", "pad": "x" * 100}).encode()
    await producer.send(bench.topics["events"], body, key=b"%d" % i, partition=i % bench.partitions)


async def main() -> None:
    """All three."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bootstrap_servers")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--pace", type=json.loads, default={})
    options = parser.parse_args()

    def bench() -> Bench:
        return Bench(options.bootstrap_servers, options.partitions)

    if options.events:
        await throughput(bench(), options.events, **options.pace)
    for rate in options.rate or [10, 800, 3_000]:
        await latency(bench(), rate, options.seconds, **options.pace)


if __name__ == "__main__":
    asyncio.run(main())
