"""What one model for all partitions costs, and how soon an outcome has reached each of them.

    python -P -m benchmarks.workers.shared_learning learner|freshness|throughput

`learner`: CPU of the learner alone, from an example's bytes to versions packed and signed, with one
model, without Kafka. `freshness`: live, at 1,000 events/s on 4 partitions, of each prediction that
is read, how long before the oldest outcome was sent that its model had not learnt: so long it took
at most to reach the partition's model. `throughput`: a backlog on embedded servers with 1 to 64
partitions, own and shared models, by one and by two processes. All share one machine, so the
broker's work and the sender's are in events/s and not in CPU; "a core each" is what the busiest
process would answer if nothing but CPU held it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from numbers import Number
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

import orjson
from confluent_kafka import KafkaException
from river import compose, forest, tree

from benchmarks.peers.flights_models import MODELS
from benchmarks.riverrun_flights import RIVERRUN_FLIGHTS
from benchmarks.servers import servers
from benchmarks.workers.latency import LIGHT, WARM_UP, Bench
from models.inputs.decoder import PlainRecord
from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from streams.config.settings import Settings
from streams.embedded.free_ports import LOOPBACK, free_ports
from streams.snapshots.version_transfer import packer
from streams.topics import topic_admin
from usecases.data import nycflights

PARTITIONS = (1, 4, 16, 64)


def numbers() -> Any:
    """Return what keeps the numbers among the features: leaves with linear models take no words."""
    return compose.SelectType(Number)


FAMILIES: Mapping[str, Any] = {
    "linear (Adam)": MODELS["adam"],
    "Hoeffding tree": lambda: numbers() | tree.HoeffdingTreeRegressor(grace_period=200),
    "forest of 10": lambda: numbers() | forest.ARFRegressor(n_models=10, seed=1),
}
ALL_S_MAX = 300.0
RATES = (10, 100, 1_000)
"""Outcomes a second."""


# The learner alone.


def rows(events: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Flights that the benchmark's use case takes, in the order of their times."""
    for kind, row in nycflights.flights(events):
        if kind == "outcome" or (row["tailnum"] and row["temp"] is not None):
            words: dict[str, Any] = {n: str(row[n]) for n in ("hour", "weekday") if n in row}
            yield kind, dict(row) | words


def examples(case: UseCase, events: int) -> list[tuple[int, bytes, bytes]]:
    """(partition, key, value) of what partitions publish for the learner."""
    backtest = Backtest(case, 4, "bench")
    records = []
    for kind, row in rows(events):
        for output in backtest.feed(kind, row):
            if output.kind == "examples":
                number = int(orjson.loads(output.value)["partition"])
                records.append((number, output.key or b"", output.value))
    return records


class Learnt(NamedTuple):
    """One run of a learner: examples, CPU seconds, and the bytes of each version."""

    examples: int
    seconds: float
    sizes: list[int]

    def per_hour(self, rate: float) -> float:
        """Return MB on `models` in an hour, as the second half of the run made them."""
        half = self.sizes[len(self.sizes) // 2 :]
        return sum(half) / (self.examples / 2) * rate * 3_600 / 1e6


def learnt(name: str, records: Sequence[tuple[int, bytes, bytes]], rate: float) -> Learnt:
    """Learn all of it by one model, as if `rate` outcomes became known in each second."""
    case = replace(
        RIVERRUN_FLIGHTS, learning="shared", models={"it": FAMILIES[name]}, champion="it"
    )
    task = LearnerTask(case, partitions=4, definition="bench", pack=packer(case, lambda: b"k" * 32))
    offsets, sizes, seconds = [0] * 4, [], 0.0
    for at, (number, key, value) in enumerate(records):
        example = orjson.loads(value)
        example["training"]["clock_s"] = at / rate
        record = PlainRecord("examples", number, offsets[number], 0, key, orjson.dumps(example))
        offsets[number] += 1
        began = time.process_time()
        for output in task.apply(task.read(1 + number, record)):
            if output.kind == "models":
                state = sum(len(part) for _, part in output.headers)
                sizes.append(len(output.value) + state)
        seconds += time.process_time() - began
    slot = task.router.pooled["it"]
    if slot.faults or not slot.trained_on:
        sys.exit(f"{name} learnt {slot.trained_on} examples, {slot.faults}: {slot.last_fault}")
    return Learnt(len(records), seconds, sizes)


def learner(events: int) -> None:
    """Print the CPU of an example and the bytes of versions, by family of models and rate."""
    records = examples(replace(RIVERRUN_FLIGHTS, learning="shared"), events)
    heads = ("outcomes/s", "examples/s", "us each", "versions", "bytes each", "MB an hour")
    print(f"{'model':<16}" + "".join(f"{head:>12}" for head in heads))
    for name in FAMILIES:
        for rate in RATES:
            run = learnt(name, records, rate)
            took_s = run.seconds / run.examples
            print(
                f"{name:<16}{rate:>12,}{1 / took_s:>12,.0f}{took_s * 1e6:>12,.0f}"
                f"{len(run.sizes):>12,}{sum(run.sizes) / len(run.sizes):>12,.0f}"
                f"{run.per_hour(rate):>12,.1f}",
                flush=True,
            )


# Live.


class FreshnessBench(Bench):
    """One run in which each prediction tells which outcomes its model has learnt."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.outcomes: list[float] = []
        self.ages: dict[int, list[float]] = {}

    def _send(self, events: int) -> None:
        before = len(self.sent)
        while len(self.sent) - before < events:
            kind, fields = next(self._rows)
            name = fields["event_id"]
            if kind == "event":
                self._keys[name] = fields[self.use_case.key].encode()
                self.sent[name.encode()] = time.perf_counter()
            else:
                self.outcomes.append(time.perf_counter())
            topic = self.names["events" if kind == "event" else "outcomes"]
            # Live: it happens now. By its own time a day would pass in each second.
            now = {f"{kind}_time": datetime.now(UTC)}
            self._producer.produce(topic, orjson.dumps(dict(fields) | now), self._keys[name])
            self._producer.poll(0)

    def _read(self) -> None:
        while not self._ended.is_set():
            record = self._consumer.poll(0.1)
            if record is None:
                continue
            now = time.perf_counter()
            if record.error():
                raise KafkaException(record.error())
            self.took.append(now)
            number, value = record.partition(), record.value()
            assert number is not None
            assert value is not None
            served = orjson.loads(value)
            if served["served_by"] == "baseline":
                continue  # it says nothing of what the model has learnt
            learnt = int(served["model"].rpartition("#")[2])
            age = now - self.outcomes[learnt] if learnt < len(self.outcomes) else 0.0
            self.ages.setdefault(number, []).append(max(0.0, age))

    def _measure(self, rate: float, seconds: float) -> str:
        self.took.clear()
        self.ages.clear()
        count = self._stream(rate, seconds)
        self._answered(count)
        lines = []
        for number, ages in sorted(self.ages.items()):
            cut = quantiles(ages, n=100)
            figures = f"{cut[49] * 1e3:>12,.0f}{cut[98] * 1e3:>12,.0f}{max(ages) * 1e3:>12,.0f}"
            lines.append(f"{number:>10}{len(ages):>14,}{figures}")
        return "\n".join(lines)


def freshness(settings: Settings, rate: float, seconds: float, use_case: str, workers: int) -> None:
    """Print how soon outcomes reach the model of each partition."""
    print(f"{'partition':>10}{'predictions':>14}{'median ms':>12}{'99 % ms':>12}{'worst ms':>12}")
    print(FreshnessBench(settings, {}, workers, use_case).run(rate, seconds), flush=True)


class Backlog(Bench):
    """Workers that are ready and warm, then more events at once than they answer at once.

    Each event and outcome has the time at which it is sent. CPU is counted until all is learnt.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ports = free_ports(self.count)
        self.sums = {"event": 0, "outcome": 0}

    def run(self, rate: float, seconds: float) -> str:
        """Return the figures of `rate` events as JSON: events/s, and each worker's CPU, µs."""
        count = int(rate)
        asyncio.run(topic_admin.ensure(self.use_case, self.settings))
        self.workers = [self.launch(port) for port in self.ports]
        try:
            self._wait(self._is_spread, seconds)
            self._send(WARM_UP)
            self._wait(self._is_learnt, seconds)
            rows = [next(self._rows) for _ in range(2 * count)]
            before, began = self.cpus_s(), time.perf_counter()
            sent = self.sums["event"]
            self._send_rows(rows)
            self._wait(self._is_answered, seconds)
            took_s, answered = time.perf_counter() - began, self.sums["event"] - sent
            self._wait(self._is_learnt, seconds)
            spent = [b - a for a, b in zip(before, self.cpus_s(), strict=True)]
            cpu_us = [cpu_s / answered * 1e6 for cpu_s in spent]
            return orjson.dumps({"events_s": answered / took_s, "cpu_us": cpu_us}).decode()
        finally:
            self._consumer.close()
            self.stop()

    def _send(self, events: int) -> None:
        self._send_rows([next(self._rows) for _ in range(2 * events)])

    def _send_rows(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        for kind, fields in rows:
            self.sums[kind] += 1
            name = fields["event_id"]
            if kind == "event":
                self._keys[name] = fields[self.use_case.key].encode()
            now = {f"{kind}_time": datetime.now(UTC)}
            topic = self.names[f"{kind}s"]
            self._producer.produce(topic, orjson.dumps(dict(fields) | now), self._keys[name])
            self._producer.poll(0)
        self._producer.flush(60)

    def _wait(self, over: Callable[[list[Any]], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not over([status_of(port) for port in self.ports]):
            if time.monotonic() > deadline:
                told = [status_of(port) for port in self.ports]
                raise SystemExit(f"{over.__name__} did not come within {seconds:.0f} s: {told}")
            time.sleep(0.1)

    def _is_spread(self, workers: list[Any]) -> bool:
        ready = all(worker is not None and worker["ready"] for worker in workers)
        numbers = [len(worker["partitions"]) for worker in workers] if ready else []
        return sum(numbers) == self.use_case.partitions and (
            min(numbers) > 0 or len(workers) > self.use_case.partitions
        )

    def _is_answered(self, workers: list[Any]) -> bool:
        return self._counted(workers, "events") >= self.sums["event"]

    def _is_learnt(self, workers: list[Any]) -> bool:
        learners = [worker["learner"]["runner"] for worker in workers if "learner" in worker]
        learnt = sum(runner["counts"]["learnt"] for runner in learners if runner is not None)
        taken = self._counted(workers, "outcomes")
        return min(taken, learnt if learners else taken) >= self.sums["outcome"]

    @staticmethod
    def _counted(workers: list[Any], name: str) -> int:
        runners = [runner for worker in workers for runner in worker["partitions"]]
        return sum((runner["counts"] or {}).get(name, 0) for runner in runners)


def status_of(port: int) -> Any:
    """Return what a worker says of itself; None before it listens."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/livez", timeout=5) as answer:
            return orjson.loads(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def throughput(settings: Settings, events: int, use_case: str, partitions: Sequence[int]) -> None:
    """Print events a second by partitions, own and shared models, one and two processes, and the
    CPU of each process: the largest is what bounds them on cores of their own.
    """
    heads = ("processes", "events/s", "CPU µs of each", "a core each")
    print(f"{'partitions':>10}{'models':>12}" + "".join(f"{head:>16}" for head in heads))
    for number in partitions:
        for learning in ("partition", "shared"):
            for processes in (1, 2):
                cells = _one(settings, events, (number, learning, processes), use_case)
                print(
                    f"{number:>10}{learning:>12}" + "".join(f"{c:>16}" for c in cells), flush=True
                )


def _one(
    settings: Settings, events: int, of: tuple[int, str, int], use_case: str
) -> tuple[str, str, str, str]:
    """In a process of its own: the use case's file reads what it is to be from the environment."""
    partitions, learning, processes = of
    environment = {
        **os.environ,
        **settings.environment(),
        "BENCH_PARTITIONS": str(partitions),
        "BENCH_LEARNING": learning,
    }
    command = [sys.executable, "-P", "-m", "benchmarks.workers.shared_learning", "one"]
    command += ["--events", str(events), "--workers", str(processes), "--use-case", use_case]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    run = orjson.loads(done.stdout.strip().splitlines()[-1])
    each = " + ".join(f"{cpu:.0f}" for cpu in run["cpu_us"])
    return str(processes), f"{run['events_s']:,.0f}", each, f"{1e6 / max(run['cpu_us']):,.0f}/s"


def main() -> int:
    """Measure one of them."""
    parser = argparse.ArgumentParser(prog="benchmarks.workers.shared_learning")
    parser.add_argument("what", choices=("learner", "freshness", "throughput", "one"))
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--use-case", default=LIGHT)
    parser.add_argument("--partitions", type=int, action="append")
    arguments = parser.parse_args()
    if arguments.what == "learner":
        learner(arguments.events)
        return 0
    if arguments.what == "one":
        backlog = Backlog(Settings.load(), {}, arguments.workers, arguments.use_case)
        print(backlog.run(arguments.events, ALL_S_MAX))
        return 0
    with tempfile.TemporaryDirectory(prefix="riverrun-shared-") as folder:
        home = Path(folder)
        with servers(home, purge=True) as stack:
            settings = Settings.load(riverrun_home=home)
            settings = settings.at(stack.bootstrap_servers, stack.redis_url, stack.kafka_password)
            if arguments.what == "freshness":
                os.environ.setdefault("BENCH_LEARNING", "shared")
                freshness(
                    settings,
                    arguments.rate,
                    arguments.seconds,
                    arguments.use_case,
                    arguments.workers,
                )
            else:
                numbers = arguments.partitions or PARTITIONS
                throughput(settings, arguments.events, arguments.use_case, numbers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
