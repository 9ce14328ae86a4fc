"""Totals of one block whose change is a single figure: a mean error, a share missing, a count.

They are summaries like those of block_histograms.py, with totals instead of a histogram.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.stats.block_histograms import Change, Histograms, as_shares, thinned


@dataclass(slots=True)
class MeanSummary:
    """The block's mean, whose rise is the score: errors, of which only worsening counts."""

    total: float = 0.0
    count: int = 0
    before: float = 0.0
    before_count: int = 0

    def update(self, value: Any) -> None:
        """Add one finite number."""
        if value is not None and math.isfinite(value):
            self.total += value
            self.count += 1

    def extend(self) -> list[float]:
        """End a block of the reference; its mean is for the alarm's words only."""
        self.before += self.total
        self.before_count += self.count
        return self.close()

    def fix(self) -> None:
        """End the reference."""

    def close(self) -> list[float]:
        """Return the block's sum and count."""
        histogram = [self.total, float(self.count)]
        self.total, self.count = 0.0, 0
        return histogram

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return the mean of the block."""
        return histogram[0] / histogram[1] if histogram[1] else 0.0

    def change(self, histogram: Sequence[float]) -> Change:
        """Return the mean, before and now."""
        was = self.before / self.before_count if self.before_count else math.nan
        now = histogram[0] / histogram[1] if histogram[1] else math.nan
        return Change("mean", was, now, f"mean error {was:.6g}", f"mean error {now:.6g}")

    def histograms(self, histogram: Sequence[float]) -> None:
        """Return None: there is only a mean."""
        return


@dataclass(slots=True)
class MissingSummary:
    """The share of values that are missing: None, or a number that is not finite."""

    missing: int = 0
    count: int = 0
    before: int = 0
    before_count: int = 0

    def update(self, value: Any) -> None:
        """Count one value."""
        self.count += 1
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            self.missing += 1

    def extend(self) -> list[float]:
        """End a block of the reference and return its histogram."""
        self.before += self.missing
        self.before_count += self.count
        return self.close()

    def fix(self) -> None:
        """End the reference."""

    @property
    def share(self) -> float:
        """The reference's share."""
        return self.before / self.before_count if self.before_count else 0.0

    def close(self) -> list[float]:
        """Return how many values were missing, and how many not."""
        histogram = [float(self.missing), float(self.count - self.missing)]
        self.missing, self.count = 0, 0
        return histogram

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return the distance of the share from the reference, in square roots."""
        missing, present = thinned(histogram, count, seed)
        return abs(math.sqrt(missing / ((missing + present) or 1.0)) - math.sqrt(self.share))

    def change(self, histogram: Sequence[float]) -> Change:
        """Return the share, before and now."""
        was, now = self.share, histogram[0] / (sum(histogram) or math.nan)
        words = f"{was:.1%} of values missing", f"{now:.1%} of values missing"
        return Change("share missing", was, now, *words)

    def histograms(self, histogram: Sequence[float]) -> Histograms:
        """Return the shares missing and present."""
        then = [self.share, 1.0 - self.share]
        return Histograms(None, ["missing", "present"], then, as_shares(histogram))


@dataclass(slots=True)
class VolumeSummary:
    """How many events a block has, whose fall is the score."""

    count: int = 0
    before: int = 0
    blocks: int = 0

    def update(self, value: Any) -> None:
        """Count one event."""
        self.count += 1

    def extend(self) -> list[float]:
        """End a block of the reference; its mean is for the alarm's words only."""
        self.before += self.count
        self.blocks += 1
        return self.close()

    def fix(self) -> None:
        """End the reference."""

    def close(self) -> list[float]:
        """Return the count of the block, and 1 for its number of blocks."""
        histogram = [float(self.count), 1.0]
        self.count = 0
        return histogram

    def score(self, histogram: Sequence[float], count: int, seed: str) -> float:
        """Return a score that is higher the fewer events there are."""
        return -histogram[0]

    def change(self, histogram: Sequence[float]) -> Change:
        """Return the events of a block, before and now."""
        was = self.before / self.blocks if self.blocks else math.nan
        now = histogram[0] / histogram[1]
        words = f"{was:,.0f} events a block", f"{now:,.0f} events a block"
        return Change("events a block", was, now, *words)

    def histograms(self, histogram: Sequence[float]) -> None:
        """Return None: there is only a mean."""
        return
