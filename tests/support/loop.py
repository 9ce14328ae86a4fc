"""A small use case under a prefix of its own on the real servers, and the commands run on it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic import SecretStr
from redis import Redis

from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, load
from streams.embedded import Endpoints
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.topics import topic_admin
from tests.support.servers.forked import Forked, run

Row = tuple[str, Mapping[str, Any]]
Process = Forked | subprocess.Popen[bytes]
COMMAND = (sys.executable, "-P", "-m", "streams.cli")
COMMAND_S_MAX = 120.0

SOURCE = '''"""How many hours until a parcel is there?"""

from river import linear_model, optim, preprocessing

from riverrun import Event, Kpi, Outcome, Promotion, UseCase, hours, over_outcomes


class Parcel(Event):
    """A parcel leaves."""

    depot: str
    weight: float
    miles: int


class Arrival(Outcome):
    """It is there."""

    hours: float


def linear():
    """Learns slowly."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.01))


def brisk():
    """Learns fast."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.1))


PARCELS = UseCase(
    name="parcels",
    owner="depot@example.com",
    event=Parcel,
    outcome=Arrival,
    key="depot",
    label=lambda e, o: o.hours,
    features={
        **Parcel.fields("weight", "miles"),
        "lately": over_outcomes(by="depot", last=hours(12)).mean(
            lambda e, o, x: o.hours, empty=5.0
        ),
    },
    models={"linear": linear, "brisk": brisk},
    champion="linear",
    baseline=lambda e: 5.0,
    metric="mae",
    limits=(0, 200),
    plausible=(0, 500),
    interval=None,
    horizon=hours(48),
    kpi=Kpi(lambda e, o, said: abs(said - o.hours), unit="EUR", better="lower", range=(0, 100)),
    promotion=Promotion("manual"),
    warmup=20,
    partitions=2,
    learning="partition",
)
'''


def parcels(count: int) -> list[Row]:
    """So many parcels, one every ten minutes, and when they were there; in the order of time."""
    draw = random.Random(7)
    start = datetime(2024, 5, 1, tzinfo=UTC)
    rows: list[tuple[datetime, int, Row]] = []
    for n in range(count):
        left = start + timedelta(minutes=10 * n)
        weight, miles = round(draw.uniform(0.2, 20), 2), draw.randrange(5, 400)
        took = round(1 + miles / 60 + weight / 10 + draw.uniform(0, 1), 2)
        depot = draw.choice(("north", "south", "east", "west", "harbour"))
        event = {"event_id": f"p{n}", "event_time": left.isoformat()}
        event |= {"depot": depot, "weight": weight, "miles": miles}
        there = left + timedelta(hours=took)
        outcome = {"event_id": f"p{n}", "outcome_time": there.isoformat(), "hours": took}
        rows += [(left, 1, ("event", event)), (there, 0, ("outcome", outcome))]
    rows.sort(key=lambda row: row[:2])
    return [row for _, _, row in rows]


class Loop:
    """Workers and commands of one use case under one prefix. close() ends what still runs."""

    def __init__(self, stack: Endpoints, folder: Path, source: str = SOURCE) -> None:
        self.file = folder / "parcels.py"
        self.file.write_text(source)
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.folder = folder
        self.loaded: LoadedUseCase = load(str(self.file))
        self.settings = Settings(
            kafka_bootstrap_servers=stack.bootstrap_servers,
            redis_url=SecretStr(stack.redis_url),
            riverrun_home=folder / "home",
            riverrun_topic_prefix=self.prefix,
        )
        self.names = topic_admin.names_of(self.loaded.use_case, self.settings)
        self.workers: list[Process] = []
        self.environment = {**os.environ, **self.settings.environment()}

    # Commands.

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run `riverrun …`; what it printed on stdout, decoded if it is JSON."""
        done = self.attempt(*arguments)
        talk = done.stderr
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{talk}\n{done.stdout!r}"
        return json.loads(done.stdout) if "--json" in arguments and done.stdout else talk

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `riverrun …`, whatever its exit code."""
        if self._imports_anew:
            return subprocess.run(
                [*COMMAND, *arguments],
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_S_MAX,
                check=False,
            )
        return run(arguments, self.environment, COMMAND_S_MAX)

    def start(self) -> None:
        """Start a worker."""
        log = self.folder / f"worker{len(self.workers)}.log"
        self.workers.append(self.process("worker", str(self.file), err=log))

    def process(self, *arguments: str, err: Path, out: Path | str = os.devnull) -> Process:
        """Start `riverrun …` and return at once; what it writes is appended to those files."""
        if not self._imports_anew:
            return Forked(arguments, self.environment, out=out, err=err)
        with err.open("ab") as stderr, Path(out).open("ab") as stdout:
            command = [*COMMAND, *arguments]
            return subprocess.Popen(command, env=self.environment, stdout=stdout, stderr=stderr)

    @property
    def _imports_anew(self) -> bool:
        """Another tree's code is in no process that is there to be forked."""
        return "PYTHONPATH" in self.environment

    def stop(self) -> None:
        """End the workers in good order."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)

    def close(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    # Records.

    async def publish(self, rows: Iterable[Row], speed: float | None = None) -> None:
        """Send them in the order of their times; `speed` is a multiple of real time."""
        await topic_admin.ensure(self.loaded.use_case, self.settings)
        sender = OrderedProducer(self.loaded.use_case, self.settings, self.names, speed=speed)
        for kind, fields in rows:
            if kind == "event":
                sender._keys[str(fields["event_id"])] = str(fields["depot"])
        await sender.run(rows)

    async def records(self, kind: str) -> list[Any]:
        """What is committed of a kind, partition by partition."""
        async with TopicReader([self.names[kind]], self.settings) as reader:
            return [r for tp in reader.topic_partitions async for r in reader.records(tp)]

    async def values(self, kind: str) -> list[dict[str, Any]]:
        """The same, decoded, without what is no record of that kind."""
        async with TopicReader([self.names[kind]], self.settings) as reader:
            return [row for tp in reader.topic_partitions async for _, row in reader.rows(kind, tp)]

    async def wait_for(self, kind: str, ids: Collection[str], within_s: float = 180.0) -> None:
        """Wait until there is a record of that kind about each of those events."""
        began, missing = monotonic(), set(ids)
        while missing:
            missing -= {value.get("event_id") for value in await self.values(kind)}
            assert monotonic() - began < within_s, f"{len(missing)} {kind} missing: {self.log()}"
            await asyncio.sleep(0.2)

    async def wait_until_learnt(self, rows: Collection[Row]) -> None:
        """Wait until a version of a shared model has learnt from nearly every outcome of these."""
        count = sum(kind == "outcome" for kind, _ in rows)
        began, newest = monotonic(), -1
        while newest < count - self.loaded.use_case.freshness.examples:
            updates = await self.values("models")
            newest = max((u["version"]["trained_on"] for u in updates if u["version"]), default=-1)
            assert monotonic() - began < 180, f"{newest} of {count} learnt: {self.log()}"
            await asyncio.sleep(0.2)

    def lose_redis(self) -> None:
        """Delete all that Redis holds of this loop, as FLUSHALL would; others' keys stay."""
        assert self.settings.redis_url is not None
        with Redis.from_url(self.settings.redis_url.get_secret_value()) as client:
            for key in client.scan_iter(f"*{self.prefix}*", count=1_000):
                client.delete(key)

    def log(self) -> str:
        """What the workers said."""
        return "\n".join(file.read_text()[-3_000:] for file in self.folder.glob("worker*.log"))
