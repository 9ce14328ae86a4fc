"""How far off, or what else: intervals and sets that hold their coverage while the world moves.

Theory. Coverage is steered instead of assumed: after each label the bound that it broke moves out,
the one that it kept moves in a little, q <- q + rate·(broke - share). Summed up, the share of
broken bounds differs from the wanted one by at most (range of q + rate)/(rate·labels), for *any*
sequence of labels, drifting or adversarial. That is proved for the bounds in force when a label
*arrives*; that intervals given out earlier, at prediction time, hold as well, is measured (89 to 90
% on flights). Sources: Gibbs & Candès 2021 (NeurIPS, adaptive conformal inference), Angelopoulos,
Candès & Tibshirani 2023 (NeurIPS, conformal PID control: quantile tracking), whose
tracker this is.

Scaled: residuals are divided by a local scale (a decayed mean of absolute residuals, of the segment
and of all together, the larger share to the segment as it grows), so that a stormy evening is wide
and a calm morning narrow. Asymmetric: lower and upper bound are tracked on their own, each with
half of the error. A segment tracks its own pair from `own_after` labels on, started at the common
pair.

Not promised: coverage given the features of one prediction (nobody can without assumptions);
segments below `own_after` labels have the common coverage only. Figures: benchmarks/intervals.py.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Bounds(NamedTuple):
    """The interval of one prediction, in the label's unit."""

    lower: float
    upper: float


@dataclass(slots=True)
class Offsets:
    """Lower and upper bound in local scales, and the local scale itself."""

    lower: float = -2.0
    upper: float = 2.0
    scale: float = 0.0
    labels: int = 0

    def update(self, residual: float, scale: float, share: float, rate: float, memory: int) -> None:
        """Move the bounds after label - prediction = `residual`, which was met at `scale`."""
        r = residual / scale if scale > 0.0 else 0.0
        # Quicker while young: the first bounds are a guess.
        step = rate * max(1.0, 20.0 / math.sqrt(1.0 + self.labels))
        self.upper += step * ((r > self.upper) - share)
        self.lower -= step * ((r < self.lower) - share)
        if self.lower > self.upper:
            self.lower = self.upper = (self.lower + self.upper) / 2.0
        self.labels += 1
        size = min(abs(residual), 20.0 * self.scale) if self.labels > 20 else abs(residual)
        self.scale += (size - self.scale) * max(1.0 / memory, 1.0 / self.labels)


@dataclass(slots=True)
class IntervalTracker:
    """Prediction intervals of a regression, per segment, updated as labels arrive.

    `coverage` is declared, 0.9 say. `rate` is the step in local scales: larger follows faster and
    wobbles more. Memory: four numbers a segment, at most `segments_max` (the least recently
    labelled is forgotten and starts from the common pair). 2.5 µs a label, 0.8 µs an interval.

    Finite from the first label on; before it, `interval` is None.

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
    common: Offsets = field(default_factory=Offsets)
    segments: OrderedDict[str, Offsets] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if not 0.0 < self.coverage < 1.0:
            raise ValueError(f"coverage must lie between 0 and 1, not {self.coverage}")

    def interval(self, predicted: float, segment: str | None = None) -> Bounds | None:
        """Bounds around a prediction; to be kept with it only for the record, not for `update`."""
        if not self.common.labels:
            return None
        offsets, scale = self._of(segment)
        return Bounds(predicted + scale * offsets.lower, predicted + scale * offsets.upper)

    def update(self, predicted: float, label: float, segment: str | None = None) -> None:
        """A label has arrived. Raises ValueError, and changes nothing, where it is not finite."""
        residual = label - predicted
        if not math.isfinite(residual):
            raise ValueError(f"label {label} and prediction {predicted} must be finite")
        share = (1.0 - self.coverage) / 2.0
        _, scale = self._of(segment)
        if segment is not None:
            own = self._own(segment)
            own.update(residual, scale, share, self.rate, self.memory)
        everybody = self.common.scale or abs(residual)
        self.common.update(residual, everybody, share, self.rate, self.memory)

    def _of(self, segment: str | None) -> tuple[Offsets, float]:
        """The offsets that answer for a segment, and the scale they are in."""
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


@dataclass(slots=True)
class SetTracker:
    """Sets of classes that hold the true one in the declared share, updated as labels arrive.

    A class is in the set if 1 - its probability is at most the tracked threshold (least ambiguous
    sets: Sadinle, Lei & Wasserman 2019, JASA 114); the likeliest class always is, so that
    coverage may lie above what is declared for a classifier that is right more often. Memory: one
    number a segment.

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
        """The classes of the set, the likeliest first; on equal probability by name."""
        threshold = self._of(segment)
        order = sorted(probabilities, key=lambda c: (-probabilities[c], str(c)))
        kept = [c for c in order if 1.0 - probabilities[c] <= threshold]
        return kept or order[:1]

    def update(
        self, probabilities: Mapping[str, float], label: str, segment: str | None = None
    ) -> None:
        """A label has arrived; a class never predicted counts as probability 0."""
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

    def _of(self, segment: str | None) -> float:
        own = self.segments.get(segment) if segment is not None else None
        return own[0] if own is not None and own[1] >= self.own_after else self.threshold
