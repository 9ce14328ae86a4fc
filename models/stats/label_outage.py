"""Label outage: the outcomes of each interval against what the delay curve expects of it.

A delay curve (kaplan_meier.py) and the waiting predictions give the number of outcomes that each
interval should bring. A Shiryaev-Roberts sum bets that a quarter of it comes (likelihood ratio of
Poisson counts, its logarithm divided by the overdispersion seen so far, of single intervals or of
four added, whichever is more, and at least 3). It is wrong once in `intervals_between` intervals if
arrivals are not below 54 % of the expectation and counts vary no more than estimated: that is
approximate, and checked by simulation only (tests/gallery, benchmarks/decisions/label_delays.py).

Forgetting. Once the predictions of a generation are `GENERATION` times `age_max_s` old and
`LABELS_A_GENERATION` of them have their outcome, their delay curve replaces the one before, and the
next generation begins. An alarm begins a generation at once, so that delays that have grown for
good raise one alarm, which ends when the new curve is known. A full outage teaches nothing.

Hours of the week. Labels may come in office hours only, or take longer over a week-end. So for each
hour of the week the share of its expectation that came is held, with a memory of four weeks, and an
hour expects at most the curve's outcomes times this share. In the first week nothing is known of
that: there a quiet night or week-end may raise a false alarm once.

The expectation follows the first curve as it was when labels last had grown by `REFRESH`, at ages
rounded to half an interval: exact to a few percent of the count, and cheap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from models.stats.kaplan_meier import BUCKETS, LABELS_MIN, DelayCurve

WILDNESS_MIN = 3.0
QUARTER = 0.25
EXPECTED_LEAST = 1e-6
"""Outcomes of an interval below which nothing is due: what came is divided by them."""
REFRESH = 1.2
LONG, CLIP = 4, 8.0
"""Intervals whose counts are added for the second estimate; where one of them is cut, in usual."""
STRIDE = 2
"""Buckets of the curve in one interval."""
GENERATION, LABELS_A_GENERATION = 2.0, 500
HOUR_S, WEEK_H = 3_600.0, 168
WEEKLY_MEMORY = 0.75
"""What a week's outcomes count a week later."""
EXPECTED_PRIOR = 3.0
"""Outcomes by which an hour's share is pulled towards 1."""


class Stopped(NamedTuple):
    """Outcomes fell far below what the delay curve expects since `since` (a watermark, s)."""

    since: float
    expected: float
    arrived: int
    evidence: float


class Resumed(NamedTuple):
    """Outcomes come as expected again, since about `since` (a watermark, s)."""

    since: float


@dataclass(slots=True)
class Arrivals:
    """A delay curve that is watched for a stop of labels.

    Call order: `advance` with each new watermark, then `issued` or `labelled`. Only `set_back`
    moves the watermark back. `generation` is the curve of the predictions since the bucket
    `generation_from`. 2 µs a record, and 20 µs each time the watermark has moved by 1/64 of
    `age_max_s`. Memory: two curves and 336 numbers.
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
    generation: DelayCurve = field(init=False)
    generation_from: int | None = None
    generations: int = 0
    week: int = 0
    expected_in_hour: list[float] = field(default_factory=lambda: [0.0] * WEEK_H)
    arrived_in_hour: list[float] = field(default_factory=lambda: [0.0] * WEEK_H)

    def __post_init__(self) -> None:
        self.generation = DelayCurve(self.curve.age_max_s, self.curve.shortest_s)

    def issued(self, event_time: float) -> int:
        """Count a prediction for an event of this time; return its bucket in the curve."""
        bucket = self.curve.bucket_of(event_time)
        self.curve.issued_in(bucket)
        if self.generation_from is None:
            self.generation_from = bucket
        if bucket >= self.generation_from:
            self.generation.issued_in(bucket)
        return bucket

    def labelled(self, event_time: float) -> tuple[int, int]:
        """Count the first outcome of an event, arriving now; return its bucket and bin."""
        now, curve = self.watermark, self.curve
        bucket = curve.bucket_of(event_time)
        delay_bin = curve.bin_of(0.0 if now is None or now < event_time else now - event_time)
        curve.labelled_in(bucket, delay_bin)
        if self.generation_from is not None and bucket >= self.generation_from:
            self.generation.labelled_in(bucket, delay_bin)
        # Only those who waited when the interval began are counted, as only they are expected.
        if bucket in self.before:
            self.arrived += 1
        return bucket, delay_bin

    def advance(self, watermark: float) -> Stopped | Resumed | None:
        """Move the watermark; return once that outcomes stopped, and once that they resumed."""
        if self.watermark is not None and watermark <= self.watermark:
            return None
        first, self.watermark = self.watermark is None, watermark
        if watermark < self.due:
            return None
        told = None if first else self._weigh()
        width = self.curve.width_s
        now = math.floor(watermark / width)
        self.started, self.due = watermark, (now // STRIDE + 1) * STRIDE * width
        if self._is_generation_over(watermark):
            self.generations += 1
            self._use(self.generation, watermark)
            self._begin_generation(watermark)
        elif not self.generations and (
            self.curve.labels >= self.refresh_at or (self.left and watermark >= self.refresh_by)
        ):
            self._use(self.curve, watermark)
            self.refresh_at = self.curve.labels * REFRESH
            self.refresh_by = watermark + 4 * self.curve.age_max_s
        self.before = self.curve.waiting.copy()
        return told

    def set_back(self, watermark: float) -> None:
        """Move the watermark back; the interval starts over, and its evidence so far is dropped."""
        if self.watermark is None or watermark >= self.watermark:
            return
        width = self.curve.width_s
        self.watermark = self.started = watermark
        self.due = (math.floor(watermark / width) // STRIDE + 1) * STRIDE * width
        self.refresh_by = min(self.refresh_by, watermark + 4 * self.curve.age_max_s)
        self.arrived, self.evidence, self.before = 0, 0.0, self.curve.waiting.copy()
        self.since = min(self.since, watermark)
        self._begin_generation(watermark)

    def _begin_generation(self, now: float) -> None:
        self.generation = DelayCurve(self.curve.age_max_s, self.curve.shortest_s)
        self.generation_from = math.floor(now / self.curve.width_s) + 1

    def _is_generation_over(self, now: float) -> bool:
        start, width = self.generation_from, self.curve.width_s
        if start is None or self.generation.labels < LABELS_A_GENERATION:
            return False
        return now >= start * width + GENERATION * self.curve.age_max_s

    def _use(self, curve: DelayCurve, now: float) -> None:
        """Expect outcomes by the delays of this curve."""
        survival, width = curve.survival(now), curve.width_s
        self.left = [survival.remaining(k * width / 2) for k in range(2 * BUCKETS + 4)]
        # From this age on no label comes: those who are older are not expected.
        never = self.left[-1]
        self.flat = next(k for k, left in enumerate(self.left) if left == never)

    def _weigh(self) -> Stopped | Resumed | None:
        """Bet on the arrivals of the interval that ended, against their expectation."""
        arrived, self.arrived = self.arrived, 0
        assert self.watermark is not None
        expected = self._expected() if self.left else 0.0
        if expected < EXPECTED_LEAST:
            return None
        expected *= self._share_of_hours(expected, arrived)
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
        self._begin_generation(self.watermark)
        return Stopped(self.since, self.expected_since, self.arrived_since, self.evidence)

    def _share_of_hours(self, expected: float, arrived: int) -> float:
        """Return the share of its expectation that these hours of the week usually bring.

        At most 1; what came in this interval is counted afterwards.
        """
        assert self.watermark is not None
        week = math.floor(self.watermark / (WEEK_H * HOUR_S))
        if week > self.week:
            for totals in (self.expected_in_hour, self.arrived_in_hour):
                totals[:] = [total * WEEKLY_MEMORY for total in totals]
        self.week = week
        first = math.floor(self.started / HOUR_S)
        last = max(first + 1, min(math.ceil(self.watermark / HOUR_S), first + WEEK_H))
        hours = [hour % WEEK_H for hour in range(first, last)]
        due = sum(self.expected_in_hour[hour] for hour in hours)
        came = sum(self.arrived_in_hour[hour] for hour in hours)
        for hour in hours:
            self.expected_in_hour[hour] += expected / len(hours)
            self.arrived_in_hour[hour] += arrived / len(hours)
        return min(1.0, (came + EXPECTED_PRIOR) / (due + EXPECTED_PRIOR))

    def _weigh_long(self, expected: float, arrived: int) -> None:
        """Estimate overdispersion of four intervals added, which counts that hang together have."""
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
        """Return the outcomes due in the interval, of those who waited at its start."""
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
