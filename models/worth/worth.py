"""What a use case is worth: what was served against the baseline, in the KPI's own unit.

Three figures are told apart. The *total* is what the outcomes that came say happened: a fact, if
what is served does not change the outcome. Its *interval* says how much of it is no luck: a
confidence sequence over closed blocks, so that it may be read every day and is right about all of
the days together, but for a share `Contest.alpha` of use cases. The *worst case* adds what the
outcomes that never came could have hidden. The verdict is on what is left after the price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.metrics.targets import TargetStatus, judged
from models.metrics.windowed_metrics import Group
from models.spec.use_case import UseCase
from models.worth.breakdown import (
    Answerer,
    Cost,
    GainPoint,
    cost_of,
    mean_of,
    model_of,
    points_of,
    segment_of,
)
from models.worth.closed_blocks import Block, ClosedBlocks, together
from models.worth.gain import Gain, Verdict, gained, held_out, unknown
from models.worth.slice_gaps import Slice, slices_of

DAY_S = 86_400.0
WAITING_BLOCKS = 2
"""The number of blocks by which a partition may be behind the others before it is named."""


@dataclass(slots=True)
class Worth:
    """The whole answer. `net` is what is left of `gain` after the cost; the verdict is on it."""

    use_case: str
    segment: str | None
    slice: str | None
    owner: str
    unit: str
    better: str
    metric: str
    alpha: float
    blocks: int
    block_s: float
    since: float | None
    until: float | None
    predictions: int
    labelled: int
    missing: int
    unpriced: int
    kpi: dict[str, float | None]
    gain: Gain
    net: Gain
    verdict: Verdict
    days_needed: float | None
    cost: Cost | None
    models: list[Answerer] = field(default_factory=list)
    segments: list[Answerer] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    targets: list[TargetStatus] = field(default_factory=list)
    points: list[GainPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        fields = asdict(self)
        fields["targets"] = [held._asdict() for held in self.targets]
        return fields


def worth(
    use_case: UseCase,
    closed: ClosedBlocks,
    cpu_us: Mapping[str, float] | None = None,
    group: Group = (None, None),
) -> Worth:
    """Return the worth by the closed blocks: of all, or of one segment or slice.

    `cpu_us` is CPU an event, by model and `riverrun`.
    """
    blocks = closed.blocks(group)
    whole = together(blocks)
    cost = cost_of(use_case, together(closed.blocks()), whole, cpu_us)
    answerers, alpha = ("served", "baseline"), use_case.contest.alpha
    gain = gained(use_case, blocks, answerers, alpha=alpha)
    net = gain
    if cost is not None and whole.kpi_n:
        net = gained(use_case, blocks, answerers, price=cost.total / whole.kpi_n, alpha=alpha)
    everything = group == (None, None)
    segments = sorted({s for s, _ in closed.groups() if s is not None and everything})
    result = Worth(
        use_case=use_case.name,
        segment=group[0],
        slice=group[1],
        owner=use_case.owner,
        unit=use_case.kpi.unit,
        better=use_case.kpi.better,
        metric=use_case.metric,
        alpha=alpha,
        blocks=len(blocks),
        block_s=blocks[0].length_s if blocks else use_case.window,
        since=blocks[0].start if blocks else None,
        until=blocks[-1].start + blocks[-1].length_s if blocks else None,
        predictions=whole.predictions,
        labelled=whole.kpi_n,
        missing=whole.missing,
        unpriced=whole.unpriced,
        kpi={name: mean_of(total, whole.kpi_n) for name, total in whole.kpi.items()},
        gain=gain,
        net=net,
        verdict=net.verdict,
        days_needed=None,
        cost=cost,
        models=[model_of(use_case, blocks, name, cost) for name in use_case.models],
        segments=[segment_of(use_case, closed, name, len(segments)) for name in segments],
        slices=slices_of(use_case, closed) if everything else [],
        targets=_targets(use_case, whole),
        points=points_of(use_case, blocks),
    )
    if use_case.contest.acts_on_outcome:
        _only_by_holdout(use_case, blocks, result)
    if whole.unpriced:
        _without_verdict(result)
    _decide(closed, result)
    return result


def _only_by_holdout(use_case: UseCase, blocks: Sequence[Block], result: Worth) -> None:
    """Note that answers change outcomes, so what the baseline would have brought is unseen."""
    result.models, result.segments = _hints(result.models), _hints(result.segments)
    result.notes.append(
        "What is served changes the outcome here: the figures of single models and segments are "
        "hints, as what others would have brought was never seen."
    )
    price = 0.0 if result.cost is None else result.cost.total / max(1, result.labelled)
    gross, net = held_out(use_case, blocks), held_out(use_case, blocks, price=price)
    if gross is None or net is None:
        result.gain, result.net = unknown(result.gain), unknown(result.net)
        result.points = [replace(point, lower=None, upper=None) for point in result.points]
        result.notes.append("Only a holdout can tell what it is worth: declare Contest(holdout=…).")
    else:
        result.gain, result.net = gross[0], net[0]
        result.points = [
            replace(
                point,
                total=at.total,
                lower=None if at.lower is None else at.lower * at.labelled,
                upper=None if at.upper is None else at.upper * at.labelled,
            )
            for point, at in zip(result.points, gross[1], strict=True)
        ]
        result.notes.append("The gain is on units that the baseline answers for ever: the holdout.")
    result.verdict = result.net.verdict


def _without_verdict(result: Worth) -> None:
    """Withdraw the verdict: where some labels have no KPI, the others are no fair sample."""
    result.gain, result.net = unknown(result.gain), unknown(result.net)
    result.models, result.segments = _hints(result.models), _hints(result.segments)
    result.points = [replace(point, lower=None, upper=None) for point in result.points]
    result.verdict = result.net.verdict
    result.notes.insert(
        0,
        f"{result.unpriced:,} predictions have the default label, for which no KPI could be "
        "computed, so the sums are of the others only and there is no verdict. Declare the fields "
        "of the outcome that it stands for: label_on_timeout={...}.",
    )


def _hints(rows: Sequence[Answerer]) -> list[Answerer]:
    return [replace(row, gain=unknown(row.gain)) for row in rows]


def _targets(use_case: UseCase, whole: Block) -> list[TargetStatus]:
    """Return the targets that closed blocks can tell: all but how fresh a stream is now."""
    sums, kpi = whole.sums.get("served", {}), whole.kpi.get("served", 0.0)
    # Where some labels have no KPI, the others are no fair sample of it.
    targets = judged(use_case, sums, kpi_sum=kpi, kpi_n=0 if whole.unpriced else whole.kpi_n)
    return [held for held in targets if held.name != "freshness"]


def _decide(closed: ClosedBlocks, result: Worth) -> None:
    if result.verdict == "not known yet" and result.net.blocks_needed is not None:
        result.days_needed = result.net.blocks_needed * result.block_s / DAY_S
    if result.net.not_promised is not None:
        result.notes.append(f"Not promised here: {result.net.not_promised}.")
    if result.net.assumes is not None and result.verdict != "not known yet":
        result.notes.append(f"The verdict assumes {result.net.assumes}.")
    if closed.laggards:
        result.notes.append(
            f"Partitions {closed.laggards} are too far behind and were not waited for."
        )
    if closed.waiting_s > WAITING_BLOCKS * result.block_s:
        result.notes.append(
            f"Newer blocks wait for partition {closed.slowest}, which is "
            f"{closed.waiting_s / DAY_S:.3g} days behind: no block counts before all have it."
        )
    if len(closed.definitions) > 1:
        result.notes.append(f"{len(closed.definitions)} definitions answered in this time.")
    if result.cost is None:
        result.notes.append(
            "No price is declared, so nothing is taken off for what it costs to run."
        )
