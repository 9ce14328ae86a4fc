"""What is kept of one block of one feature, and how far it lies from the reference.

The first blocks are the reference: they give the deciles of a number or the commonest categories.
Each later block is a histogram over those, and its score the squared Hellinger distance between the
two lists of shares, between 0 and 1, which weighs rare and common bins alike (Hellinger 1909; its
root stabilises the variance of counts). Being a fixed function of the block once the
reference is fixed, it keeps blocks exchangeable for rank_detector.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

KEPT = 4_096
BINS = 10
CATEGORIES = 32
OTHER = "(other)"


class Change(NamedTuple):
    """What moved most: in words, from which value to which."""

    what: str
    was: float
    now: float


class Histograms(NamedTuple):
    """Shares then (of the reference) and now; bins are told by inner `edges` or by `names`."""

    edges: list[float] | None
    names: list[str] | None
    then: list[float]
    now: list[float]


class Summary(Protocol):
    """Counts of the current block of one stream of values."""

    def update(self, value: Any) -> None:
        """Take one value."""

    def fix(self) -> None:
        """End the reference."""

    def close(self) -> tuple[float, list[float]]:
        """Score and histogram of the block; the next one begins."""

    def change(self, histogram: Sequence[float]) -> Change:
        """How `histogram` differs most from the reference."""

    def histograms(self, histogram: Sequence[float]) -> Histograms | None:
        """Both in full, at most 33 bins; None where there is nothing but a mean."""


def hellinger(counts: Sequence[float], reference: Sequence[float]) -> float:
    """Squared Hellinger distance of counts from reference shares: 0 equal, 1 disjoint."""
    total = sum(counts)
    if not total:
        return 0.0
    pairs = zip(counts, reference, strict=True)
    return sum((math.sqrt(c / total) - math.sqrt(r)) ** 2 for c, r in pairs) / 2.0


@dataclass(slots=True)
class NumericSummary:
    """Histogram over the reference's deciles; missing and non-finite values are left out.

    0.3 µs a value. Memory: `KEPT` floats during the reference, 30 afterwards.
    """

    kept: list[float] = field(default_factory=list)
    stride: int = 1
    skipped: int = 0
    edges: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    mean: float = 0.0

    def update(self, value: Any) -> None:
        """Take one number."""
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return
        if self.counts:
            self.counts[bisect_right(self.edges, value)] += 1
            self.counts[-1] += value
            return
        self.skipped += 1
        if self.skipped >= self.stride:
            self.skipped = 0
            self.kept.append(value)
            if len(self.kept) >= KEPT:
                # Every second one: an even thinning of the whole reference, without a random draw.
                self.kept = self.kept[::2]
                self.stride *= 2

    def fix(self) -> None:
        """Take deciles, shares and mean from the values kept."""
        values = sorted(self.kept)
        cuts = {values[len(values) * i // BINS] for i in range(1, BINS)} if values else set()
        # A value that fills the lowest bins alone would leave the first one empty for ever.
        self.edges = sorted(cuts - {values[0]} if values else cuts)
        shares = [0.0] * (len(self.edges) + 1)
        for value in values:
            shares[bisect_right(self.edges, value)] += 1 / len(values)
        self.reference = shares
        self.mean = math.fsum(values) / len(values) if values else math.nan
        self.kept = []
        self.counts = [0.0] * (len(self.edges) + 2)

    def close(self) -> tuple[float, list[float]]:
        """Score and histogram (its last number is the sum of the values)."""
        histogram, self.counts = self.counts, [0.0] * len(self.counts)
        return hellinger(histogram[:-1], self.reference), histogram

    def change(self, histogram: Sequence[float]) -> Change:
        """The mean, before and now, and the range whose share moved most."""
        total = sum(histogram[:-1]) or math.nan
        moved = [c / total - r for c, r in zip(histogram[:-1], self.reference, strict=True)]
        i = max(range(len(moved)), key=lambda k: abs(moved[k]))
        low = f"from {self.edges[i - 1]:g} " if i else ""
        high = f"below {self.edges[i]:g} " if i < len(self.edges) else ""
        now = self.reference[i] + moved[i]
        share = f"share {low}{high}{self.reference[i]:.1%} to {now:.1%}"
        return Change(f"mean ({share})", self.mean, histogram[-1] / total)

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """By the reference's deciles."""
        return Histograms(list(self.edges), None, list(self.reference), _shares(histogram[:-1]))


@dataclass(slots=True)
class CategorySummary:
    """Histogram over the reference's commonest categories and all others together.

    0.2 µs a value. Memory: at most `KEPT` categories during the reference, `CATEGORIES` afterwards.
    """

    seen: dict[Any, int] = field(default_factory=dict)
    index: dict[Any, int] = field(default_factory=dict)
    reference: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)

    def update(self, value: Any) -> None:
        """Take one category; None is a missing one and left out."""
        if value is None:
            return
        if self.counts:
            self.counts[self.index.get(value, 0)] += 1
        elif value in self.seen or len(self.seen) < KEPT:
            self.seen[value] = self.seen.get(value, 0) + 1
        else:
            self.seen[OTHER] = self.seen.get(OTHER, 0) + 1

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

    def close(self) -> tuple[float, list[float]]:
        """Score and histogram; its first number is all other categories."""
        histogram, self.counts = self.counts, [0.0] * len(self.counts)
        return hellinger(histogram, self.reference), histogram

    def change(self, histogram: Sequence[float]) -> Change:
        """The category whose share moved most."""
        total = sum(histogram) or math.nan
        moved = [c / total - r for c, r in zip(histogram, self.reference, strict=True)]
        i = max(range(len(moved)), key=lambda k: abs(moved[k]))
        name = next((c for c, k in self.index.items() if k == i), OTHER)
        return Change(f"share of {name!r}", self.reference[i], self.reference[i] + moved[i])

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """By category, all others first."""
        names = [OTHER, *(str(name)[:100] for name in self.index)]
        return Histograms(None, names, list(self.reference), _shares(histogram))


@dataclass(slots=True)
class MeanSummary:
    """The block's mean, whose rise is the score: errors, of which only worsening counts."""

    what: str = "mean"
    total: float = 0.0
    count: int = 0
    before: float = 0.0
    before_count: int = 0
    fixed: bool = False

    def update(self, value: Any) -> None:
        """Take one finite number."""
        if value is not None and math.isfinite(value):
            self.total += value
            self.count += 1

    def fix(self) -> None:
        """Keep the reference's mean, for the alarm's words only."""
        self.before, self.before_count = self.total, self.count
        self.total, self.count = 0.0, 0

    def close(self) -> tuple[float, list[float]]:
        """Mean of the block, and its sums."""
        histogram = [self.total, float(self.count)]
        score = self.total / self.count if self.count else 0.0
        self.total, self.count = 0.0, 0
        return score, histogram

    def change(self, histogram: Sequence[float]) -> Change:
        """The mean, before and now."""
        was = self.before / self.before_count if self.before_count else math.nan
        return Change(self.what, was, histogram[0] / histogram[1] if histogram[1] else math.nan)

    def histograms(self, histogram: Sequence[float]) -> None:
        """None: a mean says it all."""
        return


@dataclass(slots=True)
class MissingSummary:
    """The share of values that are missing: None, or a number that is not finite."""

    missing: int = 0
    count: int = 0
    share: float = 0.0

    def update(self, value: Any) -> None:
        """Take one value."""
        self.count += 1
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            self.missing += 1

    def fix(self) -> None:
        """Keep the reference's share."""
        self.share = self.missing / self.count if self.count else 0.0
        self.missing, self.count = 0, 0

    def close(self) -> tuple[float, list[float]]:
        """Distance of the share from the reference, in roots, and the counts."""
        histogram = [float(self.missing), float(self.count)]
        score = 0.0
        if self.count:
            score = abs(math.sqrt(self.missing / self.count) - math.sqrt(self.share))
        self.missing, self.count = 0, 0
        return score, histogram

    def change(self, histogram: Sequence[float]) -> Change:
        """The share, before and now."""
        now = histogram[0] / histogram[1] if histogram[1] else math.nan
        return Change("share missing", self.share, now)

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """Missing and present."""
        now = histogram[0] / histogram[1] if histogram[1] else 0.0
        then = [self.share, 1.0 - self.share]
        return Histograms(None, ["missing", "present"], then, [now, 1.0 - now])


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1.0
    return [count / total for count in counts]
