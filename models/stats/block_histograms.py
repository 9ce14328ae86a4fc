"""Counts of one block of a feature, and how far it lies from the reference.

The first blocks are the reference: they give the deciles of a number and its range, or the
commonest categories. Each later block is a histogram over those, and its score the squared
Hellinger distance between the two lists of shares, between 0 and 1, which weighs rare and common
bins alike (Hellinger 1909; its root stabilises the variance of counts).

The distance of an unchanged block is about (bins - 1)/8n for n values: it grows as traffic falls.
So each block is thinned to one fixed count before it is scored (`thinned`). Being then a fixed
function of the block once the reference is fixed, the score keeps blocks exchangeable for
rank_shift.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, Protocol

from models.values.bounded_text import CHARACTERS_MAX, shortened

VALUES_MAX = 4_096
BINS = 10
CATEGORIES = 32
OTHER = "(other)"


class Change(NamedTuple):
    """What moved most: the figure, its values before and now, and both in words."""

    figure: str
    was: float
    now: float
    before: str
    after: str


class Histograms(NamedTuple):
    """Shares then (of the reference) and now; bins are told by inner `edges` or by `names`."""

    edges: list[float] | None
    names: list[str] | None
    then: list[float]
    now: list[float]


class Summary(Protocol):
    """Counts of the current block of one stream of values."""

    def update(self, value: Any) -> None:
        """Count one value."""

    @property
    def count(self) -> int:
        """The number of values of the current block that count."""

    def extend(self) -> list[float]:
        """End a block of the reference and return its histogram, empty before there are bins."""

    def fix(self) -> None:
        """End the reference, with the block that `extend` ended."""

    def close(self) -> list[float]:
        """Return the histogram of the block, and begin the next."""

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return the distance of a block, thinned to `count` values, from the reference."""

    def change(self, histogram: Sequence[float]) -> Change:
        """Return how `histogram` differs most from the reference."""

    def histograms(self, histogram: Sequence[float]) -> Histograms | None:
        """Return both in full, at most 33 bins; None where there is only a mean."""


def hellinger(counts: Sequence[float], reference: Sequence[float]) -> float:
    """Return the squared Hellinger distance of counts from shares: 0 equal, 1 disjoint."""
    total = sum(counts)
    if not total:
        return 0.0
    pairs = zip(counts, reference, strict=True)
    return sum((math.sqrt(c / total) - math.sqrt(r)) ** 2 for c, r in pairs) / 2.0


def thinned(counts: Sequence[float], count: int, seed: str) -> list[float]:
    """Return `count` of these, drawn without replacement; one draw for each seed.

    0.6 µs for each value that is drawn, or left out if these are fewer.

    >>> fewer = thinned([30, 0, 10], 20, "x")
    >>> sum(fewer), fewer[1], fewer == thinned([30, 0, 10], 20, "x")
    (20.0, 0.0, True)
    >>> thinned([3, 4], 9, "x")
    [3, 4]
    """
    whole = [int(n) for n in counts]
    total = sum(whole)
    if total <= count or max(whole) == total:  # of one bin, its share is 1 whatever is drawn
        return list(counts)
    surplus = total - count
    drawn = [0.0] * len(whole)
    for bin in Random(seed).sample(range(len(whole)), min(count, surplus), counts=whole):
        drawn[bin] += 1.0
    return drawn if count <= surplus else [n - m for n, m in zip(whole, drawn, strict=True)]


@dataclass(slots=True)
class NumericSummary:
    """Histogram over the reference's deciles and range; missing and non-finite values are left out.

    0.3 µs a value. Memory: `VALUES_MAX` floats during the reference, 30 afterwards.
    """

    values_sampled: list[float] = field(default_factory=list)
    stride: int = 1
    skipped: int = 0
    values: int = 0
    edges: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    mean: float = 0.0

    def update(self, value: Any) -> None:
        """Count one number."""
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return
        if self.counts:
            self.counts[bisect_right(self.edges, value)] += 1
            self.counts[-1] += value
            return
        self.values += 1
        self.skipped += 1
        if self.skipped >= self.stride:
            self.skipped = 0
            self.values_sampled.append(value)
            if len(self.values_sampled) >= VALUES_MAX:
                # Every second one: an even thinning of the whole reference, without a random draw.
                self.values_sampled = self.values_sampled[::2]
                self.stride *= 2

    @property
    def count(self) -> int:
        """Numbers of the current block."""
        return int(sum(self.counts[:-1])) if self.counts else self.values

    def extend(self) -> list[float]:
        """End a block of the reference; it has no bins yet."""
        self.values = 0
        return []

    def fix(self) -> None:
        """Take deciles, range, shares and mean from the sampled values."""
        values = sorted(self.values_sampled)
        cuts = {values[len(values) * i // BINS] for i in range(1, BINS)} if values else set()
        if values:
            # Values below and above all of the reference have bins of their own.
            cuts |= {values[0], math.nextafter(values[-1], math.inf)}
        self.edges = sorted(cuts)
        shares = [0.0] * (len(self.edges) + 1)
        for value in values:
            shares[bisect_right(self.edges, value)] += 1 / len(values)
        self.reference = shares
        self.mean = math.fsum(values) / len(values) if values else math.nan
        self.values_sampled = []
        self.counts = [0.0] * (len(self.edges) + 2)

    def close(self) -> list[float]:
        """Return the histogram of the block; its last number is the sum of the values."""
        histogram, self.counts = self.counts, [0.0] * len(self.counts)
        return histogram

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return the distance of a block, thinned to `count` values, from the reference."""
        return hellinger(thinned(histogram[:-1], count, seed), self.reference)

    def change(self, histogram: Sequence[float]) -> Change:
        """Return the mean, and the range whose share moved most."""
        total = sum(histogram[:-1]) or math.nan
        mean = histogram[-1] / total
        moved = [c / total - r for c, r in zip(histogram[:-1], self.reference, strict=True)]
        i = max(range(len(moved)), key=lambda k: abs(moved[k]))
        bin, was = self._bin(i), self.reference[i]
        return Change(
            "mean",
            self.mean,
            mean,
            f"mean {self.mean:.6g}, {was:.1%} of values {bin}",
            f"mean {mean:.6g}, {was + moved[i]:.1%} of values {bin}",
        )

    def _bin(self, i: int) -> str:
        """Return a bin in words."""
        if i == 0:
            return f"below {self.edges[0]:g}, the least before"
        if i == len(self.edges):
            return f"above {self.edges[-1]:g}, the most before"
        if math.nextafter(self.edges[i - 1], math.inf) == self.edges[i]:
            return f"equal to {self.edges[i - 1]:g}"
        return f"from {self.edges[i - 1]:g} to {self.edges[i]:g}"

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """Return both by the reference's deciles and range."""
        return Histograms(list(self.edges), None, list(self.reference), as_shares(histogram[:-1]))


@dataclass(slots=True)
class CategorySummary:
    """Histogram over the reference's commonest categories and all others together.

    0.3 µs a value. Memory: at most `VALUES_MAX` categories, long ones as `shortened`, during the
    reference, `CATEGORIES` afterwards.
    """

    seen: dict[Any, int] = field(default_factory=dict)
    values: int = 0
    index: dict[Any, int] = field(default_factory=dict)
    reference: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)

    def update(self, value: Any) -> None:
        """Count one category; None is missing and left out."""
        if value is None:
            return
        if type(value) is str and len(value) > CHARACTERS_MAX:
            value = shortened(value)
        if self.counts:
            self.counts[self.index.get(value, 0)] += 1
            return
        self.values += 1
        if value in self.seen or len(self.seen) < VALUES_MAX:
            self.seen[value] = self.seen.get(value, 0) + 1
        else:
            self.seen[OTHER] = self.seen.get(OTHER, 0) + 1

    @property
    def count(self) -> int:
        """Categories of the current block."""
        return int(sum(self.counts)) if self.counts else self.values

    def extend(self) -> list[float]:
        """End a block of the reference; it has no bins yet."""
        self.values = 0
        return []

    def fix(self) -> None:
        """Take the commonest categories; on equal counts those seen first."""
        total = sum(self.seen.values()) or 1
        common = sorted(self.seen.items(), key=lambda item: -item[1])
        common = [item for item in common if item[0] != OTHER][:CATEGORIES]
        self.index = {category: i for i, (category, _) in enumerate(common, start=1)}
        shares = [count / total for _, count in common]
        self.reference = [max(0.0, 1.0 - math.fsum(shares)), *shares]
        self.counts = [0.0] * len(self.reference)
        self.seen = {}

    def close(self) -> list[float]:
        """Return the histogram of the block; its first number is all other categories."""
        histogram, self.counts = self.counts, [0.0] * len(self.counts)
        return histogram

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return the distance of a block, thinned to `count` values, from the reference."""
        return hellinger(thinned(histogram, count, seed), self.reference)

    def change(self, histogram: Sequence[float]) -> Change:
        """Return the category whose share moved most."""
        total = sum(histogram) or math.nan
        moved = [c / total - r for c, r in zip(histogram, self.reference, strict=True)]
        i = max(range(len(moved)), key=lambda k: abs(moved[k]))
        name = next((repr(c) for c, k in self.index.items() if k == i), "other categories")
        was, now = self.reference[i], self.reference[i] + moved[i]
        words = f"{was:.1%} of values {name}", f"{now:.1%} of values {name}"
        return Change(f"share of {name}", was, now, *words)

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """Return both by category, all others first."""
        names = [OTHER, *(str(name)[:100] for name in self.index)]
        return Histograms(None, names, list(self.reference), as_shares(histogram))


def as_shares(counts: Sequence[float]) -> list[float]:
    """Return each count as a share of all."""
    total = sum(counts) or 1.0
    return [count / total for count in counts]
