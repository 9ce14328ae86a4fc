"""Which feature, prediction or error has changed, from what to what, and since when.

Whole blocks (days of event time) are compared with whole blocks, so no hour is compared with
another hour, and the correlation of neighbouring records stays inside the block. Each watched
stream has a summary (block_summary.py) that turns a block into one score, and a rank detector
(rank_detector.py) that notices when scores have risen for good.

False alarms. Each of D detectors alarms at evidence A = D·max(blocks_between, records_between /
records in a block): while blocks are exchangeable, all of them together alarm falsely at most once
in `records_between` (a million) records and once in `blocks_between` blocks, in the mean; in
simulation five times more rarely. That is a theorem about exchangeable blocks (i.i.d. days, days
shuffled). It is measured, not proved, for streams whose memory is short beside a block. It says
nothing about a true season: that is a change, and is reported as one.

Figures: benchmarks/drift_alarms.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from models.evidence.block_summary import (
    CategorySummary,
    Histograms,
    MeanSummary,
    MissingSummary,
    NumericSummary,
    Summary,
)
from models.evidence.rank_detector import RankDetector

Kind = Literal["numeric", "category", "missing", "prediction", "error"]
SUMMARIES: dict[Kind, type[Any]] = {
    "numeric": NumericSummary,
    "category": CategorySummary,
    "missing": MissingSummary,
    "prediction": NumericSummary,
    "error": MeanSummary,
}


class Drift(NamedTuple):
    """One alarm. `since` and `block` are block numbers; `evidence` is at least `needed`."""

    name: str
    kind: Kind
    what: str
    was: float
    now: float
    since: int
    block: int
    evidence: float
    needed: float
    histograms: Histograms | None = None


@dataclass(slots=True)
class Watch:
    """One stream of values, its summary and its detector.

    `reference` blocks are only described, later ones scored. A block of fewer than `records_min`
    values goes on into the next: three values are no day. Memory: the summary's, 16 bytes a block
    for at most 1,000 blocks, and one histogram.
    """

    name: str
    kind: Kind
    reference: int = 14
    records_min: int = 50
    blocks: int = 0
    values: int = 0
    summary: Summary = field(init=False)
    detector: RankDetector = field(default_factory=RankDetector)
    recent: list[float] = field(default_factory=list)
    blocks_at: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.summary = SUMMARIES[self.kind]()

    def update(self, value: Any) -> None:
        """Take one value of the current block."""
        self.values += 1
        self.summary.update(value)

    def close(self, block: int, needed: float) -> Drift | None:
        """End block number `block`; an alarm starts everything of this stream anew."""
        if self.values < self.records_min:
            return None
        self.values = 0
        self.blocks += 1
        if self.blocks <= self.reference:
            if self.blocks == self.reference:
                self.summary.fix()
            return None
        score, histogram = self.summary.close()
        evidence = self.detector.update(score)
        self._note(block, histogram)
        if evidence < needed:
            return None
        change = self.summary.change(self.recent)
        since, histograms = self.blocks_at[0], self.summary.histograms(self.recent)
        self.restart()
        return Drift(self.name, self.kind, *change, since, block, evidence, needed, histograms)

    def restart(self) -> None:
        """Forget: a new reference begins (after an alarm, or when another model answers)."""
        self.summary = SUMMARIES[self.kind]()
        self.detector = RankDetector(self.detector.memory)
        self.blocks, self.values = 0, 0
        self.recent, self.blocks_at = [], []

    def _note(self, block: int, histogram: list[float]) -> None:
        """Add up the blocks since the suspected change: they are what `now` is."""
        if not self.detector.running:
            self.recent, self.blocks_at = [], []
            return
        if not self.recent:
            self.recent, self.blocks_at = histogram, [block]
            return
        self.recent = [a + b for a, b in zip(self.recent, histogram, strict=True)]


@dataclass(slots=True)
class DriftMonitor:
    """All watched streams of one use case and partition, closed together at each block's end.

    `numeric` and `categories` name features; each has a second detector for its share of missing
    values. `models` names those whose errors are watched. Blocks never go back: a record of an
    earlier block counts to the current one. About 0.8 µs a feature and record.

    >>> monitor = DriftMonitor(numeric=["delay"], categories=["origin"], models=["linear"])
    >>> for day in range(180):
    ...     for k in range(100):
    ...         origin = "JFK" if k * k % (7 + day % 4) > 1 or day >= 150 else "EWR"
    ...         x = {"delay": float(k * (day + 7) % 59), "origin": origin}
    ...         for alarm in monitor.update(day, x, prediction=float(k)):
    ...             print(alarm.name, alarm.what, round(alarm.was, 2), alarm.now, alarm.since)
    origin share of 'EWR' 0.52 0.0 150
    """

    numeric: Iterable[str] = ()
    categories: Iterable[str] = ()
    models: Iterable[str] = ()
    records_between: float = 1e6
    blocks_between: float = 1_000.0
    reference: int = 14
    block: int | None = None
    records: int = 0
    closed: int = 0
    features: list[tuple[str, Watch, Watch]] = field(default_factory=list)
    prediction: Watch = field(init=False)
    errors: dict[str, Watch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numeric, self.categories = tuple(self.numeric), tuple(self.categories)
        self.models = tuple(self.models)
        kinds: list[tuple[str, Kind]] = [(name, "numeric") for name in self.numeric]
        kinds += [(name, "category") for name in self.categories]
        self.features = [
            (name, Watch(name, kind, self.reference), Watch(name, "missing", self.reference))
            for name, kind in kinds
        ]
        self.prediction = Watch("prediction", "prediction", self.reference)
        self.errors = {name: Watch(name, "error", self.reference) for name in self.models}

    def update(self, block: int, x: Mapping[str, Any], prediction: float | None) -> list[Drift]:
        """Take one event of block number `block`; returns the alarms of a block that ended."""
        alarms = self.advance(block)
        self.records += 1
        for name, values, missing in self.features:
            value = x.get(name)
            values.update(value)
            missing.update(value)
        if prediction is not None:
            self.prediction.update(prediction)
        return alarms

    def update_error(self, name: str, loss: float) -> None:
        """Take one labelled example's loss of the model `name` into the current block."""
        self.errors[name].update(loss)

    def advance(self, block: int) -> list[Drift]:
        """End the current block where `block` is a later one."""
        if self.block is None:
            self.block = block
        if block <= self.block:
            return []
        self.closed += 1
        ended, self.block = self.block, block
        alarms = (watch.close(ended, self.needed) for watch in self.watches)
        return [alarm for alarm in alarms if alarm is not None]

    @property
    def watches(self) -> list[Watch]:
        """Every watched stream, in a fixed order."""
        pairs = [watch for _, values, missing in self.features for watch in (values, missing)]
        return [*pairs, self.prediction, *self.errors.values()]

    @property
    def needed(self) -> float:
        """The evidence at which one detector alarms."""
        detectors = 2 * len(self.features) + 1 + len(self.errors)
        per_block = max(1.0, self.records / max(1, self.closed))
        return detectors * max(self.blocks_between, self.records_between / per_block)
