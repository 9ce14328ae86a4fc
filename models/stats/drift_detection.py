"""Drift detection: which feature, prediction or error changed, from what to what, since when.

Whole blocks (days of event time) are compared with whole blocks, so no hour is compared with
another hour, and the correlation of neighbouring records stays inside the block. Each watched
stream has a summary (block_histograms.py, block_totals.py) that turns a block into one score, and a
rank detector (rank_shift.py) that notices when scores have risen for good. The number of events is
a stream of its own, compared with all days and with the days of the same weekday; a fall in it is
reported. Each block is thinned to one count, so that less traffic is no change of everything else.

False alarms. Each of D detectors alarms at evidence A = D·max(blocks_between, records_between /
records in a block): while blocks are exchangeable, all of them together alarm falsely at most once
in `records_between` (a million) records and once in `blocks_between` blocks, in the mean; in
simulation five times more rarely. That is a theorem about exchangeable blocks (i.i.d. days, days
shuffled). It is measured, not proved, for streams whose memory is short beside a block. It says
nothing about a true season: that is a change, and is reported as one.

Plain rules. Few earlier blocks prove little, whatever follows them. So two changes are reported
without that evidence: a feature without any value for a whole day, where each block before had
some; and `IN_A_ROW` days of blocks that are each much farther from the reference than any block
before (`Watch._is_far`). Their bounds are others. After each such alarm of a stream the calm that
both rules ask for before the next doubles (`Watch.calm_min`), so a stream reports at most
log2(N / 7) missing days in N days, whatever it does. While blocks are exchangeable, the three
newest of n + 3 are the farthest with probability 1 / C(n + 3, 3); summed over all n from
`BEFORE` on that is at most 3 / ((BEFORE + 1)(BEFORE + 2)) = 0.15 false alarms in the whole life of
a stream, and with the two distances asked for at most 0.006 in the worst stream that was
constructed (tests/gallery). Blocks shorter than a day are counted by the day for these rules, and
the number of events is counted by the day, so that no night is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from models.stats.block_histograms import CategorySummary, Histograms, NumericSummary, Summary
from models.stats.block_totals import MeanSummary, MissingSummary, VolumeSummary
from models.stats.rank_shift import RankDetector

Kind = Literal["numeric", "category", "missing", "prediction", "error", "volume"]
SUMMARIES: dict[Kind, type[Any]] = {
    "numeric": NumericSummary,
    "category": CategorySummary,
    "missing": MissingSummary,
    "prediction": NumericSummary,
    "error": MeanSummary,
    "volume": VolumeSummary,
}
AT_ONCE = ("error", "volume")
"""Kinds whose score is no distance from a reference, so that their first blocks are ranked, too."""
DAYS_A_WEEK = 7

REFERENCE = 7
"""Blocks of the reference: a week of days."""
THINNED_MAX = 1_000
FAR, FARTHER, IN_A_ROW, BEFORE = 0.25, 5.0, 3, 3
"""Least distance, and its ratio to all before; days in a row; days scored before them."""
PRESENT_MIN = 10
RECENT = 30
EMPTY_MAX = 28
"""Days without any event that are counted in a gap, besides part of a week; more add nothing."""


class DriftAlarm(NamedTuple):
    """One alarm. `since` and `block` are block numbers; `before` and `after` are `figure` in words.

    `evidence` is at least `needed`, unless a plain rule raised the alarm (`plainly`).
    """

    name: str
    kind: Kind
    figure: str
    was: float
    now: float
    before: str
    after: str
    since: int
    block: int
    evidence: float
    needed: float
    plainly: bool = False
    histograms: Histograms | None = None


@dataclass(slots=True)
class Watch:
    """One stream of values, its summary and its detector.

    `reference` blocks are only described, later ones scored. A block of too few values goes on into
    the next: at least `records_min`, and three quarters of the fewest in the reference, to which
    each is thinned. `plain_alarms` counts those of the plain rules, restarts included. Memory: the
    summary's, 24 bytes a block for at most 1,000 blocks, and `RECENT` histograms.
    """

    name: str
    kind: Kind
    reference: int = REFERENCE
    records_min: int = 50
    a_day: int = 1
    blocks: int = 0
    empty: int = 0
    fewest: int = 0
    present: int = 0
    farthest: float = 0.0
    far: list[float] = field(default_factory=list)
    risen_at: int = 0
    plain_alarms: int = 0
    summary: Summary = field(init=False)
    detector: RankDetector = field(init=False)
    recent: deque[tuple[int, list[float]]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def __post_init__(self) -> None:
        self.summary = SUMMARIES[self.kind]()
        self.detector = RankDetector(phases=DAYS_A_WEEK if self.kind == "volume" else 1)

    def close(self, block: int, needed: float) -> DriftAlarm | None:
        """End block number `block` and return an alarm, after which this stream starts over."""
        count = self.summary.count
        vanished = isinstance(self.summary, MissingSummary) and self._is_gone(self.summary)
        if count < self._enough and not vanished:
            return None
        self.blocks += 1
        described = self.blocks <= self.reference and not vanished
        histogram = self.summary.extend() if described else self.summary.close()
        if described:
            self.fewest = min(self.fewest or count, count)
            if self.blocks == self.reference:
                self.summary.fix()
            if self.kind not in AT_ONCE:
                return None
        score = self.summary.score(histogram, self._enough, f"{self.name} {block}")
        evidence = self.detector.update(score)
        if self.detector.risen == 1:
            self.risen_at = block
        self.recent.append((block, histogram))
        plainly = vanished or self._is_far(score)
        if evidence < needed and not plainly:
            return None
        plainly = plainly and evidence < needed
        self.plain_alarms += plainly
        drift = self._alarm(block, evidence, needed, vanished=vanished, plainly=plainly)
        self.restart()
        return drift

    def restart(self) -> None:
        """Begin a new reference, after an alarm or when another model answers."""
        self.summary = SUMMARIES[self.kind]()
        self.detector = RankDetector(self.detector.memory, self.detector.phases)
        self.blocks, self.fewest, self.present, self.empty = 0, 0, 0, 0
        self.farthest, self.far, self.risen_at = 0.0, [], 0
        self.recent.clear()

    def calm_min(self, blocks: int) -> int:
        """Return the calm blocks that a plain rule needs, `blocks` of them for the first alarm."""
        return int(blocks * 2 ** min(self.plain_alarms, 20))

    @property
    def _enough(self) -> int:
        """The number of values from which on a block is scored by itself."""
        if self.kind == "volume":
            return 0
        thinned = 3 * self.fewest // 4 if self.blocks >= self.reference else 0
        return max(self.records_min, min(THINNED_MAX, thinned))

    def _is_gone(self, summary: MissingSummary) -> bool:
        """Return whether a whole day has no value, where each of enough blocks before had some."""
        present = summary.count - summary.missing
        if summary.count < self.records_min:
            return False
        calm = self.calm_min(max(self.reference, self.a_day))
        enough = self.blocks >= calm and self.present >= PRESENT_MIN
        if present == 0 and enough:
            self.empty += 1
            return self.empty >= self.a_day
        self.empty = 0
        self.present = min(self.present, present) if self.blocks else present
        return False

    def _is_far(self, score: float) -> bool:
        """Return whether `IN_A_ROW` days of blocks are far from all before them."""
        if self.kind in AT_ONCE:
            return False
        distance = score * score if self.kind == "missing" else score
        scored = len(self.detector.order) - len(self.far) - 1
        if scored >= self.calm_min(BEFORE * self.a_day) and distance >= max(
            FAR, FARTHER * self.farthest
        ):
            self.far.append(distance)
            return len(self.far) >= IN_A_ROW * self.a_day
        self.farthest = max(self.farthest, distance, *self.far)
        self.far = []
        return False

    def _alarm(
        self, block: int, evidence: float, needed: float, *, vanished: bool, plainly: bool
    ) -> DriftAlarm:
        rows = max(1, self.detector.age)
        age = 1 if vanished else len(self.far) if plainly else rows
        since = self.recent[-age][0] if age <= len(self.recent) else self.risen_at
        blocks = [histogram for _, histogram in list(self.recent)[-age:]]
        now = [sum(column) for column in zip(*blocks, strict=True)]
        return DriftAlarm(
            self.name,
            self.kind,
            *self.summary.change(now),
            since,
            block,
            evidence,
            needed,
            plainly,
            self.summary.histograms(now),
        )


@dataclass(slots=True)
class DriftMonitor:
    """All watched streams of one use case and partition, closed together at each block's end.

    `numeric` and `categories` name features; each has a second detector for its share of missing
    values. `models` names those whose errors are watched. The number of events is watched by the
    day of `a_day` blocks. Only `set_back` goes back: a record of an earlier block counts to the
    current one. About 0.8 µs a feature and record.

    >>> monitor = DriftMonitor(numeric=["delay"], categories=["origin"], models=["linear"])
    >>> for day in range(180):
    ...     for k in range(100):
    ...         origin = "JFK" if k * k % (7 + day % 4) > 1 or day >= 150 else "EWR"
    ...         x = {"delay": float(k * (day + 7) % 59), "origin": origin}
    ...         for alarm in monitor.update(day, x, prediction=float(k)):
    ...             print(alarm.name, alarm.since, alarm.before, "->", alarm.after)
    origin 150 45.7% of values 'JFK' -> 100.0% of values 'JFK'
    """

    numeric: Iterable[str] = ()
    categories: Iterable[str] = ()
    models: Iterable[str] = ()
    records_between: float = 1e6
    blocks_between: float = 1_000.0
    reference: int = REFERENCE
    a_day: int = 1
    block: int | None = None
    records: int = 0
    closed: int = 0
    features: list[tuple[str, Watch, Watch]] = field(default_factory=list)
    prediction: Watch = field(init=False)
    volume: Watch = field(init=False)
    errors: dict[str, Watch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numeric, self.categories = tuple(self.numeric), tuple(self.categories)
        self.models = tuple(self.models)
        kinds: list[tuple[str, Kind]] = [(name, "numeric") for name in self.numeric]
        kinds += [(name, "category") for name in self.categories]
        self.features = [
            (name, self._watch(name, kind), self._watch(name, "missing")) for name, kind in kinds
        ]
        self.prediction = self._watch("prediction", "prediction")
        self.errors = {name: self._watch(name, "error") for name in self.models}
        self.volume = self._watch("events", "volume")

    def _watch(self, name: str, kind: Kind) -> Watch:
        return Watch(name, kind, self.reference, a_day=self.a_day)

    def update(
        self, block: int, x: Mapping[str, Any], prediction: float | None
    ) -> list[DriftAlarm]:
        """Count one event of block number `block` and return the alarms of a block that ended."""
        alarms = self.advance(block)
        self.records += 1
        self.volume.summary.update(None)
        for name, values, missing in self.features:
            value = x.get(name)
            values.summary.update(value)
            missing.summary.update(value)
        if prediction is not None:
            self.prediction.summary.update(prediction)
        return alarms

    def update_error(self, name: str, loss: float) -> None:
        """Count one labelled example's loss of the model `name` into the current block."""
        self.errors[name].summary.update(loss)

    def advance(self, block: int) -> list[DriftAlarm]:
        """End the current block if `block` is a later one, and return its alarms."""
        if self.block is None:
            self.block = block
        if block <= self.block:
            return []
        self.closed += 1
        ended, self.block = self.block, block
        alarms = [watch.close(ended, self.needed) for watch in self.watches[:-1]]
        # Days without any event are days of the volume, and of nothing else.
        first, last = ended // self.a_day, block // self.a_day
        if last - first > EMPTY_MAX + DAYS_A_WEEK:  # weekdays stay in their order
            first = last - EMPTY_MAX - (last - first) % DAYS_A_WEEK
        alarms += [self.volume.close(day * self.a_day, self.needed) for day in range(first, last)]
        return [alarm for alarm in alarms if alarm is not None]

    def set_back(self, block: int) -> None:
        """Go back to an earlier block, after a wrong time had begun a later one."""
        if self.block is not None:
            self.block = min(self.block, block)

    @property
    def watches(self) -> list[Watch]:
        """Every watched stream, in a fixed order; the last is the number of events."""
        pairs = [watch for _, values, missing in self.features for watch in (values, missing)]
        return [*pairs, self.prediction, *self.errors.values(), self.volume]

    @property
    def needed(self) -> float:
        """The evidence at which one detector alarms."""
        detectors = 2 * len(self.features) + 2 + len(self.errors)
        per_block = max(1.0, self.records / max(1, self.closed))
        return detectors * max(self.blocks_between, self.records_between / per_block)
