"""On Kafka: throughput against partitions, and latency at shares of the most that goes through.

    python -P -m benchmarks.workers.kafka_curves [--quick]    # kafka.json, kafka.svg beside it

Throughput is that of `benchmarks.side_by_side` (a backlog, one process, every prediction equal to
River's), on 1 to 64 partitions. Latency is that of `latency` at 10, 50 and 80 % of what
its light use case answers at most, which is found first by raising the rate until the events that
are sent are no longer answered as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.curves import Curve, drawn
from benchmarks.servers import output_of

HERE = Path(__file__).parent
PARTITIONS = (1, 4, 16, 64)
SHARES = (0.1, 0.5, 0.8)
RATES = (1_000, 2_000, 3_000, 4_000, 5_000, 6_000)
KEPT_UP = 0.95
"""Answered within the time in which they were sent, as a share, to count as kept up."""
SLOW_MS = 1_000


def throughput(partitions: int, events: int) -> float | None:
    """Events a second of riverrun alone on so many partitions; None if its run did not count."""
    command = ["benchmarks.side_by_side", "--only", "riverrun", "--rounds", "1"]
    table = _run([*command, "--events", str(events)], {"BENCH_PARTITIONS": str(partitions)})
    row = next(line for line in table.splitlines() if line.startswith("| riverrun |"))
    rate_text = row.split("|")[4].split()[0].replace(",", "")
    return float(rate_text) if rate_text.isdigit() else None


def latency(rate: float, seconds: float) -> dict[str, float]:
    """One row of `benchmarks.workers.latency`."""
    text = _run(["benchmarks.workers.latency", "--rate", str(rate), "--seconds", str(seconds)], {})
    aimed, sent, median, p99, p999, _, cpu, _ = text.splitlines()[-1].replace(",", "").split()
    return {
        "rate": float(aimed),
        "events_s": float(sent),
        "median_ms": float(median),
        "p99_ms": float(p99),
        "p999_ms": float(p999),
        "worker_cpu_percent": float(cpu),
    }


def _run(command: list[str], environment: dict[str, str]) -> str:
    whole = [sys.executable, "-P", "-m", *command]
    print("+", " ".join(whole[3:]), file=sys.stderr)
    return output_of(whole, {**os.environ, **environment})


def most(seconds: float) -> float:
    """The highest rate of `RATES` that is answered as it comes."""
    sustained = float(RATES[0])
    for rate in RATES:
        row = latency(rate, seconds)
        print(row, file=sys.stderr)
        if row["events_s"] < KEPT_UP * rate or row["p99_ms"] > SLOW_MS:
            break
        sustained = float(rate)
    return sustained


def main() -> int:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(prog="benchmarks.workers.kafka_curves")
    parser.add_argument("--quick", action="store_true", help="a fifth of the events and seconds")
    options = parser.parse_args()
    events, seconds = (4_000, 4.0) if options.quick else (20_000, 15.0)
    measured = [(float(n), throughput(n, events)) for n in PARTITIONS]
    through = [(n, value) for n, value in measured if value is not None]
    top = most(seconds / 2)
    rows = [latency(top * share, seconds) for share in SHARES]
    results = {"events_s_by_partitions": through, "most_events_s": top, "latency": rows}
    (HERE / "kafka.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    curves = [Curve("partitions: events/s of one process", through)]
    for name, title in (("median_ms", "median"), ("p99_ms", "99 %"), ("p999_ms", "99.9 %")):
        points = [(100 * share, row[name]) for share, row in zip(SHARES, rows, strict=True)]
        curves.append(Curve(f"latency, {title}, ms, at % of {top:,.0f}/s", points))
    (HERE / "kafka.svg").write_text(drawn(curves, "on Kafka, one worker process"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
