"""Have labels stopped: the outcomes of each interval against what the delay curve expects of it.

From the curve (maturity.py) and the waiting predictions follows how many outcomes each interval
should bring. A Shiryaev-Roberts sum bets that a quarter of it comes (likelihood ratio of Poisson
counts, its logarithm divided by the overdispersion seen so far, of single intervals or of four
added, whichever is more, and at least 3). Falsely once in
`intervals_between` intervals if arrivals are not below 54 % of what is expected and counts are no
wilder than estimated: that is approximate, and checked by simulation only
(benchmarks/label_delays.py).

What is expected follows the curve as it was when labels last had grown by `REFRESH`, at ages
rounded to half an interval: exact to a few percent of the count, and cheap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from models.evidence.maturity import BUCKETS, LABELS_MIN, DelayCurve

WILDNESS_MIN = 3.0
QUARTER = 0.25
REFRESH = 1.2
LONG, CLIP = 4, 8.0
"""Intervals whose counts are added for the second estimate; where one of them is cut, in usual."""
STRIDE = 2
"""Buckets of the curve in one interval."""


class Stopped(NamedTuple):
    """Outcomes fell far below what the delay curve expects since `since` (a watermark, s)."""

    since: float
    expected: float
    arrived: int
    evidence: float


class Resumed(NamedTuple):
    """They come again as expected, since about `since`."""

    since: float


@dataclass(slots=True)
class Arrivals:
    """A delay curve that is watched for a stop of labels.

    Call order: `advance` with each new watermark, then `issued` or `labelled`. Watermarks never go
    back. 1 µs a record, and 20 µs each time the watermark has moved by 1/64 of `age_max_s`.
    """

    curve: DelayCurve
    intervals_between: float = 1e5
    watermark: float | None = None
    due: float = -math.inf
    arrived: int = 0
    evidence: float = 0.0
    overdispersion: float = WILDNESS_MIN
    overdispersion_long: float = WILDNESS_MIN
    intervals: int = 0
    long: list[float] = field(default_factory=lambda: [0.0, 0.0])
    flat: int = 0
    since: float = 0.0
    expected_since: float = 0.0
    arrived_since: int = 0
    alarmed: bool = False
    started: float = 0.0
    refresh_at: float = LABELS_MIN
    refresh_by: float = 0.0
    left: list[float] = field(default_factory=list)
    before: dict[int, int] = field(default_factory=dict)

    def issued(self, event_time: float) -> None:
        """A prediction was made for an event of this time."""
        self.curve.issued(event_time)

    def labelled(self, event_time: float) -> tuple[int, int]:
        """Its first outcome arrives now; returns where it is in the curve: bucket and bin."""
        now, curve = self.watermark, self.curve
        bucket = curve.bucket_of(event_time)
        place = curve.bin_of(0.0 if now is None or now < event_time else now - event_time)
        curve.labelled_in(bucket, place)
        # Only those who waited when the interval began are counted, as only they are expected.
        if bucket in self.before:
            self.arrived += 1
        return bucket, place

    def advance(self, watermark: float) -> Stopped | Resumed | None:
        """Move the watermark; returns once that outcomes stopped, and once that they resumed."""
        if self.watermark is not None and watermark <= self.watermark:
            return None
        first, self.watermark = self.watermark is None, watermark
        if watermark < self.due:
            return None
        told = None if first else self._weigh()
        width = self.curve.width_s
        now = math.floor(watermark / width)
        self.started, self.due = watermark, (now // STRIDE + 1) * STRIDE * width
        if self.curve.labels >= self.refresh_at or (self.left and watermark >= self.refresh_by):
            self._refresh(watermark)
        self.before = self.curve.waiting.copy()
        return told

    def _refresh(self, now: float) -> None:
        survival, width = self.curve.survival(now), self.curve.width_s
        self.left = [survival.remaining(k * width / 2) for k in range(2 * BUCKETS + 4)]
        # From this age on no label comes: those who are older are not expected.
        never = self.left[-1]
        self.flat = next(k for k, left in enumerate(self.left) if left == never)
        self.refresh_at = self.curve.labels * REFRESH
        self.refresh_by = now + 4 * self.curve.age_max_s

    def _weigh(self) -> Stopped | Resumed | None:
        """Compare the arrivals of the interval that ended with what was expected of it."""
        arrived, self.arrived = self.arrived, 0
        assert self.watermark is not None
        expected = self._expected() if self.left else 0.0
        if expected <= 0.0:
            return None
        self.intervals += 1
        wild = (arrived - expected) ** 2 / expected
        spread = max(self.overdispersion, self.overdispersion_long)
        bet = (arrived * math.log(QUARTER) + (1.0 - QUARTER) * expected) / spread
        self.evidence = min((1.0 + self.evidence) * math.exp(min(bet, 50.0)), 1e12)
        self._weigh_long(expected, arrived)
        if self.evidence < 10.0:
            rate = max(0.005, 1.0 / self.intervals)
            grown = (1.0 - rate) * self.overdispersion + rate * wild
            self.overdispersion = max(WILDNESS_MIN, grown)
            self.since, self.expected_since, self.arrived_since = self.watermark, 0.0, 0
            resumed, self.alarmed = self.alarmed, False
            return Resumed(self.started) if resumed else None
        self.expected_since += expected
        self.arrived_since += arrived
        if self.evidence < self.intervals_between or self.alarmed:
            return None
        self.alarmed = True
        return Stopped(self.since, self.expected_since, self.arrived_since, self.evidence)

    def _weigh_long(self, expected: float, arrived: int) -> None:
        """Counts that hang together over some intervals add up to more than those of each."""
        long = self.long
        long[0] += expected
        long[1] += arrived
        if self.intervals % LONG == 0:
            usual = self.overdispersion_long
            wild = min((long[1] - long[0]) ** 2 / long[0], CLIP * usual)
            rate = max(0.01, LONG / self.intervals)
            self.overdispersion_long = max(WILDNESS_MIN, (1.0 - rate) * usual + rate * wild)
            self.long = [0.0, 0.0]

    def _expected(self) -> float:
        """Outcomes due in the interval of those who waited at its start, by the curve of then."""
        assert self.watermark is not None
        left, half = self.left, self.curve.width_s / 2
        top, start = len(left) - 1, round(self.started / half) - 1
        oldest = (start - self.flat) / 2
        elapsed, due = max(1, round((self.watermark - self.started) / half)), 0.0
        for bucket, count in [row for row in self.before.items() if row[0] > oldest]:
            age = max(0, start - 2 * bucket)
            waited = left[min(top, age)]
            if waited > 0.0:
                due += count * (1.0 - left[min(top, age + elapsed)] / waited)
        return due
