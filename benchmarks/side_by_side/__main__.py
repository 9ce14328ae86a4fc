"""Measure in interleaved rounds, write the table: see `--help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.servers import servers
from benchmarks.side_by_side import environments, records, results, systems
from benchmarks.side_by_side.environments import BENCHMARKS, PEERS, NotToBeHad
from benchmarks.side_by_side.measuring import Profile, Wrong, measure
from benchmarks.side_by_side.systems import System, Where

Row = dict[str, Any]


def alone(python: Path, path: Path, models: int) -> Row:
    """River alone with so many models."""
    command = [str(python), str(PEERS / "river_alone.py"), str(path), str(models)]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        env=systems.environment_of({"PYTHONHASHSEED": "0"}),
    )
    figures = json.loads(done.stdout)
    return {
        "system": results.alone(models),
        "events_s": figures["events"] / figures["wall_s"],
        "cpu_us": figures["cpu_s"] / figures["events"] * 1e6,
    }


class Bench:
    """The chosen systems, on one stack with the records in it."""

    def __init__(self, home: Path, chosen: list[System], events: int) -> None:
        self.home = home
        self.chosen = chosen
        self.events = events
        self.profile: Profile | None = None
        self.rows: list[Row] = []
        self.first = 0
        self.kept: Path | None = None
        self.missing: dict[str, str] = {}
        self.pythons: dict[str | None, Path] = {None: systems.own_python()}

    def set_up(self) -> None:
        """Make the peers' environments; who cannot be had is left out, and said so."""
        self.pythons["faust"] = environments.python_of("faust")
        for system in [*self.chosen]:
            if system.environment in self.pythons:
                continue
            try:
                self.pythons[system.environment] = environments.python_of(system.environment or "")
            except NotToBeHad as error:
                self.missing[system.name] = str(error)
                self.chosen.remove(system)

    def run(self, rounds: int) -> None:
        """All rounds, each system once in each, in another order each time."""
        path = self.home / "records.jsonl"
        records.write(path, self.events)
        with servers(self.home) as at:
            asyncio.run(records.publish(at.bootstrap_servers, self.events))
            expected = records.expected(self.pythons["faust"], path)
            for number in range(rounds):
                began = time.monotonic()
                self._round(number, path, expected, (at.bootstrap_servers, at.redis_url))
                print(f"round {number + 1}: {time.monotonic() - began:.0f} s", file=sys.stderr)

    def _round(
        self, number: int, path: Path, expected: dict[str, float], at: tuple[str, str]
    ) -> None:
        for models in sorted({system.models for system in self.chosen}):
            self._note(number, alone(self.pythons["faust"], path, models))
        turn = number % len(self.chosen)
        for system in self.chosen[turn:] + self.chosen[:turn]:
            name = f"b{uuid.uuid4().hex[:8]}"
            where, log = Where(*at, name, self.home), self.home / f"{name}.log"
            try:
                python = self.pythons[system.environment]
                measuring = measure(system, python, where, expected, log, self.profile)
                measured = asyncio.run(measuring)
            except Wrong as error:
                tail = log.read_text(errors="replace")[-600:]
                print(f"{system.name}: {error}\n{tail}", file=sys.stderr)
                self.missing[system.name] = str(error)
                continue
            self._note(number, {"system": system.name, **vars(measured)})

    def _note(self, number: int, row: Row) -> None:
        self.rows.append({"round": self.first + number, **row})
        if self.kept is not None:
            self.kept.write_text(json.dumps(self.rows))
        print(
            f"  {row['system']:36} {row['events_s']:8,.0f}/s {row['cpu_us']:8.1f} µs",
            file=sys.stderr,
        )

    def keep(self, path: Path) -> None:
        """Begin with the rows of earlier calls, and write each further one."""
        self.kept = path
        self.rows = json.loads(path.read_text()) if path.exists() else []
        self.first = max((row["round"] for row in self.rows), default=-1) + 1


def main() -> int:
    """Measure, write, or check."""
    parser = argparse.ArgumentParser(prog="benchmarks.side_by_side")
    parser.add_argument("--quick", action="store_true", help="one round of 8,000 events")
    parser.add_argument("--check", action="store_true", help="compare with the committed ratios")
    parser.add_argument("--events", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", action="append", help="systems by name")
    parser.add_argument("--home", type=Path, help="a folder whose embedded servers are used")
    parser.add_argument("--rows", type=Path, help="gather the rows of several calls in this file")
    parser.add_argument("--profile", type=Path, help="a flame graph instead of figures")
    options = parser.parse_args()
    quick = options.quick or options.check
    chosen = [*systems.PEER_SYSTEMS, *systems.RIVERRUN_SYSTEMS]
    if not quick or options.only:
        chosen += systems.PRICED.values()
    if options.only:
        chosen = [s for s in chosen if any(word == s.name for word in options.only)]
    events = options.events or (8_000 if quick else 40_000)
    with tempfile.TemporaryDirectory(prefix="riverrun-bench-") as folder:
        bench = Bench(options.home or Path(folder), chosen, events)
        bench.home.mkdir(parents=True, exist_ok=True)
        bench.set_up()
        bench.profile = Profile(options.profile) if options.profile else None
        if options.rows is not None:
            bench.keep(options.rows)
        bench.run(options.rounds or (1 if quick else 5))
    versions = results.versions(bench.pythons)
    table = results.summary(bench.rows, events, versions, bench.missing)
    print(results.table(table))
    if options.check:
        return results.check(table, BENCHMARKS / "results.json")
    if not (quick or options.profile or options.only) or options.rows:
        results.write(table, BENCHMARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
