"""Evidence gathered for a report of worth: from the topic, or from a run over recorded data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.backtest import Backtest
from models.settled import Settled
from models.usecase import UseCase
from schemas.errors import Unavailable
from streams.costing import Cpu
from streams.loading import Loaded
from streams.settings import Settings
from streams.tapes import Tapes

PROGRESS_EVERY = 500
PATIENCE_BLOCKS = 7
Rows = Iterable[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Assessed:
    """What a run over recorded data gave. `cpu_s` is CPU seconds by model and `riverrun`."""

    settled: Settled
    events: int
    cpu_s: Mapping[str, float]
    samples: int

    @property
    def cpu_us(self) -> dict[str, float]:
        """CPU microseconds an event."""
        return (
            {name: s / self.events * 1e6 for name, s in self.cpu_s.items()} if self.events else {}
        )


def assess(
    loaded: Loaded,
    recorded: Rows,
    partitions: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Assessed:
    """Run a use case over recorded data: its evidence, and whose CPU that took.

    Reading the recorded data is left out of the CPU. Main thread only.
    """
    run = Backtest(loaded.use_case, partitions, loaded.definition)
    settled = patient(loaded.use_case)
    with Cpu() as cpu:
        for number, (kind, fields) in enumerate(recorded, 1):
            for output in run.feed(kind, fields):
                if output.kind == "evidence":
                    settled.add(orjson.loads(output.value))
            if number % PROGRESS_EVERY == 0:
                on_progress(number)
    events = sum(task.counts["events"] for task in run.tasks.values())
    return Assessed(settled, events, cpu.shares(), sum(cpu.samples.values()))


def patient(use_case: UseCase) -> Settled:
    """What waits for a partition as long as the decider does: a horizon and some blocks."""
    return Settled(use_case.horizon + PATIENCE_BLOCKS * use_case.window)


async def published(use_case: UseCase, topic: str, settings: Settings) -> Settled:
    """All evidence on the topic; `Unavailable` if there is no such topic."""
    settled = patient(use_case)
    async with Tapes([topic], settings) as tapes:
        if not tapes.places:
            raise Unavailable(f"There is no topic {topic}. See `riverrun topics`.")
        for place in tapes.places:
            async for record in tapes.records(place):
                if record.value is not None:
                    settled.add(orjson.loads(record.value))
    return settled
