"""Records about which model is better: the evidence of blocks, and comparisons."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from schemas.records.output_record import OutputRecord


class Arm(OutputRecord):
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


class Evidence(OutputRecord):
    """What one closed block of event time says of every model: sums that partitions add up.

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
    missing: int = Field(
        description="Of those, how many have no KPI: no outcome and no default label gave one."
    )
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
    diverged: dict[str, int] = Field(
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
        description="Watermark when a model started over; those from the start are left out."
    )
    definition: str
    step: int


class Standing(OutputRecord):
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
    blocks_least: int = Field(description="Nothing is decided before so many blocks.")
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
    not_promised: str | None = Field(
        default=None,
        description="Why the error budget is not promised for this verdict; null where it is.",
    )
    assumes: str | None = Field(
        default=None,
        description="What the verdict takes for granted, since so few blocks cannot show it.",
    )
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
