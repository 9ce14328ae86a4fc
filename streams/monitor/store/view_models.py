"""The figures that the page and the command line show: frozen, plain, the same for both.

Times are ISO 8601 in UTC as records have them, durations seconds, amounts in the unit that is
named. `None` means unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.metrics.targets import TargetStatus

RECENT = 7
"""Windows of the overview and the targets."""


@dataclass(frozen=True, slots=True)
class Score:
    """One model over some windows, all partitions together.

    `value` is the use case's metric over `n` labels, [`lower`, `upper`] its 95 % interval where the
    sums allow one (normal for a mean error, Wilson's for accuracy). `kpi` is an amount an event.
    `coverage` is the share of intervals that covered the outcome, `width` their mean width, both of
    `served`.
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
        """Return the share of the predictions that have their label."""
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

    `better` is the direction in which the metric is better, `kpi_better` the KPI's; `level` is the
    declared level of intervals.
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
class ClosedBlock:
    """One closed block, all partitions together: nothing in it changes any more.

    `served` and `baseline` are KPI sums over `kpi_n` outcomes, in its unit; `gain` is how much
    better `served` was, above zero: better.
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
class CalibrationBin:
    """Served predictions of similar probability: their mean, and the observed frequency."""

    n: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Importance:
    """Feature → the mean loss that permuting it adds, the largest first, of one window."""

    start: str
    features: dict[str, float]


@dataclass(frozen=True, slots=True)
class DelayPoint:
    """The share of predictions that have their label by an age."""

    age_s: float
    labelled: float
    at_risk: int


@dataclass(frozen=True, slots=True)
class StateChange:
    """A lifecycle record; the same change in several partitions is one."""

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
class DriftRow:
    """A drift record: `subject` was `was` and is `now`, `since` that time (event time)."""

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
    """A recovery of a partition at a worker; `event_time` is its watermark then (Unix time)."""

    partition: int
    worker: str
    time: float
    event_time: float
    seconds: float


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one cause, among the newest; `positions` name some of them."""

    error_class: str
    stage: str
    topic: str
    cause: str
    count: int
    first: str
    last: str
    example: str
    positions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition by its owner's status; without an owner only its state."""

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
    model_staleness_s: float | None = None  # where partitions share their models
    latency_s: float | None = None
    commit_s: float | None = None
    snapshot_age_s: float | None = None
    snapshot_bytes: int | None = None
    snapshot_cost_s: float | None = None
    recoveries: int | None = None
    snapshot_error: str | None = None
    archive_error: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class LearnerRow:
    """The learner of shared models. `state`: a partition's, or `stopped` until it begins again.

    `stalled_s`: for how long examples have waited while it did not move, as any worker saw it.
    """

    state: str
    worker: str | None = None
    lag: int | None = None
    learnt: int | None = None
    stalled_s: float = 0.0
    snapshot_error: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker that sent its status in the last seconds, at `reported_at`."""

    worker: str
    host: str
    pid: int
    ready: bool
    partitions: tuple[int, ...]
    events_per_s: float
    records_per_s: float
    reported_at: str


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
class Mute:
    """The time until which alerts are not sent to the webhook: of some rules, or (empty) all."""

    until: str
    rules: tuple[str, ...]
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """Alerts that the webhook does not accept: how many wait, since when, and why."""

    waiting: int
    since: str
    why: str


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A definition that ran; `time` is when a worker last started with it."""

    definition: str
    file: str
    riverrun: str
    river: str
    python: str
    time: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Measurements at one time, all partitions together; by the monitor's clock.

    Counts are totals since monitors first looked (monotonic_counts.py): use their differences.
    """

    time: str
    events_per_s: float
    lag: int
    freshness_s: float | None
    latency_s: float | None
    events: int
    outcomes: int
    learnt: int
    late: int
    refused: int
    live: int


@dataclass(frozen=True, slots=True)
class Overview:
    """One use case in one row.

    `state`: live, recovering, degraded (a partition has no owner or waits), stopped, unknown (no
    status can be read). `served` and `baseline` are over the newest `windows` windows; `champion`
    is None where partitions differ. `alerts` are the open ones, the most severe first; `muted` is
    set while they are not sent. `level` is the declared share of outcomes in intervals of numbers.
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
    targets: tuple[TargetStatus, ...]
    champion: str | None
    champions: dict[str, tuple[int, ...]]
    frozen: bool
    definition: str | None
    alerts: tuple[AlertRow, ...]
    muted: Mute | None = None
    level: float | None = None

    def undecided(self, target: TargetStatus) -> bool:
        """Return whether chance or the first windows may explain a target's result.

        Models warm up in the first windows. Freshness is a fact of the moment.
        """
        if target.name != "freshness" and self.windows < RECENT:
            return True
        served = self.served
        if served is None or served.lower is None or served.upper is None:
            return False
        return target.name == self.metric and served.lower <= target.bound <= served.upper
