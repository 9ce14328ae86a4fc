"""Which airlines' own models earn the place of their airport's common one on the flights.

    python -P -m benchmarks.decisions.segments_of_flights            # 100,000 records: two minutes
    python -P -m benchmarks.decisions.segments_of_flights 700000     # the year

Own models are judged as they are live (models.serving.segment_promotion): by the KPI, over settled
days, with the error budget of the use case.
"""

from __future__ import annotations

import sys
from itertools import islice

from models.replay.backtest import Backtest
from streams.config.use_case_loader import load


def main(records: int = 100_000) -> None:
    """Print a row for each airport and airline, the largest gains first."""
    loaded = load("flight_eta")
    use_case = loaded.use_case
    assert use_case.recorded is not None
    run = Backtest(use_case, use_case.partitions, loaded.definition)
    for kind, fields in islice(use_case.recorded(), records):
        run.feed(kind, fields)
    rows = []
    for partition, task in sorted(run.tasks.items()):
        for segment, earnings in task.router.own.earning.items():
            for model, earning in earnings.items():
                c = earning.comparison
                rows.append((earning.earned, c.mean, partition, segment, model, c))
    print(f"{sum(row[0] for row in rows)} of {len(rows)} own models have earned their place")
    print("partition segment  model     days  labelled  gain, USD an event        earned")
    for earned, mean, partition, segment, model, c in sorted(rows, key=lambda row: -row[1]):
        low, high = c.interval
        bounds = f"[{low:.1f}, {high:.1f}]"
        print(
            f"{partition:9d} {segment:8s} {model:8s} {c.seen:5d} {c.labelled:9,d}"
            f"  {mean:8.2f} {bounds:18s} {'yes' if earned else 'no'}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
