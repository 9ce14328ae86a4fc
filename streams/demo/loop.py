"""The whole loop on recorded data: servers, topics, workers, a producer, and a count of what came.

What it reports is counted from the topics by reading committed records, not asked of the workers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from models.spec.use_case import UseCase
from schemas.errors import RiverrunError, Unavailable
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.demo.counts import READ, Count
from streams.demo.page_process import overheard
from streams.kafka.ordered_producer import OrderedProducer
from streams.kafka.topic_reader import TopicReader
from streams.topics.topic_admin import ensure, names_of

STALL_S_MAX = 60.0
"""Without any new record for this long, with records still due, the demo gives up."""
STOP_S_MAX = 15.0


@dataclass(slots=True)
class Workers:
    """Worker processes of a use case, started and ended by this process.

    `hear` is given what they say on stderr, line by line; None: it goes where this process' goes.
    """

    loaded: LoadedUseCase
    settings: Settings
    hear: Callable[[str], None] | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, count: int) -> None:
        """Start `count` more; their servers and prefix are handed on by the environment."""
        environment = {**os.environ, **self.settings.environment()}
        command = [sys.executable, "-P", "-m", "streams.cli", "worker", str(self.loaded.path)]
        command += ["--processes", str(count)]
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=None if self.hear is None else subprocess.PIPE,
        )
        if self.hear is not None:
            overheard(process, self.hear)
        self.processes.append(process)

    def check(self) -> None:
        """Raise if one has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise RiverrunError(
                    f"a worker ended with exit code {process.returncode}; its words are above."
                )

    def stop(self) -> None:
        """End them cleanly, then hard."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = monotonic() + STOP_S_MAX
        for process in self.processes:
            try:
                process.wait(max(0.1, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def run(
    loaded: LoadedUseCase,
    settings: Settings,
    recorded: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    workers: int,
    speed: float | None,
    show: Callable[[OrderedProducer, Count, float], None],
    hear: Callable[[str], None] | None = None,
) -> Count:
    """Publish recorded data through fresh topics; `show` is called about four times a second.

    Ends when every event has its prediction and every outcome within its horizon is learnt, or
    with `Unavailable` when nothing has come for a minute. The workers are stopped in any case.
    """
    use_case = loaded.use_case
    names = names_of(use_case, settings)
    await ensure(use_case, settings)
    crew = Workers(loaded, settings, hear)
    crew.start(workers)
    count = Count(use_case, names)
    sender = OrderedProducer(use_case, settings, names, speed=speed)
    sending = asyncio.create_task(sender.run(recorded))
    try:
        async with TopicReader([names[kind] for kind in READ], settings) as topics:
            await _watch(topics, crew, sending, sender, count, show)
    finally:
        sending.cancel()
        await asyncio.to_thread(crew.stop)
    # A worker publishes its last metrics as it ends.
    async with TopicReader([names["metrics"]], settings) as topics:
        async for records in topics.to_the_end():
            count.take(records)
    return count


async def _watch(
    topics: TopicReader,
    crew: Workers,
    sending: asyncio.Task[None],
    sender: OrderedProducer,
    count: Count,
    show: Callable[[OrderedProducer, Count, float], None],
) -> None:
    began = moved = shown = monotonic()
    while True:
        records = await topics.some(0.1)
        count.take(records)
        now = monotonic()
        if records:
            moved = now
        if now - shown > 0.25:
            show(sender, count, now - began)
            shown = now
        if sending.done():
            await sending
            everything = (
                count.records["events"] == sender.events
                and count.records["outcomes"] == sender.outcomes
            )
            if not records and everything and count.complete:
                show(sender, count, now - began)
                return
        crew.check()
        if now - moved > STALL_S_MAX and sending.done():
            raise Unavailable(
                f"nothing came for {STALL_S_MAX:.0f} s: {count.answered} of {sender.events} events "
                f"are answered, {count.learnt} of {count.due} outcomes learnt. See "
                "`riverrun doctor`, and `riverrun status`."
            )


def report(use_case: UseCase, count: Count, seconds: float) -> dict[str, Any]:
    """Return the final object: counts, the metric of champion and baseline, the KPI, time taken."""
    scores = count.scores()
    champion, baseline = scores.get("served", {}), scores.get("baseline", {})
    return {
        "use_case": use_case.name,
        "events": count.records["events"],
        "predictions": count.records["predictions"],
        "duplicates": count.duplicates,
        "outcomes": count.records["outcomes"],
        "outcomes_due": count.due,
        "examples": count.learnt,
        "dead_letters": count.records["dead-letter"],
        "unlabelled": count.answered - count.learnt,
        "metric": use_case.metric,
        "champion": champion.get("metric"),
        "baseline": baseline.get("metric"),
        "models": {name: row["metric"] for name, row in scores.items()},
        "kpi": champion.get("kpi"),
        "kpi_baseline": baseline.get("kpi"),
        "kpi_unit": use_case.kpi.unit,
        "seconds": round(seconds, 1),
        "complete": count.complete and not count.duplicates,
    }
