"""Quality and pace of shared models while everything comes at once, beside the backtest.

    python -P -m benchmarks.workers.catch_up [--events N] [--workers N]

Flights keyed by aircraft, all published before the first worker starts, on embedded servers.
Printed are the mean absolute error of all that was answered, here and in the backtest; how many
examples, and how many minutes, each answer's version was behind what had happened by then; and the
pace.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import orjson
from confluent_kafka import Producer, TopicPartition

import benchmarks.riverrun_flights as plain
from benchmarks.servers import servers
from benchmarks.workers.latency import Bench
from models.replay.backtest import Backtest
from streams.config.settings import Settings
from streams.topics import topic_admin
from usecases.data import nycflights

CATCH_UP = replace(
    plain.RIVERRUN_FLIGHTS,
    name="catch_up",
    learning="shared",
    partitions=int(os.environ.get("BENCH_PARTITIONS", "16")),
    topics={},
)
QUIET_S_MAX = 60.0


def recorded(events: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield flights that the use case takes, in the order of their times."""
    for kind, row in nycflights.flights(events):
        if kind == "outcome" or (row["tailnum"] and row["temp"] is not None):
            words = {name: str(row[name]) for name in ("hour", "weekday") if name in row}
            yield kind, {**row, **words}


class Answers:
    """The answers, live or in a backtest, and what the versions had learnt."""

    def __init__(self) -> None:
        self.errors: list[float] = []
        self.asked: list[tuple[float, int]] = []  # event time, examples learnt
        self.clocks: list[float] = []  # of all examples

    def take(self, kind: str, value: Mapping[str, Any]) -> None:
        """Note a prediction or an example."""
        if kind == "examples":
            self.errors.append(abs(value["shadows"]["adam"] - value["label"]))
            if value.get("training") is not None:  # else it is not for the learner
                self.clocks.append(value["training"]["clock_s"])
        elif kind == "dead-letter":
            sys.exit(f"refused: {value['error']}")
        elif kind == "predictions":
            at = datetime.fromisoformat(value["event_time"]).timestamp()
            self.asked.append((at, int(value["model"].rpartition("#")[2])))

    @property
    def error(self) -> float:
        """The mean absolute error."""
        return sum(self.errors) / len(self.errors)

    def behind(self) -> tuple[list[float], list[float]]:
        """Return of each answer how many examples, and how many minutes, its version misses."""
        clocks = sorted(self.clocks)
        missing, minutes = [], []
        for at, learnt in self.asked:
            missing.append(float(max(0, bisect_right(clocks, at) - learnt)))
            oldest = clocks[learnt] if learnt < len(clocks) else at
            minutes.append(max(0.0, at - oldest) / 60)
        return missing, minutes


class Burst(Bench):
    """Everything is sent before the first worker starts. `logs`: where workers log."""

    logs: Path

    def launch(self, health_port: int | None = None) -> subprocess.Popen[bytes]:
        """Start one worker as the command line does."""
        command = [sys.executable, "-P", "-m", "streams.cli", "worker", self.file, "-v"]
        environment = {**os.environ, **self.settings.environment()}
        with (self.logs / "workers.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def answers(self, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Answers, float]:
        """Return what was answered, and the seconds from the first prediction to the last."""
        asyncio.run(topic_admin.ensure(self.use_case, self.settings))
        servers_of = {"bootstrap.servers": self.settings.kafka_bootstrap_servers}
        # A batch that is sent again must not come after those that followed it.
        ordered = {"enable.idempotence": True, "partitioner": "murmur2_random"}
        self._producer = Producer({**servers_of, **ordered})
        kinds = {self.names[kind]: kind for kind in ("predictions", "examples", "dead-letter")}
        numbers = range(self.use_case.partitions)
        self._consumer.assign([TopicPartition(name, n, 0) for name in kinds for n in numbers])
        keys: dict[str, bytes] = {}
        for kind, fields in rows:
            name = fields["event_id"]
            if kind == "event":
                keys[name] = str(fields[self.use_case.key]).encode()
            if name in keys:
                topic = self.names[f"{kind}s"]
                self._producer.produce(topic, orjson.dumps(fields), keys[name])
                self._producer.poll(0)
        self._producer.flush(60)
        self.start()
        try:
            return self._read_all(kinds, len(keys), sum(kind == "outcome" for kind, _ in rows))
        finally:
            self._consumer.close()
            self.stop()

    def _read_all(
        self, kinds: Mapping[str, str], events: int, outcomes: int
    ) -> tuple[Answers, float]:
        answers, first, last, heard = Answers(), 0.0, 0.0, time.monotonic()
        while len(answers.asked) < events or len(answers.errors) < outcomes:
            record = self._consumer.poll(0.5)
            if record is None or record.error() is not None:
                if time.monotonic() - heard > QUIET_S_MAX:
                    sys.exit(f"only {len(answers.asked)} of {events} events were answered")
                continue
            heard = last = time.monotonic()
            first = first or last
            name, value = record.topic(), record.value()
            assert name is not None
            answers.take(kinds[name], orjson.loads(value or b""))
        return answers, last - first


def backtested(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Answers:
    """Return what a backtest answers."""
    answers, backtest = Answers(), Backtest(CATCH_UP, CATCH_UP.partitions, "bench")
    for kind, row in rows:
        for output in backtest.feed(kind, row):
            answers.take(output.kind, orjson.loads(output.value))
    return answers


def row_of(name: str, answers: Answers) -> str:
    """Return a row of the table."""
    missing, minutes = answers.behind()
    cells = [f"{answers.error:>10.4f}"]
    for values in (missing, minutes):
        cut = quantiles(values, n=100)
        cells += [f"{value:>10.1f}" for value in (sum(values) / len(values), cut[98], max(values))]
    return f"{name:<10}" + "".join(cells)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.workers.catch_up")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--logs", type=Path, help="keep the workers' logs there")
    arguments = parser.parse_args()
    rows = list(recorded(arguments.events))
    expected = backtested(rows)
    with (
        tempfile.TemporaryDirectory(prefix="riverrun-catch-up-") as folder,
        servers(Path(folder), purge=True) as stack,
    ):
        settings = Settings.load(riverrun_home=Path(folder))
        settings = settings.at(stack.bootstrap_servers, stack.redis_url, stack.kafka_password)
        burst = Burst(settings, {}, arguments.workers, __file__)
        burst.logs = arguments.logs or Path(folder)
        live, seconds = burst.answers(rows)
    heads = ("mae", "missing", "99 %", "most", "minutes", "99 %", "most")
    print(f"{'':<10}" + "".join(f"{head:>10}" for head in heads))
    print(row_of("backtest", expected))
    print(row_of("live", live))
    span_s = max(live.clocks) - min(live.clocks)
    print(f"live is {live.error / expected.error - 1:+.2%} of the backtest")
    print(
        f"{len(live.asked) / seconds:,.0f} events/s, {span_s / seconds:,.0f} times real time, "
        f"{seconds:.1f} s, load {os.getloadavg()[0]:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
