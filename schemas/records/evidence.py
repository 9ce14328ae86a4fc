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
    reliability: list[tuple[float, float, float]] | None = Field(
        default=None,
        description="Of served classes, in ten bins of the probability (of true; of the class that "
        "was said): how many, the sum of the probabilities, how many came true.",
    )
    importance: dict[str, float] | None = Field(
        default=None,
        description="Of the champion, in the newest window of the whole partition: the mean loss "
        "that permuting each feature adds, the largest first.",
    )
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
    done: str = Field(default="alert", description="What was done: alert, or the declared action.")
    edges: list[float] | None = Field(
        default=None, description="Inner edges of the bins of `then` and `now_shares`, of a number."
    )
    names: list[str] | None = Field(default=None, description="The bins' names, of categories.")
    then: list[float] | None = Field(default=None, description="Share of each bin before, 0 to 1.")
    now_shares: list[float] | None = Field(default=None, description="Share of each bin since.")
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


class Arm(Published):
    """One arm of an experiment in one block: sums over all that its units brought.

    A unit (a user, a flight) keeps its arm and, in it, its group, by hash. The groups are the unit
    of evidence: what units are like, once and for all, differs between groups of one arm as it does
    between arms, on whatever partitions and in however many blocks they appear.
    """

    predictions: int = Field(description="Events of the arm that were answered.")
    n: int = Field(description="Of those, how many have a KPI.")
    kpi: float = Field(description="Their KPI together, in its unit.")
    sums: dict[str, float] = Field(description="The metric's mergeable sums of what was served.")
    groups: list[tuple[int, float]] = Field(
        description="Of each group of units: predictions with a KPI, their KPI together."
    )


class Evidence(Published):
    """What one settled block of event time says of every model: sums that partitions add up.

    Settled: all its predictions have their outcome or are expired, so nothing in it can change.
    """

    use_case: str
    partition: int
    block_start: AwareDatetime = Field(description="Start of the block, event time.")
    block_s: float = Field(description="Its length, seconds.")
    settled_before: AwareDatetime = Field(
        description="Every block of this partition that ends by then is settled."
    )
    segment: str | None = Field(default=None, description="null: the whole partition.")
    slice: str | None = Field(default=None, description="A declared group, as `name=value`.")
    predictions: int = Field(description="Events that were answered.")
    missing: int = Field(description="Of those, how many never got an outcome.")
    kpi_n: int = Field(description="Outcomes that have a KPI.")
    kpi: dict[str, float] = Field(
        description="KPI sums over them of what was `served` and of the `baseline`."
    )
    paired_n: int = Field(description="Of those, how many every model predicted.")
    paired: dict[str, float] = Field(
        description="KPI sums over these of the `baseline` and of each model, by name."
    )
    sums: dict[str, dict[str, float]] = Field(
        description="The metric's mergeable sums of `served`, `baseline` and each model."
    )
    arms: dict[str, Arm] = Field(
        description="What was served in each arm of an experiment: `champion`, each challenger by "
        "name, `holdout`. Of the whole partition only; else empty."
    )
    withheld: dict[str, int] = Field(
        description="By model: values that were not finite or left the limits; never served."
    )
    wild: dict[str, int] = Field(
        default_factory=dict,
        description="Of these, by model: not finite, or further outside the limits than they are "
        "wide.",
    )
    champion: str = Field(description="Who was champion when the block settled.")
    champion_since: AwareDatetime | None = Field(
        description="Watermark when that champion began; null: from the start."
    )
    experiment_since: AwareDatetime | None = Field(
        description="Watermark when the arms were last changed; null: as from the start."
    )
    began: dict[str, AwareDatetime] = Field(
        description="Watermark when a model began anew; those from the start are left out."
    )
    definition: str
    step: int


class Standing(Published):
    """What the evidence of all partitions says by now of one model against another."""

    use_case: str
    question: Literal["shadow", "experiment", "worth"] = Field(
        description="A model in shadow against the champion; an experiment's arms; what was "
        "served against the baseline."
    )
    model: str
    against: str
    segment: str | None = None
    block_start: AwareDatetime = Field(description="The last block that was taken in.")
    blocks: int
    labelled: int
    missing: int
    gain: float = Field(description="Mean gain per prediction, in the KPI's unit; above 0: better.")
    lower: float = Field(description="Lower bound of the gain, valid at any time.")
    upper: float
    worst_lower: float = Field(description="Lower bound with missing outcomes at their worst.")
    worst_upper: float
    alpha: float = Field(description="This comparison's share of the error budget.")
    kpi_unit: str
    verdict: Literal["better", "worse", "undecided"]
    strictly: Literal["better", "worse", "undecided"] = Field(
        description="The same by bets that assume nothing but the declared range."
    )
    decided_at: AwareDatetime | None = Field(description="The block that decided it.")
    blocks_needed: int | None = Field(
        description="About how many further blocks decide it, if all goes on as it does."
    )
    recommendation: str = Field(description="What to do now, in words.")
    command_id: str | None = Field(default=None, description="The command that a rule sent.")
    partitions: list[int] = Field(
        description="Those whose evidence is in it; one that is far behind and idle is passed over."
    )
    definition: str


class Alert(Published):
    """Something an operator should know: opened once, closed by itself."""

    alert_id: str = Field(description="The same for its opening and its closing.")
    use_case: str
    rule: str = Field(description="Which rule raised it.")
    subject: str = Field(description="What it is about: a partition, feature, model or target.")
    state: Literal["open", "closed"]
    severity: Literal["notice", "warning", "alarm"]
    cause: str = Field(description="What was seen, with its figures.")
    command: str = Field(description="The command that looks further or answers it.")
    opened_at: AwareDatetime = Field(description="By the monitor's clock, UTC.")
    closed_at: AwareDatetime | None = None


class Delays(Published):
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
    restored: list[str] | None = Field(
        default=None, description="Commands in it that put a model back as it was at a place."
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
