"""What child processes take off a learner: its rate, and the CPU of the process that answers.

    python -P -m benchmarks.workers.trainers [--events 6000]

Three models of one family, trained in place and by one, two and three trainers; without Kafka,
from an example's bytes to versions packed and signed, in batches of a transaction. `examples/s` is
by the clock, so it needs as many free cores as there are trainers, and one more. CPU is each
process's own: `answering` is the process that runs the learner and answers events, `busiest` the
trainer with most to do. On cores of their own the larger of the two bounds the rate.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from benchmarks.riverrun_flights import RIVERRUN_FLIGHTS
from benchmarks.workers.shared_learning import FAMILIES, examples
from models.inputs.decoder import PlainRecord
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from streams.config.gc_tuning import bound_pauses
from streams.snapshots.version_transfer import packer
from streams.trainers.trainer_pool import TrainerPool, fork_server_of

KEY = b"k" * 32
BATCH = 100
MODELS = 3
TRAINERS = (0, 1, 2, 3)


class TrainedRun(NamedTuple):
    """One run: examples, seconds by the clock, CPU of the learner's process and of the trainers."""

    examples: int
    seconds: float
    cpu_s: float
    trainers_s: list[float]


@contextmanager
def pool_of(case: UseCase, pack: Any, wanted: int) -> Iterator[TrainerPool | None]:
    """A pool of so many trainers; None for none."""
    if not wanted:
        yield None
        return
    server = fork_server_of(case, pack)
    pool = TrainerPool(server, case, wanted)
    try:
        yield pool
    finally:
        pool.close()
        server.close()


def trained(family: str, records: Sequence[tuple[int, bytes, bytes]], wanted: int) -> TrainedRun:
    """Learn all of it by three models of that family."""
    models = {f"{family} {n}": FAMILIES[family] for n in range(MODELS)}
    case = replace(RIVERRUN_FLIGHTS, learning="shared", models=models, champion=f"{family} 0")
    pack = packer(case, lambda: KEY)
    offsets = [0] * 4
    with pool_of(case, pack, wanted) as pool:
        task = LearnerTask(case, partitions=4, definition="bench", pack=pack)
        if pool is not None:
            pool.prepare(task, True)
        began, cpu_s = time.perf_counter(), time.process_time()
        for at in range(0, len(records), BATCH):
            outputs = []
            for number, key, value in records[at : at + BATCH]:
                record = PlainRecord("examples", number, offsets[number], 0, key, value)
                offsets[number] += 1
                outputs += task.apply(task.read(1 + number, record))
            if pool is not None:
                pool.settle_now(task)
            assert all(len(output.headers) for output in outputs)
            task.seal()
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
        if any(slot.faults or not slot.trained_on for slot in task.router.pooled.values()):
            sys.exit(f"{family}: a model raised")
        spent = [] if pool is None else [t["cpu_s"] for t in pool.status()["trainers"]]
    return TrainedRun(len(records), took_s, cpu_s, spent)


def main() -> int:
    """Print a line for each family and number of trainers."""
    parser = argparse.ArgumentParser(prog="benchmarks.workers.trainers")
    parser.add_argument("--events", type=int, default=6_000)
    events = parser.parse_args().events
    bound_pauses()
    records = examples(replace(RIVERRUN_FLIGHTS, learning="shared"), events)
    print(f"{len(records)} examples, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    heads = ("trainers", "examples/s", "answering, us", "busiest, us", "own cores/s")
    print(f"{f'{MODELS} models':<16}" + "".join(f"{head:>15}" for head in heads))
    for family in FAMILIES:
        for wanted in TRAINERS:
            run = trained(family, records, wanted)
            each = [cpu_s / run.examples * 1e6 for cpu_s in (run.cpu_s, *run.trainers_s)]
            busiest = f"{max(each[1:]):,.0f}" if wanted else ""
            cells = (
                f"{wanted}", f"{run.examples / run.seconds:,.0f}", f"{each[0]:,.0f}", busiest,
                f"{1e6 / max(each):,.0f}",
            )  # fmt: skip
            print(f"{family:<16}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
