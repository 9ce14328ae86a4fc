"""Records about a partition over time: metrics, drift and label delays."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from schemas.records.output_record import OutputRecord


class Metric(OutputRecord):
    """Counts and sums of one window, segment and model, so that partitions add up.

    A later record with the same key replaces an earlier one.
    """

    use_case: str
    partition: int
    window_start: AwareDatetime = Field(description="Event-time window, aligned to its length.")
    window_s: float
    segment: str | None
    slice: str | None = Field(default=None, description="A declared group, as `name=value`.")
    model: str = Field(description="A model's name, `served` or `baseline`.")
    predictions: int = Field(description="Events of the window that were answered.")
    outcomes: int = Field(description="Of those, how many have their label by now.")
    maturity: float = Field(description="outcomes / predictions.")
    sums: dict[str, float] = Field(description="Mergeable sums; the metric's name says which.")
    metric: str
    value: float | None = Field(description="The metric from these sums alone; null when empty.")
    reliability: list[tuple[float, float, float]] | None = Field(
        default=None,
        description="Of served classes, in ten bins of the probability (of true; of the predicted "
        "class): how many, the sum of the probabilities, how many came true.",
    )
    importance: dict[str, float] | None = Field(
        default=None,
        description="Of the champion, in the newest window of the whole partition: the mean loss "
        "that permuting each feature adds, the largest first.",
    )
    model_staleness_s: float | None = Field(
        default=None,
        description="Of `served`, in the newest window of the whole partition, where models are "
        "shared: event time between the partition and the newest version that it has; null before "
        "the first one.",
    )
    kpi_sum: float | None = Field(description="Sum of the KPI over the outcomes, in its unit.")
    kpi_n: int = Field(description="Outcomes that have a KPI; a default label has none.")
    kpi_unit: str | None
    guarded: int = Field(description="Values that were withheld: not finite or out of limits.")
    stood_in: int = Field(
        default=0,
        description="Of the scored ones: the baseline was scored instead of a withheld value.",
    )
    expired: int = Field(description="Predictions whose horizon passed without an outcome.")
    late: int = Field(description="Outcomes that came after their horizon.")
    definition: str
    step: int


class Drift(OutputRecord):
    """Something changed: what it was, what it is, since when."""

    use_case: str
    partition: int
    detector: str
    subject: str = Field(
        description="A feature's name, `missing:<feature>`, `prediction`, `error:<model>`, "
        "`volume:events` (fewer come) or `labels`."
    )
    was: str = Field(description="What it was, in words.")
    now: str = Field(description="What it is now, in words.")
    since: AwareDatetime
    severity: Literal["notice", "warning", "alarm"]
    done: str = Field(default="alert", description="What was done: alert, or the declared action.")
    edges: list[float] | None = Field(
        default=None, description="Inner edges of the bins of `then` and `now_shares`, of a number."
    )
    names: list[str] | None = Field(default=None, description="The bins' names, of categories.")
    then: list[float] | None = Field(default=None, description="Share of each bin before, 0 to 1.")
    now_shares: list[float] | None = Field(default=None, description="Share of each bin since.")
    step: int


class Delays(OutputRecord):
    """How long labels take, as counts that partitions add up: a survival curve in the making."""

    use_case: str
    partition: int
    segment: str | None = None
    edges_s: list[float] = Field(description="Upper edges of the bins of ages, seconds.")
    labelled: list[int] = Field(description="Labels that came at an age within the bin.")
    exposed: list[float] = Field(
        description="Predictions that reached the bin without a label; those that still wait "
        "within it count half."
    )
    definition: str
    step: int
