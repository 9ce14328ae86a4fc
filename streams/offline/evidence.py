"""Evidence gathered for a report of worth: from the topic, or from a run over recorded data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from models.replay.backtest import Backtest
from models.replay.learning_curve import SHARES, CurveSample, SampledTask, sampled
from models.spec.use_case import UseCase
from models.worth.closed_blocks import ClosedBlocks
from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.topic_reader import TopicReader
from streams.offline.cpu_sampler import Cpu

PROGRESS_EVERY = 500
PATIENCE_BLOCKS = 7
Rows = Iterable[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Assessed:
    """The result of a run over recorded data. `cpu_s`: CPU seconds by model and `riverrun`."""

    closed: ClosedBlocks
    events: int
    cpu_s: Mapping[str, float]
    samples: int

    @property
    def cpu_us(self) -> dict[str, float]:
        """Return CPU microseconds an event."""
        return (
            {name: s / self.events * 1e6 for name, s in self.cpu_s.items()} if self.events else {}
        )


def assess(
    loaded: LoadedUseCase,
    recorded: Rows,
    partitions: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Assessed:
    """Run a use case over recorded data; return its evidence, and the CPU by model.

    Reading the recorded data does not count. Main thread only.
    """
    run = Backtest(loaded.use_case, partitions, loaded.definition)
    with Cpu() as cpu:
        closed = _evidence_of(run, recorded, on_progress)
    events = sum(task.counts["events"] for task in run.tasks.values())
    return Assessed(closed, events, cpu.shares(), sum(cpu.samples.values()))


def samples(
    loaded: LoadedUseCase,
    recording: Callable[[], Rows],
    partitions: int,
    shares: Sequence[float] = SHARES,
    on_progress: Callable[[float, int], None] = lambda _share, _count: None,
) -> list[CurveSample]:
    """Run recorded data once for each share of its outcomes that is learnt, ascending.

    `recording()` must return the same records each time.
    """
    runs = []
    for share in sorted(shares):
        run = Backtest(loaded.use_case, partitions, loaded.definition, sampled(share))
        closed = _evidence_of(run, recording(), partial(on_progress, share))
        until = closed.until or float("-inf")
        tasks = [task for task in run.tasks.values() if isinstance(task, SampledTask)]
        learnt = sum(time < until for task in tasks for time in task.times)
        runs.append(CurveSample(share, learnt, closed))
    return runs


def _evidence_of(run: Backtest, recorded: Rows, on_progress: Callable[[int], None]) -> ClosedBlocks:
    closed = patient(run.use_case)
    for number, (kind, fields) in enumerate(recorded, 1):
        for output in run.feed(kind, fields):
            if output.kind == "evidence":
                closed.add(orjson.loads(output.value))
        if number % PROGRESS_EVERY == 0:
            on_progress(number)
    return closed


def patient(use_case: UseCase) -> ClosedBlocks:
    """Return a merger of blocks that waits for a partition as long as the decider does: a horizon
    and some blocks.
    """
    return ClosedBlocks(use_case.horizon + PATIENCE_BLOCKS * use_case.window)


async def published(use_case: UseCase, topic: str, settings: Settings) -> ClosedBlocks:
    """Return all evidence on the topic; raise `Unavailable` if there is no such topic."""
    closed = patient(use_case)
    async with TopicReader([topic], settings) as reader:
        if not reader.topic_partitions:
            raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
        for topic_partition in reader.topic_partitions:
            async for record in reader.records(topic_partition):
                row = reader.row("evidence", record, use_case.kpi.check_sums)
                if row is not None:
                    closed.add(row)
    return closed
