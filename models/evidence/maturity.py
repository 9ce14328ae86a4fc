"""When outcomes come: the share of predictions that have theirs, by age; and whether they stopped.

The product-limit estimate of Kaplan & Meier (1958, JASA 53) of the delay from event to outcome, in
streaming form. Delay = watermark when the outcome arrives - event time, both event time, so a
replay gives the same curve. A prediction that still waits is *censored* at its age: it says that
the delay is longer than that, and nothing more; dropping it would make delays look short. One that
waited `age_max_s` counts as never labelled, and all of those make the curve's plateau below 1.
Outcomes after the horizon enter as long as they come before `age_max_s`, later ones as of that age.

Ages are binned in equal ratios (`PER_DECADE` a decade: 12 % wide) and the waiting are counted by
time of issue in `BUCKETS` buckets: quantiles are good to 12 %, memory is at most 500 numbers
whatever the traffic, and two curves add up.

Labels stopped. From the curve and the waiting follows how many outcomes each interval should bring.
A Shiryaev-Roberts sum bets that a quarter of it comes (likelihood ratio of Poisson counts, its
logarithm divided by the overdispersion seen so far, at least 3). Falsely once in
`intervals_between` intervals if arrivals are not below 54 % of what is expected and counts are no
wilder than estimated: that is approximate, and checked by simulation only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

PER_DECADE = 20
BUCKETS = 128
WILDNESS_MIN = 3.0
QUARTER = 0.25


class Stopped(NamedTuple):
    """Outcomes fell far below what the delay curve expects since `since` (a watermark, s)."""

    since: float
    expected: float
    arrived: int
    evidence: float


@dataclass(slots=True)
class DelayCurve:
    """Delays of one segment's outcomes. All times in seconds of event time.

    Call order: `advance` with each new watermark, `issued` with each prediction, `labelled` with
    each first outcome. Watermarks never go back. 1 µs a record, and 0.6 ms each time the watermark
    has moved by 1/128 of `age_max_s`. Choose `age_max_s` well above the horizon, e.g. four times.

    >>> curve = DelayCurve(age_max_s=100.0)
    >>> for t in range(1_000):
    ...     _ = curve.advance(float(t))
    ...     curve.issued(float(t))
    ...     if t >= 10 and t % 2:
    ...         _ = curve.labelled(t - 10.0)
    >>> round(curve.share_labelled(50.0), 2), curve.share_labelled(5.0)
    (0.5, 0.0)
    >>> 9.0 < curve.quantile(0.25) < 12.0, curve.quantile(0.9)
    (True, None)
    """

    age_max_s: float
    shortest_s: float = 1.0
    intervals_between: float = 1e5
    warm: int = 200
    watermark: float | None = None
    never: int = 0
    labels: int = 0
    counts: list[int] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    arrived: int = 0
    evidence: float = 0.0
    overdispersion: float = WILDNESS_MIN
    intervals: int = 0
    since: float = 0.0
    expected_since: float = 0.0
    arrived_since: int = 0
    alarmed: bool = False
    started: float = 0.0
    curve: list[float] = field(default_factory=list)
    before: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 < self.shortest_s < self.age_max_s:
            raise ValueError("shortest_s must lie between 0 and age_max_s")
        decades = math.log10(self.age_max_s / self.shortest_s)
        self.counts = self.counts or [0] * (math.ceil(decades * PER_DECADE) + 1)

    @property
    def width_s(self) -> float:
        """Length of an interval, and resolution of the ages of those that wait."""
        return self.age_max_s / BUCKETS

    def issued(self, event_time: float) -> None:
        """A prediction was made for an event of this time."""
        bucket = math.floor(event_time / self.width_s)
        self.waiting[bucket] = self.waiting.get(bucket, 0) + 1

    def labelled(self, event_time: float) -> float:
        """Its first outcome arrives now; returns the delay."""
        delay = max(0.0, (event_time if self.watermark is None else self.watermark) - event_time)
        bucket = math.floor(event_time / self.width_s)
        if self.waiting.get(bucket, 0) > 0:
            self.waiting[bucket] -= 1
        elif self.never:
            # It had been given up: it leaves the plateau and enters at the last age.
            self.never -= 1
        self.counts[self._bin(delay)] += 1
        self.labels += 1
        # Only those who waited when the interval began are counted, as only they are expected.
        self.arrived += self.before.get(bucket, 0) > 0
        return delay

    def advance(self, watermark: float) -> Stopped | None:
        """Move the watermark; returns an alarm, once, where outcomes have stopped."""
        before, self.watermark = self.watermark, max(watermark, self.watermark or watermark)
        if before is None or math.floor(before / self.width_s) == self._now:
            return None
        alarm = self._weigh(self.started)
        self.started, self.curve = self.watermark, self.survival()
        self.before = {b: n for b, n in self.waiting.items() if n}
        for bucket in [b for b in self.waiting if b < self._now - BUCKETS]:
            self.never += self.waiting.pop(bucket)
        return alarm

    def survival(self) -> list[float]:
        """Share still without outcome at the end of each bin of ages (Kaplan-Meier)."""
        waiting = [0.0] * (len(self.counts) + 1)
        for bucket, count in self.waiting.items():
            waiting[self._bin(self._age(bucket))] += count
        at_risk, out, share = float(self.never), [], 1.0
        risks = []
        for k in reversed(range(len(self.counts))):
            # Those whose age lies within the bin were at risk for half of it.
            risks.append(at_risk + self.counts[k] + waiting[k] / 2.0)
            at_risk += self.counts[k] + waiting[k]
        for labelled, risk in zip(self.counts, reversed(risks), strict=True):
            share *= 1.0 - labelled / risk if risk > 0.0 else 1.0
            out.append(share)
        return out

    def share_labelled(self, age_s: float) -> float:
        """Expected share of predictions with their outcome at this age: a metric's maturity."""
        return 1.0 - self._remaining(self.survival(), age_s)

    @property
    def plateau(self) -> float:
        """Share that ever gets an outcome, within `age_max_s`."""
        return 1.0 - self.survival()[-1]

    def quantile(self, share: float) -> float | None:
        """Age at which this share of all predictions has its outcome; None if it never has."""
        for k, left in enumerate(self.survival()):
            if 1.0 - left >= share:
                return min(self.age_max_s, self._edge(k + 1))
        return None

    def horizon(self, lost: float = 0.01) -> float | None:
        """Proposed horizon: the age after which only a share `lost` of all outcomes comes."""
        return self.quantile((1.0 - lost) * self.plateau) if self.labels >= self.warm else None

    def merge(self, other: DelayCurve) -> DelayCurve:
        """The curve of both streams (partitions, segments); the alarm's evidence is not merged."""
        if (self.age_max_s, self.shortest_s) != (other.age_max_s, other.shortest_s):
            raise ValueError("only curves of the same bins add up")
        out = DelayCurve(self.age_max_s, self.shortest_s, self.intervals_between, self.warm)
        marks = [c.watermark for c in (self, other) if c.watermark is not None]
        out.watermark = min(marks, default=None)
        out.never, out.labels = self.never + other.never, self.labels + other.labels
        out.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        out.waiting = dict(self.waiting)
        for bucket, count in other.waiting.items():
            out.waiting[bucket] = out.waiting.get(bucket, 0) + count
        return out

    def _weigh(self, start: float) -> Stopped | None:
        """Compare the arrivals of the interval that ended with what was expected of it."""
        arrived, self.arrived = self.arrived, 0
        if self.labels < self.warm or self.watermark is None:
            return None
        expected = self._expected(start) if self.curve else 0.0
        if expected <= 0.0:
            return None
        self.intervals += 1
        wild = (arrived - expected) ** 2 / expected
        bet = (arrived * math.log(QUARTER) + (1.0 - QUARTER) * expected) / self.overdispersion
        self.evidence = min((1.0 + self.evidence) * math.exp(min(bet, 50.0)), 1e12)
        if self.evidence < 10.0:
            rate = max(0.005, 1.0 / self.intervals)
            grown = (1.0 - rate) * self.overdispersion + rate * wild
            self.overdispersion = max(WILDNESS_MIN, grown)
            self.since, self.expected_since, self.arrived_since = self.watermark, 0.0, 0
            self.alarmed = False
            return None
        self.expected_since += expected
        self.arrived_since += arrived
        if self.evidence < self.intervals_between or self.alarmed:
            return None
        self.alarmed = True
        return Stopped(self.since, self.expected_since, self.arrived_since, self.evidence)

    def _expected(self, start: float) -> float:
        """Outcomes due since `start` of those who waited then, by the curve of then."""
        due, elapsed = 0.0, (self.watermark or start) - start
        for bucket, count in self.before.items():
            age = max(0.0, start - (bucket + 0.5) * self.width_s)
            left = self._remaining(self.curve, age)
            if count and left > 0.0:
                due += count * (1.0 - self._remaining(self.curve, age + elapsed) / left)
        return due

    @property
    def _now(self) -> int:
        return math.floor((self.watermark or 0.0) / self.width_s)

    def _age(self, bucket: int) -> float:
        """Age of a waiting bucket's middle."""
        return max(0.0, (self.watermark or 0.0) - (bucket + 0.5) * self.width_s)

    def _bin(self, age: float) -> int:
        if age < self.shortest_s:
            return 0
        ratio = math.log10(min(age, self.age_max_s) / self.shortest_s)
        return min(len(self.counts) - 1, 1 + int(ratio * PER_DECADE))

    def _edge(self, k: int) -> float:
        """Lower edge of bin k; bin 0 begins at 0."""
        return 0.0 if k == 0 else self.shortest_s * 10.0 ** ((k - 1) / PER_DECADE)

    def _remaining(self, survival: list[float], age: float) -> float:
        """Survival at an age, straight between the edges of its bin."""
        if age >= self.age_max_s:
            return survival[-1]
        k = self._bin(age)
        low, high = self._edge(k), self._edge(k + 1)
        above = survival[k - 1] if k else 1.0
        part = min(1.0, max(0.0, (age - low) / (high - low)))
        return above + part * (survival[k] - above)
