"""Records about single events: their features, prediction and labelled example."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from schemas.records.output_record import OutputRecord, Scalar
from schemas.records.training import Training

ServedBy = Literal["champion", "challenger", "pooled", "baseline", "holdout"]


class Features(OutputRecord):
    """What the models saw, as computed at event time."""

    event_id: str
    event_time: AwareDatetime = Field(description="The event's own time, UTC.")
    features: dict[str, Scalar] = Field(description="Named values; a missing one is absent.")
    step: int = Field(description="Records that the partition had applied, this one included.")


class Prediction(OutputRecord):
    """The prediction of one event, the model that made it, and why that one."""

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
    served_by: ServedBy
    reason: str = Field(description="Why that one answered, in words.")
    model: str = Field(description="name@definition#trained_on of what answered.")
    shadows: dict[str, float | dict[str, float] | None] = Field(
        description="What each model would have predicted; null without a usable number."
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


class Example(OutputRecord):
    """Features joined to their label: one row of the training set that captured itself."""

    event_id: str
    event_time: AwareDatetime
    outcome_time: AwareDatetime | None = Field(description="null where the label is a default.")
    features: dict[str, Scalar]
    label: Scalar
    prediction: Scalar = Field(description="What was served, in the label's unit.")
    baseline: Scalar = Field(description="What the baseline would have predicted.")
    shadows: dict[str, float | dict[str, float] | None] = Field(
        description="What each model predicted then."
    )
    served_by: ServedBy
    segment: str | None = None
    delay_s: float = Field(description="Watermark when the outcome came, minus event time.")
    weight: float = Field(description="1 unless the use case declares weights.")
    learnt: bool = Field(description="False for a late outcome: published and counted only.")
    source: Literal["outcome", "default", "history"] = Field(
        description="A real outcome, the horizon's default label, or backfill."
    )
    kpi: float | None = Field(default=None, description="The KPI of what was served, in its unit.")
    known_time: AwareDatetime | None = Field(
        default=None, description="Of a folded label: the watermark when it counted as known."
    )
    revision: int | None = Field(
        default=None, description="Of a folded label: how often it was corrected by then."
    )
    outcomes: int | None = Field(
        default=None, description="Of a folded label: how many outcomes it is folded of."
    )
    training: Training | None = Field(
        default=None, description="Of an example that the learner of shared models is to learn."
    )
    step: int
    partition: int
