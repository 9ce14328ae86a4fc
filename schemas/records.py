"""What comes out: one pydantic model a record type, every field with its unit.

The partition task builds these as plain dictionaries, since nothing is validated twice past the
edge; a test holds every record that the task makes against its model here. All values are
deterministic: the time of answering is the record's own Kafka timestamp and never a value.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Scalar = bool | int | float | str
"""A feature's value, or a label: JSON's own scalars."""

AnsweredBy = Literal["champion", "challenger", "pooled", "baseline", "holdout"]


class Published(BaseModel):
    """Any record that riverrun writes: unknown fields are a defect."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Features(Published):
    """What the models saw, as computed at event time."""

    event_id: str
    event_time: AwareDatetime = Field(description="The event's own time, UTC.")
    features: dict[str, Scalar] = Field(description="Named values; a missing one is absent.")
    step: int = Field(description="Records that the partition had applied, this one included.")


class Prediction(Published):
    """What was said of one event, by whom, and why."""

    event_id: str
    event_time: AwareDatetime = Field(description="The event's own time, UTC.")
    value: Scalar = Field(description="The answer, in the label's unit; for classes, the class.")
    probabilities: dict[str, float] | None = Field(
        default=None, description="Class (as text) to probability, for classification."
    )
    interval: tuple[float, float] | None = Field(
        default=None, description="Lower and upper bound, in the label's unit."
    )
    classes: list[str] | None = Field(
        default=None, description="The classes not ruled out at the declared level."
    )
    segment: str | None = Field(default=None, description="The segment it was answered for.")
    answered_by: AnsweredBy
    reason: str = Field(description="Why that one answered, in words.")
    model: str = Field(description="name@definition#trained_on of what answered.")
    shadows: dict[str, float | dict[str, float] | None] = Field(
        description="What each model would have said; null where it gave no usable number."
    )
    contributions: dict[str, float] | None = Field(
        default=None, description="The largest contributions, in the model's own unit."
    )
    reference: float | None = Field(
        default=None, description="What the contributions and the rest are added to."
    )
    rest: float | None = Field(default=None, description="All smaller contributions together.")
    seq: int = Field(description="The journal entry that holds it.")
    step: int = Field(description="Records that the partition had applied, this one included.")
    partition: int = Field(description="The Kafka partition of its event.")


class Example(Published):
    """Features joined to their label: one row of the training set that captured itself."""

    event_id: str
    event_time: AwareDatetime
    outcome_time: AwareDatetime | None = Field(description="null where the label is a default.")
    features: dict[str, Scalar]
    label: Scalar
    said: Scalar = Field(description="What was served, in the label's unit.")
    baseline: Scalar = Field(description="What the baseline would have said.")
    shadows: dict[str, float | dict[str, float] | None] = Field(
        description="What each model said then."
    )
    answered_by: AnsweredBy
    segment: str | None = None
    delay_s: float = Field(description="Watermark when the outcome came, minus event time.")
    weight: float = Field(description="1 unless the use case declares weights.")
    learnt: bool = Field(description="False for a late outcome: published and counted only.")
    source: Literal["outcome", "default", "history"] = Field(
        description="A real outcome, the horizon's default label, or backfill."
    )
    kpi: float | None = Field(default=None, description="The KPI of what was served, in its unit.")
    step: int
    partition: int


class Metric(Published):
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
    kpi_sum: float | None = Field(description="Sum of the KPI over the outcomes, in its unit.")
    kpi_n: int = Field(description="Outcomes that have a KPI; a default label has none.")
    kpi_unit: str | None
    guarded: int = Field(description="Values that were withheld: not finite or out of limits.")
    expired: int = Field(description="Predictions whose horizon passed without an outcome.")
    late: int = Field(description="Outcomes that came after their horizon.")
    definition: str
    step: int


class Drift(Published):
    """Something changed: what it was, what it is, since when."""

    use_case: str
    partition: int
    detector: str
    subject: str = Field(
        description="A feature's name, `missing:<feature>`, `prediction` or `error:<model>`."
    )
    was: str
    now: str
    since: AwareDatetime
    severity: Literal["notice", "warning", "alarm"]
    step: int


class Lifecycle(Published):
    """A model or a partition changed its state: who, when, why."""

    use_case: str
    partition: int
    model: str
    segment: str | None = None
    from_state: str | None
    to_state: str
    cause: Literal["definition", "operator", "rule", "safeguard", "limit"]
    who: str
    why: str
    command_id: str | None = None
    evidence: dict[str, Any] | None = None
    event_time: AwareDatetime | None = Field(description="The watermark when it was applied.")
    step: int


class DeadLetter(Published):
    """A record that could not be used, as it came; the cause is in the record's headers too."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_base64: str | None
    value_base64: str | None = Field(description="The original bytes, cut at 512 KiB.")
    value_bytes: int = Field(description="How long the original was.")
    headers: list[tuple[str, str]] = Field(description="Name and base64 value, in their order.")
    stage: Literal["read", "event", "outcome", "command"]
    error_class: str
    error: str = Field(description="What is wrong and what to do.")
    step: int


class Redefined(Published):
    """A new definition was begun, deliberately: how, by whom and why."""

    before: str = Field(description="The definition until then.")
    how: Literal["warm", "keep", "clean"] = Field(description="What became of the state.")
    who: str
    why: str
    time: AwareDatetime = Field(description="When it was asked, UTC.")


class JournalEntry(Published):
    """One committed batch: which runs of which input were applied, in which order."""

    seq: int = Field(description="Dense number of this entry, from 0.")
    step: int = Field(description="Records applied up to and with this entry.")
    runs: list[tuple[int, int, int, int]] = Field(
        description="input (0 events, 1 outcomes, 2 commands, 3 history), first offset, count, next"
    )
    next: list[int] = Field(description="Offset of the next record of each input; -1: none yet.")
    definition: str = Field(description="Hash of the use case's definition that applied them.")
    redefined: Redefined | None = Field(
        default=None, description="This entry began that definition; it has no runs."
    )


class Definition(Published):
    """A use case as it was when it ran, so that an older prediction can be verified."""

    use_case: str
    definition: str = Field(description="The hash that journal entries name.")
    file: str
    source: str
    python: str
    river: str
    riverrun: str
    runtime: str = Field(description="What the hash is of besides the source.")
    lock: str = Field(description="The installed distributions, `name==version` a line.")
