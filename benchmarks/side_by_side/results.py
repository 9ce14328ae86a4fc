"""From the rows of all rounds to medians, ratios and the table; the check against the last one.

A ratio is taken within a round, riverrun's over the peer's of a few seconds before, and its median
over the rounds is given: what slows the machine for a minute slows both.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.side_by_side.environments import version_of
from benchmarks.side_by_side.systems import (
    FAUST,
    FIVE,
    LOOP_ONE,
    LOOP_THREE,
    PEER_SYSTEMS,
    PRICED,
    RIVERRUN,
    RIVERRUN_SYSTEMS,
    TWO,
)  # fmt: skip

Rows = list[dict[str, Any]]
Summary = dict[str, Any]
WORSE = 0.15
"""A ratio may fall by this share before the check fails."""
TARGETS = {
    LOOP_THREE: 1.0, "Bytewax": 1.0, "Quix Streams": 1.0, FAUST: 4.5,
    "two processes over one": 1.4, "four challengers over River alone": 0.9,
}  # fmt: skip
OVERHEAD_US = 30.0


def alone(models: int) -> str:
    """The name of River's own row."""
    return "River alone, one model" if models == 1 else f"River alone, {models} models"


def versions(pythons: dict[str | None, Path]) -> dict[str, str]:
    """Of all that takes part."""
    wanted = {
        "faust": ("faust-streaming", "aiokafka", "river"),
        "bytewax": ("bytewax",),
        "quix": ("quixstreams", "confluent-kafka"),
        None: ("riverrun", "pydantic", "orjson"),
    }
    return {
        name: version_of(python, name)
        for key, python in pythons.items()
        for name in wanted.get(key, ())
    }


def summary(rows: Rows, events: int, versions: dict[str, str], missing: dict[str, str]) -> Summary:
    """Everything that is written down."""
    known = {row["system"] for row in rows}
    systems = {}
    for name in dict.fromkeys(row["system"] for row in rows):
        own = [row for row in rows if row["system"] == name]
        speeds, cpu = [row["events_s"] for row in own], [row["cpu_us"] for row in own]
        systems[name] = {
            "events_s": median(speeds),
            "events_s_least": min(speeds),
            "events_s_most": max(speeds),
            "cpu_us": median(cpu),
            "memory_mb": max(row.get("memory_mb", 0.0) for row in own),
            "rounds": len(own),
        }

    def within(one: str, other: str, of: Callable[[dict[str, Any], dict[str, Any]], float]) -> Any:
        pairs = _pairs(rows, one, other)
        return median(of(a, b) for a, b in pairs) if pairs else None

    def ratio(one: str, other: str) -> Any:
        return within(one, other, lambda a, b: a["events_s"] / b["events_s"])

    def more(one: str, other: str) -> Any:
        return within(one, other, lambda a, b: a["cpu_us"] - b["cpu_us"])

    peers = [alone(1), *(system.name for system in PEER_SYSTEMS)]
    ratios = {name: ratio(RIVERRUN, name) for name in peers if name in known}
    ratios["two processes over one"] = ratio(TWO, RIVERRUN)
    ratios["four challengers over River alone"] = ratio(FIVE, alone(5))
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "events": events,
        "machine": _machine(),
        "load": _load(),
        "versions": versions,
        "systems": systems,
        "ratios": {name: value for name, value in ratios.items() if value is not None},
        "cpu_ratios": {
            name: within(RIVERRUN, name, lambda a, b: b["cpu_us"] / a["cpu_us"])
            for name in peers
            if name in known and RIVERRUN in known
        },
        "overhead_us_per_event": more(RIVERRUN, alone(1)),
        "overhead_us": {
            system.name: more(system.name, alone(system.models))
            for system in [*RIVERRUN_SYSTEMS, *PRICED.values(), *PEER_SYSTEMS]
            if system.name in known
        },
        "price_us": {
            name: more(system.name, RIVERRUN)
            for name, system in PRICED.items()
            if system.name in known
        },
        "missing": missing,
    }


def _pairs(rows: Rows, one: str, other: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    by = {(row["system"], row["round"]): row for row in rows}
    rounds = sorted({row["round"] for row in rows})
    return [(by[one, n], by[other, n]) for n in rounds if (one, n) in by and (other, n) in by]


def _load() -> str:
    """What else ran: a load far above the benchmark's own two or three makes figures worthless."""
    return f"load average {os.getloadavg()[2]:.1f} over the last quarter of an hour"


def _machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}, {system}, " + (
        f"Python {platform.python_version()}; broker, Redis and system on the same cores"
    )


def table(figures: Summary) -> str:
    """The table as Markdown."""
    about = {s.name: s for s in [*PEER_SYSTEMS, *RIVERRUN_SYSTEMS, *PRICED.values()]}
    lines = [
        "| system | guarantee | writes | events/s (least to most) | CPU µs/event "
        "| over River alone | riverrun is | by CPU |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in figures["systems"].items():
        system = about.get(name)
        claims = (system.guarantee, system.writes) if system else ("none", "nothing")
        spread = (
            f"{row['events_s']:,.0f} ({row['events_s_least']:,.0f} to {row['events_s_most']:,.0f})"
        )
        more, ratio = figures["overhead_us"].get(name), figures["ratios"].get(name)
        by_cpu = figures["cpu_ratios"].get(name)
        lines.append(
            f"| {name} | {claims[0]} | {claims[1]} | {spread} | {row['cpu_us']:.0f} | "
            f"{'' if more is None else f'{more:.0f}'} | {'' if ratio is None else _words(ratio)} | "
            f"{'' if by_cpu is None else f'{by_cpu:.2f} x'} |"
        )
    lines += [f"| {name} | | | not measured: {why[:120]} | | | | |"
              for name, why in figures["missing"].items()]  # fmt: skip
    return "\n".join(lines)


def _words(ratio: float) -> str:
    return f"{ratio:.2f} x" + ("" if ratio >= 1.0 else " (it is slower)")


def write(figures: Summary, folder: Path) -> None:
    """results.json and RESULTS.md."""
    (folder / "results.json").write_text(json.dumps(figures, indent=1) + "\n")
    ratios, over = figures["ratios"], figures["overhead_us_per_event"]
    targets = [
        f"| {name} | {_at_least(name)} | {ratios[name]:.2f} | "
        f"{'met' if ratios[name] >= least else '**missed**'} |"
        for name, least in TARGETS.items()
        if name in ratios
    ]
    if over is not None:
        met = "met" if over <= OVERHEAD_US else "**missed**"
        targets.append(f"| overhead an event, µs | ≤ {OVERHEAD_US:.0f} | {over:.0f} | {met} |")
    prices = [f"| {name} | {value:+.1f} |" for name, value in figures["price_us"].items()]
    text = TEXT.format(
        date=figures["date"],
        machine=f"{figures['machine']}; {figures['load']}",
        versions=", ".join(f"{name} {version}" for name, version in figures["versions"].items()),
        events=f"{figures['events']:,}",
        rounds=max(row["rounds"] for row in figures["systems"].values()),
        table=table(figures),
        targets="\n".join(targets),
        prices="\n".join(prices),
    )
    (folder / "RESULTS.md").write_text(text)


def _at_least(name: str) -> str:
    return f"≥ {TARGETS[name]}"


TEXT = """\
# riverrun beside what one would use else

Written by `make bench` on {date}; do not edit. {machine}. {versions}.

{events} flights and their arrivals, 4 partitions, key = the aircraft. Every system runs the same
models, one a partition (StandardScaler on five numbers + one-hot on five categories |
LinearRegression, Adam(.02), absolute loss), and every prediction of every system is equal to
River's own to the last bit, else its run does not count. Medians of {rounds} interleaved rounds;
ratios are taken within a round. How it is measured: `benchmarks/side_by_side/measuring.py`. *Over
River alone* is the process's CPU less that of River on the same records in memory, in the same
round, when nothing else of the benchmark runs: two threads of one core slow each other down, so it
holds a part of River's own time too.

{table}

*riverrun is*: events/s of the row `riverrun` over that row's; *by CPU*: the events that a second of
CPU brings, which other work on the machine disturbs less. The peers read one topic in which
events and outcomes are already in order; riverrun reads two and aligns them.

Where the time goes: [a flame graph](profile.svg) of `riverrun`'s own process, made by the same
command in a run of its own (py-spy, so its figures are left out).

| target | wanted | measured | |
| --- | ---: | ---: | --- |
{targets}

What each feature adds, CPU µs an event (event and outcome together), each by itself:

| feature | µs |
| --- | ---: |
{prices}
"""


def check(figures: Summary, path: Path) -> int:
    """Compare with the committed ratios: 1 if one has fallen by more than `WORSE`, or if a run of
    riverrun itself failed; a peer that cannot be had here is only reported.
    """
    before = json.loads(path.read_text())["ratios"]
    failed = [system.name for system in RIVERRUN_SYSTEMS if system.name in figures["missing"]]
    for name in failed:
        print(f"{name}: it failed: {figures['missing'][name]}")
    worse = 0
    for name, was in before.items():
        now = figures["ratios"].get(name)
        if now is None:
            print(f"{name}: not measured this time")
        elif now < was * (1 - WORSE):
            worse += 1
            print(f"{name}: {was:.2f} has become {now:.2f}, {1 - now / was:.0%} less")
    print("no ratio has fallen by more than 15 %" if not worse else f"{worse} ratios have fallen")
    return 1 if worse or failed else 0


__all__ = ["LOOP_ONE", "alone", "check", "summary", "table", "versions", "write"]
