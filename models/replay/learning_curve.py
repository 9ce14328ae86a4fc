"""The network-effect meter: what further outcomes would be worth, from those that there are.

The same records are run again with fewer outcomes to learn from: nested samples, by hash of the
event's id, so that the quarter is part of the half and the half of the whole. Every event is
answered and every outcome scores its answer in each run; what is outside the sample is not learnt:
by no model, window, interval or safeguard. So the runs differ in what was known, and in nothing
else, and their KPI is compared on the same events, paired block by block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from models.features.featurizer import Entries
from models.metrics.scoring import Judged
from models.outputs.output_records import Output, TrainingFields
from models.pending.codec import PendingPrediction
from models.spec.problem_types import metric_value
from models.spec.use_case import UseCase
from models.task.folded_outcome_handler import FoldedOutcomeHandler
from models.task.outcome_handler import OutcomeHandler
from models.task.partition_task import PartitionTask
from models.task.state import Question
from models.worth.closed_blocks import ClosedBlocks, together
from models.worth.gain import BlockGain, Gain, gain_of, unknown

SHARES = (0.25, 0.5, 1.0)


def drawn(event_id: str) -> float:
    """Return a number from 0 to 1 that an event keeps: a share's sample is what lies below the
    share.

    >>> drawn("a") == drawn("a"), 0 <= drawn("a") < 1
    (True, True)
    """
    digest = blake2b(event_id.encode(), digest_size=8, person=b"learning").digest()
    return int.from_bytes(digest) / 2**64


class SampledTask(PartitionTask):
    """A partition task that scores every outcome and learns from a `share` of them.

    `times` are the event times of what it learnt. Make one by `sampled`.
    """

    share: float
    times: list[float]

    def __init__(self, *given: Any, **named: Any) -> None:
        self.times = []
        super().__init__(*given, **named)


class SampledOutcomes(OutcomeHandler):
    """OutcomeHandler that leaves out what is not in the sample."""

    _parts: SampledTask

    def _is_drawn(self, asked: Question) -> bool:
        return drawn(asked.event.event_id) < self._parts.share

    def teach(
        self,
        asked: Question,
        waiting: PendingPrediction,
        judged: Judged,
        entries: Entries,
        time: float,
        out: list[Output],
    ) -> TrainingFields | None:
        """Learn, if the event is in the sample."""
        if not self._is_drawn(asked):
            return None
        self._parts.times.append(waiting.time)
        return super().teach(asked, waiting, judged, entries, time, out)


class SampledFolds(SampledOutcomes, FoldedOutcomeHandler):
    """The same of labels that are folded; what is left out is not corrected either."""

    def _teach_again(
        self, asked: Question, waiting: PendingPrediction, judged: Judged, out: list[Output]
    ) -> TrainingFields | None:
        if not self._is_drawn(asked):
            return None
        return super()._teach_again(asked, waiting, judged, out)


def sampled(share: float) -> type[SampledTask]:
    """Return the kind of task that learns from that share."""
    kinds = {"learns": SampledOutcomes, "learns_folds": SampledFolds}
    return type("SampledTask", (SampledTask,), {"share": share, **kinds})


@dataclass(frozen=True, slots=True)
class CurveSample:
    """One run: the share, how many outcomes were learnt of what settled, and its evidence."""

    share: float
    learnt: int
    closed: ClosedBlocks


@dataclass(frozen=True, slots=True)
class Rung:
    """One share: outcomes learnt, the metric of what was served, and KPI per event by answerer."""

    share: float
    learnt: int
    metric: float | None
    kpi: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """From one share to the next: how many further outcomes, and what they brought.

    `gain` is per labelled prediction and in all; `per_1000` is the gain in all for every 1,000
    further outcomes, `lower` and `upper` its interval.
    """

    before: float
    after: float
    further: int
    gain: Gain
    per_1000: float | None
    lower: float | None
    upper: float | None


@dataclass(slots=True)
class Curve:
    """The whole answer."""

    use_case: str
    owner: str
    unit: str
    better: str
    metric: str
    alpha: float
    blocks: int
    since: float | None
    until: float | None
    labelled: int
    rungs: list[Rung] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)

    @property
    def last(self) -> Step | None:
        """The gain by the newest further outcomes: the best guess at the next ones."""
        return self.steps[-1] if self.steps else None


def curve(use_case: UseCase, samples: Sequence[CurveSample]) -> Curve:
    """Return the KPI by share, and what each step up brought; shares ascend."""
    blocks = samples[-1].closed.blocks()
    whole = together(blocks)
    learning_curve = Curve(
        use_case=use_case.name,
        owner=use_case.owner,
        unit=use_case.kpi.unit,
        better=use_case.kpi.better,
        metric=use_case.metric,
        alpha=use_case.contest.alpha,
        blocks=len(blocks),
        since=blocks[0].start if blocks else None,
        until=blocks[-1].start + blocks[-1].length_s if blocks else None,
        labelled=whole.kpi_n,
        rungs=[_rung(use_case, sample) for sample in samples],
    )
    alpha = use_case.contest.alpha / max(1, len(samples) - 1)
    for before, after in pairwise(samples):
        learning_curve.steps.append(_step(use_case, before, after, alpha))
    return learning_curve


def _rung(use_case: UseCase, sample: CurveSample) -> Rung:
    whole = together(sample.closed.blocks())
    kpi = {name: total / whole.kpi_n for name, total in whole.kpi.items() if whole.kpi_n}
    for name, total in whole.paired.items():
        if name not in kpi and whole.paired_n:
            kpi[name] = total / whole.paired_n
    sums: Mapping[str, Any] = whole.sums.get("served", {})
    metric = metric_value(use_case.metric, sums.get("n", 0.0), sums)
    return Rung(sample.share, sample.learnt, metric, kpi)


def _step(use_case: UseCase, before: CurveSample, after: CurveSample, alpha: float) -> Step:
    pairs = []
    for few, many in zip(before.closed.blocks(), after.closed.blocks(), strict=True):
        if (few.start, few.kpi_n, few.predictions) != (many.start, many.kpi_n, many.predictions):
            raise ValueError(f"the runs scored different events in the block at {few.start}")
        gain = many.kpi.get("served", 0.0) - few.kpi.get("served", 0.0)
        gain = -gain if use_case.kpi.better == "lower" else gain
        cost = few.kpi.get("served", 0.0)
        pairs.append(BlockGain(many.predictions, many.kpi_n, gain, cost))
    gain_all = gain_of(use_case, pairs, alpha=alpha)
    if any(block.unpriced for block in after.closed.blocks()):
        gain_all = unknown(gain_all)
    further = after.learnt - before.learnt
    per = 1_000 / further if further > 0 else None
    bounds = (gain_all.total, gain_all.total_lower, gain_all.total_upper)
    each = [None if per is None or value is None else value * per for value in bounds]
    return Step(before.share, after.share, further, gain_all, *each)
