"""Prediction intervals and sets of classes that hold their coverage while the world moves.

Coverage is steered instead of assumed: after each label the bound that the label broke moves out,
and a bound that it kept moves in a little, q <- q + rate * (broke - share). Summed up, the share of
broken bounds differs from the declared one by at most (range of q + rate) / (rate * labels), for
any sequence of labels, drifting or adversarial. The proof is for the bounds in force when a label
arrives. Of intervals that were issued earlier, at prediction time, see *Late labels*.
Sources: Gibbs & Candès 2021 (NeurIPS, adaptive conformal inference); Angelopoulos, Candès &
Tibshirani 2023 (NeurIPS, conformal PID control: quantile tracking), whose tracker this is.

Scale. Residuals are divided by a local scale, a decayed mean of absolute residuals, so that a
stormy evening has wide intervals and a calm morning narrow ones. With segments it is the mean of
the segment's scale and the common one, weighted to the segment as its labels grow.
Sides. Lower and upper bound are tracked separately, each with half of the permitted error.
Segments. A segment tracks its own pair of bounds, and uses it from `own_after` labels on.
Start. The first bounds are a guess and the first scale rests on few labels, so both move faster
while young: the step is `START_STEP` / sqrt(labels) until `rate` is larger, and the scale's memory
is a `YOUNG_SHARE`-th of the labels until `memory` is shorter.
Late labels. What a bound learns from a label serves predictions that are made meanwhile, so it must
not follow what will be over by then. Where labels come `LATE` labels after their prediction or
more, steps are shorter by that ratio and the scale's memory is as long as the delay. Still a scale
or level that moves meanwhile leaves issued intervals behind it. So a second loop, the integrator of
conformal PID control, steers by what the *issued* intervals covered: `stretch`, the log of the
factor by which they are wider, moves by STRETCH_GAIN / lag * (missed - declared misses). Summed up,
the issued intervals' misses differ from the declared share by at most (range of `stretch`) * lag /
(STRETCH_GAIN * labels) while `stretch` is within its limits, whatever comes (docs/adr/0157).

Not promised: coverage given the features of one prediction (impossible without assumptions);
segments below `own_after` labels have the common coverage only; where more labels than the declared
share are predicted exactly, the interval is a point and covers them all. Until the first late
labels of a change have come, no interval can know of it: that is paid back by wider ones later, and
`coverage_doubt` says what was covered where it is not yet.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

START_STEP = 3.0
YOUNG_SHARE = 20
YOUNG_MEMORY_MIN = 25
"""Labels; a shorter memory would make the scale as noisy as a single residual."""
LATE = 100
"""Labels that arrive between a prediction and its own above which that counts as late."""
LAG_MEMORY = 200
"""Labels over which the delay is averaged."""
STRETCH_GAIN = 1.5
"""A delayed integrator oscillates from gain * slope = pi / 2 on. The slope of the coverage by
`stretch` is .34 for normal residuals and .9 for uniform ones."""
STRETCH_LIMIT = 3.0
"""Issued intervals are at most 20 times wider or narrower than those that follow the labels."""
QUICK_LABELS = 100
"""Labels of a pair up to which it takes its first, long steps however late they are."""
DOUBT_AFTER, DOUBT_BEYOND = 1_000, 0.05
LONG_RUN, DOUBT_BEYOND_LONG = 10_000, 0.02
"""Issued intervals from which on their coverage is judged, and by how much it may be missed."""


class Bounds(NamedTuple):
    """The interval of one prediction, in the label's unit."""

    lower: float
    upper: float


@dataclass(slots=True)
class Offsets:
    """Lower and upper bound in local scales, and the local scale in the label's unit.

    `exact` counts labels that were predicted exactly before any other: they say nothing of a scale.
    """

    lower: float = -2.0
    upper: float = 2.0
    scale: float = 0.0
    labels: int = 0
    exact: int = 0

    def update(
        self, residual: float, scale: float, share: float, rate: float, memory: int, pace: float
    ) -> None:
        """Move bounds and scale after `residual` = label - prediction, whose bounds had `scale`.

        `pace` (at most 1) shortens the steps where labels come late.
        """
        if residual == 0.0 == self.scale:
            self.exact += 1
            return
        relative = residual / scale if scale > 0.0 else 0.0
        self.labels += 1
        step = max(rate, START_STEP / math.sqrt(self.labels))
        if self.labels > QUICK_LABELS:
            step *= pace
        self.upper += step * ((relative > self.upper) - share)
        self.lower -= step * ((relative < self.lower) - share)
        if self.lower > self.upper:
            self.lower = self.upper = (self.lower + self.upper) / 2.0
        young = self.labels <= 20 or self.scale == 0.0
        size = abs(residual) if young else min(abs(residual), 20.0 * self.scale)
        memory = min(memory, max(YOUNG_MEMORY_MIN, self.labels // YOUNG_SHARE))
        self.scale += (size - self.scale) / min(memory, self.labels)


@dataclass(slots=True)
class IntervalTracker:
    """Prediction intervals of a regression, per segment, updated as labels arrive.

    `coverage` is the declared share of labels within, such as 0.9. `rate` is the step in local
    scales once many labels are known: a larger one follows faster and varies more. `memory` is that
    of the scale, in labels. `lag` is how many labels usually arrive between a prediction and its
    own, `stretch` the log of the factor by which late labels widen intervals. State: five numbers a
    segment, at most `segments_max` segments (the least recently labelled is forgotten and begins
    again from the common pair). 2.5 µs a label, 0.8 µs an interval.

    `interval` returns None before the first label and finite bounds from then on.

    >>> tracker = IntervalTracker(coverage=0.9)
    >>> tracker.interval(5.0) is None
    True
    >>> for k in range(5_000):
    ...     tracker.update(predicted=0.0, label=float(k * 37 % 100))
    >>> lower, upper = tracker.interval(0.0)
    >>> 0 < lower < 10 and 90 < upper < 100
    True
    """

    coverage: float = 0.9
    rate: float = 0.05
    memory: int = 200
    own_after: int = 300
    segments_max: int = 1_000
    lag: float = 0.0
    stretch: float = 0.0
    common: Offsets = field(default_factory=Offsets)
    segments: OrderedDict[str, Offsets] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if not 0.0 < self.coverage < 1.0:
            raise ValueError(f"coverage must lie between 0 and 1, not {self.coverage}")

    def interval(self, predicted: float, segment: str | None = None) -> Bounds | None:
        """Return the bounds around a prediction, or None before any label."""
        if not (self.common.labels or self.common.exact):
            return None
        offsets, scale = self._current(segment)
        lower, upper = scale * offsets.lower, scale * offsets.upper
        if self.stretch:
            lower, upper = stretched(lower, upper, math.expm1(self.stretch))
        return Bounds(predicted + lower, predicted + upper)

    @property
    def labels(self) -> int:
        """Labels that were learnt from."""
        return self.common.labels + self.common.exact

    def update(
        self,
        predicted: float,
        label: float,
        segment: str | None = None,
        known: int | None = None,
        held: bool | None = None,
    ) -> None:
        """Learn from an arrived label.

        `known` were the `labels` when its prediction was made, `held` is whether the interval that
        was issued with it holds the label. Raise ValueError, and change nothing, where label or
        prediction is not finite.
        """
        residual = label - predicted
        if not math.isfinite(residual):
            raise ValueError(f"label {label} and prediction {predicted} must be finite")
        if known is not None:
            labels = self.labels
            self.lag += (max(0, labels - known) - self.lag) / min(LAG_MEMORY, labels + 1)
            self._stretch(held)
        pace, memory = min(1.0, LATE / max(self.lag, 1.0)), max(self.memory, int(self.lag))
        share = (1.0 - self.coverage) / 2.0
        _, scale = self._current(segment)
        if segment is not None:
            own = self._own(segment)
            own.update(residual, scale, share, self.rate, memory, pace)
        # The common pair is tracked in the scale that it is applied with.
        scale = scale or self.common.scale or abs(residual)
        self.common.update(residual, scale, share, self.rate, memory, pace)

    def _stretch(self, held: bool | None) -> None:
        """Widen issued intervals after a miss, narrow them after a hit, where labels are late."""
        if self.lag <= LATE:
            self.stretch -= self.stretch / LAG_MEMORY
        elif held is not None:
            step = STRETCH_GAIN / self.lag * (self.coverage - held)
            self.stretch = min(STRETCH_LIMIT, max(-STRETCH_LIMIT, self.stretch + step))

    def _current(self, segment: str | None) -> tuple[Offsets, float]:
        """Return the offsets in force for a segment, and the scale that they are multiplied by."""
        own = self.segments.get(segment) if segment is not None else None
        if own is None:
            return self.common, self.common.scale
        weight = own.labels / (own.labels + self.memory)
        scale = weight * own.scale + (1.0 - weight) * self.common.scale
        return (own if own.labels >= self.own_after else self.common), scale

    def _own(self, segment: str) -> Offsets:
        own = self.segments.get(segment)
        if own is None:
            own = Offsets(self.common.lower, self.common.upper, self.common.scale)
            self.segments[segment] = own
            if len(self.segments) > self.segments_max:
                self.segments.popitem(last=False)
        self.segments.move_to_end(segment)
        return own


def stretched(lower: float, upper: float, by: float) -> tuple[float, float]:
    """Return bounds relative to the prediction, moved out by that share of half their distance.

    Inwards a bound moves towards the prediction only, and by no more than its distance from it:
    where labels are never below the prediction, the lower bound does not cut off the exact ones.

    >>> stretched(-1.0, 3.0, 0.5), stretched(-1.0, 3.0, -0.5), stretched(0.0, 4.0, -0.5)
    ((-2.0, 4.0), (-0.5, 2.0), (0.0, 3.0))
    """
    half = (upper - lower) / 2.0
    if by >= 0.0:
        return lower - by * half, upper + by * half
    return lower - by * min(half, max(0.0, -lower)), upper + by * min(half, max(0.0, upper))


def coverage_doubt(covered: float, intervals: int, declared: float) -> str | None:
    """Return in words that issued intervals do not cover what is declared; None where they do.

    >>> coverage_doubt(0.84, 20_000, 0.9)
    '84.0% of 20,000 outcomes lay in the interval that was issued, 90% are declared'
    >>> coverage_doubt(0.89, 20_000, 0.9) is None
    True
    """
    beyond = DOUBT_BEYOND if intervals < LONG_RUN else DOUBT_BEYOND_LONG
    if intervals < DOUBT_AFTER or abs(covered - declared) <= beyond:
        return None
    return (
        f"{covered:.1%} of {intervals:,} outcomes lay in the interval that was issued, "
        f"{declared:.0%} are declared"
    )


@dataclass(slots=True)
class SetTracker:
    """Sets of classes that hold the true one in the declared share, updated as labels arrive.

    A class is in the set if 1 - its probability is at most the tracked threshold (least ambiguous
    sets: Sadinle, Lei & Wasserman 2019, JASA 114). The likeliest class is always in the set, so the
    coverage lies above the declared one for a classifier that is right more often. Two numbers a
    segment.

    >>> tracker = SetTracker(coverage=0.9)
    >>> for k in range(3_000):
    ...     tracker.update({"a": 0.6, "b": 0.3, "c": 0.1}, "aaaaaabbbc"[k % 10])
    >>> tracker.classes({"a": 0.6, "b": 0.3, "c": 0.1})[:2]
    ['a', 'b']
    """

    coverage: float = 0.9
    rate: float = 0.01
    own_after: int = 300
    segments_max: int = 1_000
    threshold: float = 0.9
    segments: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)

    def classes(self, probabilities: Mapping[str, float], segment: str | None = None) -> list[str]:
        """Return the classes of the set, the likeliest first, equally likely ones by name."""
        threshold = self._threshold(segment)
        order = sorted(probabilities, key=lambda c: (-probabilities[c], str(c)))
        likely = [c for c in order if 1.0 - probabilities[c] <= threshold]
        return likely or order[:1]

    def update(
        self, probabilities: Mapping[str, float], label: str, segment: str | None = None
    ) -> None:
        """Learn from an arrived label; a class without a probability counts as probability 0."""
        score = 1.0 - probabilities.get(label, 0.0)
        if not math.isfinite(score):
            raise ValueError(f"the probability of {label!r} is not finite")
        share = 1.0 - self.coverage
        if segment is not None:
            threshold, labels = self.segments.pop(segment, (self.threshold, 0))
            threshold += self.rate * ((score > threshold) - share)
            self.segments[segment] = (threshold, labels + 1)
            if len(self.segments) > self.segments_max:
                self.segments.popitem(last=False)
        self.threshold += self.rate * ((score > self.threshold) - share)

    def _threshold(self, segment: str | None) -> float:
        own = self.segments.get(segment) if segment is not None else None
        return own[0] if own is not None and own[1] >= self.own_after else self.threshold
