"""When outcomes come: the share of predictions that have theirs, by age.

The product-limit estimate of Kaplan & Meier (1958, JASA 53) of the delay from event to outcome, in
streaming form. Delay = watermark when the outcome arrives - event time, both event time, so a
replay gives the same curve. A prediction that still waits is *censored* at its age: it says that
the delay is longer than that, and nothing more; dropping it would make delays look short. One that
waited `age_max_s` counts as never labelled, and all of those make the curve's plateau below 1.
Outcomes after the horizon enter as long as they come before `age_max_s`, later ones as of that age.

Delays change, so old ones are forgotten: labels are counted in periods of `PERIOD_AGES` times
`age_max_s`, a week at least, and only the current and the last whole period are in the curve. A
period with fewer than `LABELS_MIN` labels goes on until it has them.

Ages are binned in equal ratios (`PER_DECADE` a decade: 12 % wide) and the waiting are counted by
time of issue in `BUCKETS` buckets: quantiles are good to 12 %, memory is at most 700 numbers
whatever the traffic, and two curves add up. Whether labels have stopped is in `label_outage.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

PER_DECADE = 20
BUCKETS = 128
LABELS_MIN = 200
"""Labels before a horizon is proposed."""
PERIOD_AGES = 7
PERIOD_LEAST_S = 7 * 86_400.0
"""A week: delays may differ by weekday."""
LOST = 0.01
"""Share of all outcomes that a proposed horizon leaves out."""
RISING_AGES = 1.4
"""The last ages of a curve begin at its longest age divided by this."""


@dataclass(frozen=True)
class Survival:
    """A delay curve as counts a bin of ages that partitions and segments add up.

    `exposed`: predictions that reached the bin without a label, those still within it counted half.

    >>> half = Survival([1.0, 10.0], [0, 50], [100.0, 100.0])
    >>> half.plateau, (half + half).labels, half.quantile(0.5), half.share_labelled(5.5)
    (0.5, 100, 10.0, 0.25)
    """

    edges_s: Sequence[float]
    labelled: Sequence[int]
    exposed: Sequence[float]

    @classmethod
    def merged(cls, rows: Iterable[Mapping[str, Any]]) -> Survival | None:
        """Return the curve of several `delays` records together; None without any.

        Raise ValueError where their ages are not binned alike (another horizon or memory).
        """
        curves = [cls(row["edges_s"], row["labelled"], row["exposed"]) for row in rows]
        return sum(curves[1:], curves[0]) if curves else None

    def __add__(self, other: Survival) -> Survival:
        """Return the curve of both."""
        if list(self.edges_s) != list(other.edges_s):
            raise ValueError("only curves of the same bins add up")
        labelled = [a + b for a, b in zip(self.labelled, other.labelled, strict=True)]
        exposed = [a + b for a, b in zip(self.exposed, other.exposed, strict=True)]
        return Survival(self.edges_s, labelled, exposed)

    @property
    def labels(self) -> int:
        """Labels that came, at whatever age."""
        return sum(self.labelled)

    @cached_property
    def left(self) -> list[float]:
        """Share still without outcome at the end of each bin (Kaplan-Meier)."""
        out, share = [], 1.0
        for labelled, risk in zip(self.labelled, self.exposed, strict=True):
            share *= max(0.0, 1.0 - labelled / risk) if risk > 0.0 else 1.0
            out.append(share)
        return out

    def share_labelled(self, age_s: float) -> float:
        """Return the expected share of predictions with their outcome at this age: maturity."""
        return 1.0 - self.remaining(age_s)

    def remaining(self, age_s: float) -> float:
        """Return the share without outcome at an age, linear between the edges of its bin."""
        left, edges = self.left, self.edges_s
        if age_s >= edges[-1]:
            return left[-1]
        k = bisect_right(edges, age_s)
        low, above = (edges[k - 1], left[k - 1]) if k else (0.0, 1.0)
        part = min(1.0, max(0.0, (age_s - low) / (edges[k] - low)))
        return above + part * (left[k] - above)

    @property
    def plateau(self) -> float:
        """Share that ever gets an outcome, within the last age."""
        return 1.0 - self.left[-1]

    def quantile(self, share: float) -> float | None:
        """Return the age at which this share of all predictions has its outcome; None if never."""
        for edge, left in zip(self.edges_s, self.left, strict=True):
            if 1.0 - left >= share:
                return edge
        return None

    def horizon(self) -> float | None:
        """Return the age after which only a share `LOST` of all outcomes comes, to propose it.

        None before `LABELS_MIN` labels; it is a lower bound where the curve `is_rising`.
        """
        return self.quantile((1.0 - LOST) * self.plateau) if self.labels >= LABELS_MIN else None

    def is_rising(self) -> bool:
        """Return True if more than a share `LOST` of the outcomes comes at the last ages.

        Then more may come after the longest age that is told apart, and no horizon is long enough.
        """
        before = self.share_labelled(self.edges_s[-1] / RISING_AGES)
        return self.plateau - before > LOST * self.plateau


@dataclass(slots=True)
class DelayCurve:
    """Delays of one segment's outcomes. All times in seconds of event time.

    `issued` with each prediction, `labelled` with each first outcome: half a microsecond each.
    Choose `age_max_s` well above the horizon: twice.

    >>> curve = DelayCurve(age_max_s=100.0)
    >>> for t in range(1_000):
    ...     curve.issued(float(t))
    ...     if t >= 10 and t % 2:
    ...         curve.labelled(t - 10.0, delay_s=10.0)
    >>> survival = curve.survival(now=999.0)
    >>> round(survival.share_labelled(50.0), 2), survival.share_labelled(5.0)
    (0.5, 0.0)
    >>> 9.0 < survival.quantile(0.25) < 12.0, survival.quantile(0.9)
    (True, None)
    """

    age_max_s: float
    shortest_s: float = 1.0
    never: int = 0
    labels: int = 0
    predictions: int = 0
    counts: list[int] = field(default_factory=list)
    waiting: dict[int, int] = field(default_factory=dict)
    period: int | None = None
    period_labels: int = 0
    last_never: int = 0
    last_counts: list[int] = field(default_factory=list)
    period_buckets: int = field(init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.shortest_s < self.age_max_s:
            raise ValueError("shortest_s must lie between 0 and age_max_s")
        decades = math.log10(self.age_max_s / self.shortest_s)
        self.counts = self.counts or [0] * (math.ceil(decades * PER_DECADE) + 1)
        self.last_counts = self.last_counts or [0] * len(self.counts)
        period_s = max(PERIOD_AGES * self.age_max_s, PERIOD_LEAST_S)
        self.period_buckets = math.ceil(period_s / self.width_s)

    @property
    def width_s(self) -> float:
        """Resolution of the ages of those that wait; above 0 as every declared length is."""
        return self.age_max_s / BUCKETS

    def issued(self, event_time: float) -> None:
        """Record a prediction for an event of this time."""
        self.issued_in(self.bucket_of(event_time))

    def issued_in(self, bucket: int) -> None:
        """Record a prediction for an event of that bucket."""
        self.predictions += 1
        if self.period is None or bucket >= self.period + self.period_buckets:
            self._begin_period(bucket)
        waiting = self.waiting
        if bucket in waiting:
            waiting[bucket] += 1
            return
        waiting[bucket] = 1
        if len(waiting) > 2 * BUCKETS:
            for old in [b for b in waiting if b < bucket - BUCKETS]:
                self.never += waiting.pop(old)

    def labelled(self, event_time: float, delay_s: float) -> None:
        """Record the first outcome of an event, `delay_s` after it."""
        self.labelled_in(self.bucket_of(event_time), self.bin_of(delay_s))

    def labelled_in(self, bucket: int, delay_bin: int) -> None:
        """Record the first outcome of an event of that bucket, with a delay of that bin."""
        still = self.waiting.get(bucket, 0)
        if still > 1:
            self.waiting[bucket] = still - 1
        elif still:
            del self.waiting[bucket]
        elif self.never:
            # It had been given up: it leaves the plateau and enters at the last age.
            self.never -= 1
        elif self.last_never:
            self.last_never -= 1
        self.counts[delay_bin] += 1
        self.labels += 1
        self.period_labels += 1

    def survival(self, now: float) -> Survival:
        """Return the curve when the watermark is `now`; the state does not change."""
        waiting = [0] * (len(self.counts) + 1)
        at_risk, width = float(self.never + self.last_never), self.width_s
        counts = [a + b for a, b in zip(self.counts, self.last_counts, strict=True)]
        oldest = math.floor(now / width) - BUCKETS
        for bucket, count in self.waiting.items():
            if bucket < oldest:
                at_risk += count
            else:
                waiting[self.bin_of(now - (bucket + 0.5) * width)] += count
        exposed = []
        for labelled, still in zip(reversed(counts), reversed(waiting[:-1]), strict=True):
            # Those whose age lies within the bin were at risk for half of it.
            exposed.append(at_risk + labelled + still / 2.0)
            at_risk += labelled + still
        return Survival(self.edges_s, counts, exposed[::-1])

    def _begin_period(self, bucket: int) -> None:
        """Begin a period with a prediction's bucket, and forget all but the one before."""
        if self.period is not None and self.period_labels < LABELS_MIN:
            return
        if self.period is not None:
            self.last_counts, self.last_never = self.counts, self.never
            self.counts, self.never = [0] * len(self.counts), 0
        self.period, self.period_labels = bucket, 0

    @property
    def edges_s(self) -> list[float]:
        """Upper edge of each bin of ages; the last is `age_max_s`."""
        return [*_edges_s(self.shortest_s, self.age_max_s, len(self.counts))]

    def bucket_of(self, event_time: float) -> int:
        """Return the bucket of a time of issue; it depends on `age_max_s` alone."""
        return math.floor(event_time * BUCKETS / self.age_max_s)

    def bin_of(self, age: float) -> int:
        """Return the bin of an age or a delay; it depends on `age_max_s` and `shortest_s` alone."""
        if age < self.shortest_s:
            return 0
        ratio = math.log10(min(age, self.age_max_s) / self.shortest_s)
        return min(len(self.counts) - 1, 1 + int(ratio * PER_DECADE))


@lru_cache(maxsize=64)
def _edges_s(shortest_s: float, age_max_s: float, count: int) -> tuple[float, ...]:
    edges = (round(shortest_s * 10.0 ** (k / PER_DECADE), 3) for k in range(count - 1))
    return (*edges, age_max_s)
