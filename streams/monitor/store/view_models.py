"""What the page and the command line show: frozen, plain, the same for both.

Times are ISO 8601 in UTC as records have them, durations seconds, amounts in the unit that is
named. `None` means not known, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.targets import Held


@dataclass(frozen=True, slots=True)
class Score:
    """One model over some windows, all partitions together.

    `value` is the use case's metric over `n` labels, [`lower`, `upper`] its 95 % interval where the
    sums tell one (normal for a mean error, Wilson's for accuracy). `kpi` is an amount an event.
    `coverage` is the share of intervals that held, `width` their mean width, both of `served`.
    """

    model: str
    predictions: int
    outcomes: int
    n: int
    value: float | None
    lower: float | None
    upper: float | None
    bias: float | None
    kpi: float | None
    kpi_sum: float
    kpi_n: int
    intervals: int
    coverage: float | None
    width: float | None
    guarded: int
    expired: int
    late: int

    @property
    def maturity(self) -> float | None:
        """The share of the predictions that have their label."""
        return self.outcomes / self.predictions if self.predictions else None


@dataclass(frozen=True, slots=True)
class Point:
    """One window of event time, by model name; `served` and `baseline` among them."""

    start: str
    window_s: float
    predictions: int
    outcomes: int
    maturity: float | None
    scores: dict[str, Score]


@dataclass(frozen=True, slots=True)
class Quality:
    """Windows of one group, oldest first, and all of them together.

    `better` says which way the metric is better, `kpi_better` the KPI; `level` is the declared
    level of intervals.
    """

    use_case: str
    segment: str | None
    slice: str | None
    metric: str
    better: str
    kpi_unit: str
    kpi_better: str
    level: float | None
    models: tuple[str, ...]
    points: tuple[Point, ...]
    total: dict[str, Score]


@dataclass(frozen=True, slots=True)
class Group:
    """A segment or slice: served against baseline, and its gap to all of the use case.

    `gap` is how much worse the metric is than over all (below zero: better), in its unit.
    """

    name: str
    segment: str | None
    slice: str | None
    served: Score
    baseline: Score | None
    gap: float | None


@dataclass(frozen=True, slots=True)
class Settled:
    """One settled block, all partitions together: nothing in it changes any more.

    `served` and `baseline` are KPI sums over `kpi_n` outcomes, in its unit; `gain` is what was
    served better by, above zero: better.
    """

    start: str
    block_s: float
    predictions: int
    missing: int
    kpi_n: int
    served: float
    baseline: float
    gain: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Served answers of about the same probability: its mean, and the share that came true."""

    n: int
    said: float
    true: float


@dataclass(frozen=True, slots=True)
class Importance:
    """Feature → the mean loss that permuting it adds, the largest first, as of one window."""

    start: str
    features: dict[str, float]


@dataclass(frozen=True, slots=True)
class DelayPoint:
    """The share of predictions that have their label by that age."""

    age_s: float
    labelled: float
    at_risk: int


@dataclass(frozen=True, slots=True)
class Change:
    """A lifecycle record, the same change of several partitions as one."""

    time: str
    model: str
    segment: str | None
    from_state: str | None
    to_state: str
    cause: str
    who: str
    why: str
    command_id: str | None
    event_time: str | None
    partitions: tuple[int, ...]
    evidence: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Drifted:
    """A drift record: `subject` was so and is so, `since` that time (event time)."""

    time: str
    partition: int
    detector: str
    subject: str
    was: str
    now: str
    since: str
    severity: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Restart:
    """A partition that began anew at a worker; `event_time` is its watermark then (Unix time)."""

    partition: int
    worker: str
    time: float
    event_time: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of one cause among the newest of each partition; `places` name some of them."""

    error_class: str
    stage: str
    topic: str
    cause: str
    count: int
    first: str
    last: str
    example: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition as its owner told it; without an owner only its state."""

    partition: int
    state: str
    worker: str | None = None
    lag: int | None = None
    events: int | None = None
    outcomes: int | None = None
    learnt: int | None = None
    late: int | None = None
    expired: int | None = None
    refused: int | None = None
    events_per_s: float | None = None
    freshness_s: float | None = None
    latency_s: float | None = None
    commit_s: float | None = None
    snapshot_age_s: float | None = None
    snapshot_bytes: int | None = None
    snapshot_cost_s: float | None = None
    recoveries: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker that spoke in the last seconds."""

    worker: str
    host: str
    pid: int
    ready: bool
    partitions: tuple[int, ...]
    events_per_s: float
    records_per_s: float
    told: str


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert, by its newest record."""

    alert_id: str
    rule: str
    subject: str
    state: str
    severity: str
    cause: str
    command: str
    opened_at: str
    closed_at: str | None


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A definition that ran; `time` is when a worker last began with it."""

    definition: str
    file: str
    riverrun: str
    river: str
    python: str
    time: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment, all partitions together; by the monitor's clock."""

    time: str
    events_per_s: float
    lag: int
    freshness_s: float | None
    latency_s: float | None
    events: int
    learnt: int
    refused: int
    live: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One use case in one row.

    `state`: live, recovering, degraded (a partition has no owner or waits), stopped, unknown (no
    status is to be had). `served` and `baseline` are over the newest `windows` windows;
    `champion` is None where partitions differ. `alerts` are the open ones, the gravest first.
    """

    use_case: str
    owner: str
    state: str
    partitions_live: int
    partitions: int
    events_per_s: float | None
    lag: int | None
    freshness_s: float | None
    metric: str
    kpi_unit: str
    kpi_better: str
    windows: int
    until: str | None
    served: Score | None
    baseline: Score | None
    kpi_gain: float | None
    targets: tuple[Held, ...]
    champion: str | None
    champions: dict[str, tuple[int, ...]]
    frozen: bool
    definition: str | None
    alerts: tuple[AlertRow, ...]
