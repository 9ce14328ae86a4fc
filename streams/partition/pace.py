"""How long a runner waits for records, and how many it takes at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How long to wait and how much to take at once."""

    # An input that has more, which is not fetched yet: out of order, outcomes would meet no event.
    # Once for an input whose broker is gone.
    alignment_wait_s: float = 10.0
    batch_records_max: int = 2_000
    batch_s_max: float = 0.05
    # While this many records wait, all are late anyhow: larger transactions catch up sooner.
    backlog_records: int = 1_000
    backlog_batch_s_max: float = 0.25
    # With many partitions in one worker: so many in each, and so long for each.
    backlog_each: int = 100
    backlog_turn_s: float = 0.03
    # A transaction costs about 1.5 ms of CPU: at most 15 % of it, whatever the partitions.
    commit_interval_s: float = 0.01  # times the partitions of this worker
    slice_s_max: float = 0.005  # longest time without a turn of the event loop
    report_interval_s: float = 1.0
    stop_s_max: float = 5.0

    def batch_s(self, waiting: int, siblings: int) -> float:
        """Return how long a batch may take, by how many records wait in each of the partitions: a
        transaction costs the same for ten records as for 1,000, and they take turns.
        """
        shortest = max(self.batch_s_max, self.commit_interval_s * siblings)
        if waiting * siblings < self.backlog_records or waiting < self.backlog_each:
            return shortest
        return max(shortest, self.backlog_batch_s_max, self.backlog_turn_s * siblings)
