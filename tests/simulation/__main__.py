"""`python -P -m tests.simulation --seed S --runs N`: a table, exit code 1 if anything failed."""

# ruff: noqa: T201 - it prints its table.

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.fate import STEPS
from tests.simulation.plants import PLANTED
from tests.simulation.world import Result, simulate


def main() -> int:
    """Run seeds `seed` to `seed + runs - 1`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--events", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--plant", choices=sorted(PLANTED), help="plant a bug")
    options = parser.parse_args()
    began = time.monotonic()
    seeds = range(options.seed, options.seed + options.runs)
    results = list(_shown(_run(seeds, options.events, options.jobs, options.plant), options.runs))
    print(table(results, time.monotonic() - began))
    return int(any(result.failures for result in results))


def _run(seeds: Iterable[int], events: int, jobs: int, plant: str | None) -> Iterator[Result]:
    if jobs == 1:
        for seed in seeds:
            yield _one((seed, events, plant))
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_one, ((seed, events, plant) for seed in seeds), chunksize=20)


def _one(job: tuple[int, int, str | None]) -> Result:
    seed, events, plant = job
    return simulate(seed, events=events, plants=PLANTED[plant] if plant else None)


def _shown(results: Iterable[Result], runs: int) -> Iterator[Result]:
    for count, result in enumerate(results, 1):
        for failure in result.failures[:3]:
            print(f"seed {result.seed}: {failure[:600]}", file=sys.stderr)
        if result.failures:
            again = f"make simulate SEED={result.seed} N=1"
            print(f"seed {result.seed}: again with: {again}", file=sys.stderr)
        if count % 1_000 == 0:
            print(f"{count} of {runs}", file=sys.stderr)
        yield result


def table(results: list[Result], seconds: float) -> str:
    """What ran, what went wrong in it, and what was found."""
    faults: Counter[str] = Counter()
    crashes: Counter[str] = Counter()
    for result in results:
        faults += result.faults
        crashes += result.crashes
    failed = [result.seed for result in results if result.failures]
    drained = sorted(result.drained_s for result in results)
    rows = [
        ("seeds", f"{len(results):,}"),
        ("seconds", f"{seconds:.1f}"),
        ("events", f"{sum(r.events for r in results):,}"),
        ("records in", f"{sum(r.records for r in results):,}"),
        ("rebalances", f"{sum(r.rebalances for r in results):,}"),
        ("snapshots loaded", f"{sum(r.loads for r in results):,}"),
        *((f"fault: {name}", f"{count:,}") for name, count in sorted(faults.items())),
        *((f"crash at {step}", f"{crashes[step]:,}") for step in STEPS),
        ("checks", f"{sum(r.checks for r in results):,}"),
        (
            "drained within, virtual s",
            f"{drained[-1]:.1f} (median {drained[len(drained) // 2]:.1f})",
        ),
        ("failures", f"{len(failed)}" + (f": seeds {failed[:10]}" if failed else "")),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value:>12}" for name, value in rows)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order in sets is part of a run
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-P", "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
