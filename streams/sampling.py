"""The same recorded data run again and again, learning from ever more of its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from models.backtest import Backtest
from models.learning_curve import SHARES, Sample, SampledTask, sampled
from streams.assessing import PROGRESS_EVERY, Rows, patient
from streams.loading import Loaded


def samples(
    loaded: Loaded,
    recording: Callable[[], Rows],
    partitions: int,
    shares: Sequence[float] = SHARES,
    on_progress: Callable[[float, int], None] = lambda _share, _count: None,
) -> list[Sample]:
    """One run for each share, ascending; `recording()` gives the same records each time."""
    found = []
    for share in sorted(shares):
        run = Backtest(loaded.use_case, partitions, loaded.definition, sampled(share))
        settled = patient(loaded.use_case)
        for number, (kind, fields) in enumerate(recording(), 1):
            for output in run.feed(kind, fields):
                if output.kind == "evidence":
                    settled.add(orjson.loads(output.value))
            if number % PROGRESS_EVERY == 0:
                on_progress(share, number)
        until = settled.until or float("-inf")
        tasks = [task for task in run.tasks.values() if isinstance(task, SampledTask)]
        learnt = sum(time < until for task in tasks for time in task.times)
        found.append(Sample(share, learnt, settled))
    return found
