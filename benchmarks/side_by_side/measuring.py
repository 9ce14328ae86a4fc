"""One system, once: started on a backlog, timed by the broker's clock, its output checked.

The time is that of the log: from the append of the prediction at 5 % to that at 95 %, which leaves
out starting, the first fetches and the end. CPU is that of the process and all its children over
the same span, sampled twenty times a second. Every event must have one committed prediction, equal
to the last bit to what River alone says.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.side_by_side import records
from benchmarks.side_by_side.systems import System, Where, environment_of

FROM, TO = 0.05, 0.95
POLL_S = 0.05
LULL_S = 0.7
STILL_S = 20.0
WAIT_S_MAX = 120.0
Answer = tuple[str, float, float]
"""(event id, when its prediction was appended, value)."""


class Wrong(Exception):
    """A system did not do what it should; the text says what."""


@dataclass(frozen=True)
class Measure:
    """What one run gave."""

    events_s: float
    cpu_us: float
    events: int
    memory_mb: float


class Watch:
    """Samples the CPU time of a process and its children; children that ended are counted, too."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = psutil.Process(process.pid)
        self.samples: list[tuple[float, float]] = []
        self.memory = 0
        self._known: dict[int, psutil.Process] = {}
        self._spent: dict[int, float] = {}

    def look(self) -> None:
        """Take one sample."""
        with contextlib.suppress(psutil.Error):
            for process in [self.process, *self.process.children(recursive=True)]:
                self._known.setdefault(process.pid, process)
        memory = 0
        for pid, process in self._known.items():
            with contextlib.suppress(psutil.Error):
                with process.oneshot():
                    spent = process.cpu_times()
                    memory += process.memory_info().rss
                self._spent[pid] = spent.user + spent.system
        self.memory = max(self.memory, memory)
        self.samples.append((time.time(), sum(self._spent.values())))

    def at(self, moment: float) -> float:
        """CPU seconds by that time, between the two samples around it."""
        before = max((s for s in self.samples if s[0] <= moment), default=self.samples[0])
        after = min((s for s in self.samples if s[0] > moment), default=self.samples[-1])
        if after[0] <= before[0]:
            return before[1]
        share = (moment - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])


class Profile:
    """py-spy on a process: a flame graph as SVG, or collapsed stacks where the name ends so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spy: subprocess.Popen[bytes] | None = None

    def start(self, pid: int) -> None:
        """Look at it from now on; it has to be installed."""
        spy = shutil.which("py-spy") or shutil.which(
            "py-spy", path=str(Path(sys.executable).parent)
        )
        if spy is None:
            raise Wrong("there is no py-spy: make setup")
        shape = "flamegraph" if self.path.suffix == ".svg" else "raw"
        command = [spy, "record", "-s", "-f", shape, "-o", str(self.path), "-p", str(pid)]
        self._spy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End and write."""
        if self._spy is not None:
            self._spy.send_signal(signal.SIGINT)
            self._spy.wait(20)


async def measure(
    system: System,
    python: Path,
    at: Where,
    expected: dict[str, float],
    log: Path,
    profile: Profile | None = None,
) -> Measure:
    """Run it until it has answered everything; its topics are removed afterwards.

    With `profile`, py-spy looks at it a hundred times a second, and the figures are not comparable.
    """
    names = {f"{at.name}.{kind}" for kind in (*system.outputs, "predictions")}
    await records.make_topics(
        at.servers, sorted(names), **{"message.timestamp.type": "LogAppendTime"}
    )
    command, environment = system.command(python, at)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=at.servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        check_crcs=False,
        max_partition_fetch_bytes=8 << 20,
    )
    await consumer.start()
    consumer.assign([TopicPartition(at.output, n) for n in range(records.PARTITIONS)])
    due, whole = int(len(expected) * system.events_share), system.events_share == 1.0
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: ASYNC220 - before the clock runs
            command, env=environment_of(environment), stdout=out, stderr=out, cwd=at.home
        )
        try:
            if profile is not None:
                profile.start(process.pid)
            watch = Watch(process)
            answers = await _answered(consumer, watch, due, process, whole=whole)
        finally:
            if profile is not None:
                profile.stop()
            await asyncio.to_thread(_stop, process)
            await consumer.stop()
            await _remove(at)
    _check(answers, expected, due, whole=whole)
    times = sorted(moment for _, moment, _ in answers)
    first, last = int(FROM * due), int(TO * due) - 1
    began, ended, count = times[first], times[last], last - first
    cpu_s = watch.at(ended) - watch.at(began)
    return Measure(count / (ended - began), cpu_s / count * 1e6, count, watch.memory / 1e6)


async def _answered(
    consumer: Any, watch: Watch, due: int, process: subprocess.Popen[bytes], *, whole: bool
) -> list[Answer]:
    """All predictions. Nothing is read before the topic is long enough and grows no more, since
    that costs CPU; what makes it long may be control records (one a transaction and partition), so
    what is found is counted, and waited for again.
    """
    answers: list[Answer] = []
    deadline, length, since = time.monotonic() + WAIT_S_MAX, -1, time.monotonic()
    while len(answers) < due:
        watch.look()
        now = time.monotonic()
        ends = await consumer.end_offsets(consumer.assignment())
        if sum(ends.values()) != length:
            length, since = sum(ends.values()), now
        if process.poll() is not None:
            raise Wrong(f"it ended with {process.returncode}")
        if now > deadline or (length > 0 and now - since > STILL_S):
            raise Wrong(f"only {len(answers) or length} of {due} predictions came")
        # Who answers more than is asked for (a share of the events is) need not be waited for.
        if length >= due and (now - since > LULL_S or (not whole and length > 2 * due)):
            answers += await _read(consumer)
        else:
            await asyncio.sleep(POLL_S)
    return answers


async def _read(consumer: Any) -> list[Answer]:
    """Every committed prediction that is there and was not read yet."""
    answers = []
    while batches := await consumer.getmany(timeout_ms=1_000):
        for batch in batches.values():
            for record in batch:
                body = orjson.loads(record.value)
                answers.append((body["event_id"], record.timestamp / 1e3, body["value"]))
    return answers


def _check(answers: list[Answer], expected: dict[str, float], due: int, *, whole: bool) -> None:
    values = {event_id: value for event_id, _, value in answers}
    if len(answers) != len(values):
        raise Wrong(f"{len(answers) - len(values)} events were answered twice")
    if len(values) < due or (whole and values.keys() != expected.keys()):
        raise Wrong(f"{len(values)} of {due} events were answered")
    different = [event_id for event_id, value in values.items() if value != expected[event_id]]
    if different:
        first = different[0]
        raise Wrong(
            f"{len(different)} predictions differ from River's, first {first}: "
            f"{values[first]!r} instead of {expected[first]!r}"
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _remove(at: Where) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=at.servers)
    await admin.start()
    topics = [name for name in await admin.list_topics() if at.name in name]
    await admin.delete_topics(topics)
    await admin.close()
