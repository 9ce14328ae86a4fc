"""When to serve the baseline instead of the champion, and when to serve the champion again.

Three sequential change detectors (mean_shift.py) read every labelled example:

*worse*     the champion's cost less the baseline's exceeds a quarter of what is usual;
*loss*      the baseline's own error exceeds three and a half times its usual level;
*labels*    labels stop bearing out the baseline: where it claims to be more than a usual error away
            from its median, the label is not on that side of its own (by a tenth of that error).

*Worse* is judged by the KPI, since that is what the champion is promoted by: a model that is right
about asymmetric costs may have the larger error. *Loss* and *labels* are about the labels, so they
are judged by the error. They are there because a champion that learns corrupted labels soon fits
them: seen from the labels it is then better than the baseline, while it predicts nonsense (measured
on flights: of eight corruptions none was noticed first by *worse*). The baseline cannot learn, so a
sudden misfit between it and the labels means that labels or world have broken.

What is usual (`UsualSize`, `Difference`). A mean of a quantity that may be 0 nearly always, such as
the log loss of a class of which one event in 20,000 is. Its memory is 20,000 examples, or as many
as hold the equivalent of `EVENTS_KEPT` events, and no single value counts for more than a multiple
of the usual. The unit of *worse* is the larger of the usual absolute difference and the usual
spread of the baseline's cost. Differences are clipped at four units; a gain beyond that, as a model
of a rare event has at each event, is credited at its usual mean, so that clipping does not turn a
calibrated champion into a worse one. Before the spread of the baseline's cost rests on `EVENTS_MIN`
events, the unit is increased by what as many unseen events of the largest possible difference could
still cost. So a champion that costs more than that is withheld from the first example after `warm`
on, and one that only pays its premium before the first event is not.

Threshold. Each trips at evidence 3·`examples_between`: the mean number of examples to a false trip
of any is at least `examples_between` (a million) as long as the conditional means stay within what
is allowed, whatever the dependence between examples. That is why the allowances are not zero: in a
storm the champion may be a little worse for hours, and the baseline's error doubles. The promise is
about clipped means in the units above; that streams keep within them is measured (tests/gallery,
benchmarks/decisions/breaker_trips.py), not proved.

Way back (hysteresis). While open, the champion predicts in shadow and the opposite bets are made:
champion better than the baseline, error below two and a half times the usual, labels bearing it
out. That the champion is better may be shown in many small differences, at the clip of the trip, or
in few large ones, at the size that a difference of one unit of cost has on average (`better`, a
CUSUM, which does not grow by itself where nothing happens). All (*loss* and *labels* only where the
baseline says something of the label) must stand at `back` evidence at once, after at least
`open_min` examples; each further trip doubles `back`, up to 1,024 times. What is usual is not
updated while open, and of differences not while *worse* is suspected: corruption must not become
usual.

Not promised: corruption that keeps order and level (10 % added to every label); a baseline that
says nothing about the label makes *labels* silent, not wrong; *loss* and *labels* judge nothing
before the baseline has erred `EVENTS_MIN` times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from models.stats.mean_shift import MeanDetector

Cause = Literal[
    "worse than the baseline", "loss out of its range", "labels left the baseline", "error drifted"
]
# All in usual sizes: where a difference and a loss are clipped, and what is allowed.
DIFFERENCE_CLIP, WORSE = 4.0, 0.25
LOSS_CLIP, LEVEL, LEVEL_BACK = 10.0, 3.5, 2.5
COST_CLIP = 1_000.0
BEYOND = 0.1
FORGET = 1.0 / 20_000
EVENTS_KEPT = 200
MOST_OF_EVENTS = 1.0 / EVENTS_KEPT
EVENTS_MIN = 20
FREE_EVENTS = 100
"""Events that count in full, before any is clipped."""
CALM_BELOW = 1_000.0
"""Evidence of *worse* from which on no difference is learnt as a usual one."""
SIZE_MIN = 1e-12
"""A size below it is none: a certain and right class has a log loss of 1e-15."""
SIZE_MAX = 1e100
ALLOWED = 0.05, 0.95
"""Within this range a share of claims may fail; a bet divides by it, and by 1 less it."""


@dataclass(slots=True)
class UsualSize:
    """Slow mean of a size (at least 0), as the share of examples with one times their mean size.

    `clip`: what counts of one size, in usual sizes. `mean` is that of all examples, `square` their
    mean square, `forget` the rate at which they are forgotten, brought up to date every 64
    examples. A clipped mean of all examples would fall to 0 where fewer than 1 in `clip` has a
    size. Eight numbers.

    >>> usual = UsualSize()
    >>> for k in range(10_000):
    ...     usual.update(50.0 if k % 100 == 0 else 0.0)
    >>> round(usual.mean, 3), round(usual.typical, 3)
    (0.5, 50.0)
    """

    clip: float = LOSS_CLIP
    count: int = 0
    events: int = 0
    share: float = 0.0
    size: float = 0.0
    square: float = 0.0
    mean: float = 0.0
    forget: float = FORGET

    def update(self, size: float) -> None:
        """Count one example."""
        # Twice to four times an outcome: locals, and comparisons in place of min and max.
        self.count = count = self.count + 1
        events = self.events
        if size <= SIZE_MIN and not events:
            return
        if not count & 63:
            equal = self.mean * self.mean / (self.square or 1.0)
            self.forget = min(FORGET, equal / EVENTS_KEPT)
        rate = self.forget
        if rate * count <= 1.0:
            rate = 1.0 / count
        share, mean_size, square = self.share, self.size, self.square
        if size <= SIZE_MIN:
            share *= 1.0 - rate
            square -= rate * square
        else:
            self.events = events = events + 1
            if events > FREE_EVENTS and size > self.clip * mean_size:
                size = self.clip * mean_size
            share += rate * (1.0 - share)
            square += rate * (size * size - square)
            of_events = rate / share
            if of_events > MOST_OF_EVENTS:
                of_events = MOST_OF_EVENTS
            least = 1.0 / events
            if of_events < least:
                of_events = least
            self.size = mean_size = mean_size + of_events * (size - mean_size)
        self.share, self.square, self.mean = share, square, share * mean_size

    @property
    def typical(self) -> float:
        """The size that one unit of the sum comes from on average: mean square over mean."""
        return self.square / self.mean if self.mean else 0.0


@dataclass(slots=True)
class Difference:
    """What is usual of the champion's cost less the baseline's.

    `largest_possible` is declared (the range of a KPI); None: the largest seen. `gain_beyond` is
    the champion's gain beyond the clip.
    """

    largest_possible: float | None = None
    largest_seen: float = 0.0
    unit: float = SIZE_MIN
    median: float = 0.0
    spread: UsualSize = field(default_factory=lambda: UsualSize(COST_CLIP))
    size: UsualSize = field(default_factory=lambda: UsualSize(COST_CLIP))
    gain_beyond: UsualSize = field(default_factory=lambda: UsualSize(COST_CLIP))

    def update(self, difference: float, baseline_cost: float) -> None:
        """Learn from one example what is usual."""
        spread, size = self.spread, abs(difference)
        if not spread.count:
            self.median = baseline_cost
        above = baseline_cost - self.median
        spread.update(abs(above))
        usual, count = spread.mean, spread.count
        if above:
            # Robbins & Monro 1951: a median by steps of a spread each way.
            step = max(10.0 * FORGET, 1.0 / count) * usual
            self.median += step if above > 0.0 else -step
        self.size.update(size)
        if size > self.largest_seen:
            self.largest_seen = size
        unit = self.size.mean
        if unit < usual:
            unit = usual
        if count * usual * usual <= EVENTS_MIN * spread.square:
            unit += (self.largest_possible or self.largest_seen) * EVENTS_MIN / count
        if unit < SIZE_MIN:
            unit = SIZE_MIN
        self.unit = unit
        beyond = -difference - DIFFERENCE_CLIP * unit
        if beyond > 0.0 or self.gain_beyond.events:
            self.gain_beyond.update(beyond if beyond > 0.0 else 0.0)
        else:
            self.gain_beyond.count += 1

    def relative(self, difference: float) -> float:
        """Return the clipped difference and the usual gain beyond it; 1 is the clip."""
        top = DIFFERENCE_CLIP * self.unit
        clipped = top if difference > top else difference if difference > -top else -top
        return (clipped - self.gain_beyond.mean) / top

    def of_another(self) -> Difference:
        """Return what stays usual when another champion answers: the baseline's cost."""
        return Difference(
            self.largest_possible, self.largest_seen, self.unit, self.median, self.spread
        )


@dataclass(slots=True)
class Usual:
    """What is usual of the baseline: its error, how often its claims hold, and two medians.

    The first examples count fully, later ones with a memory of 20,000.
    """

    error: UsualSize = field(default_factory=UsualSize)
    claims: int = 0
    agreement: float = 0.0
    label_median: float = 0.0
    baseline_median: float = 0.0

    def update(self, loss: float, baseline: float, label: float, agrees: bool | None) -> None:
        """Learn from one example what is usual."""
        self.error.update(loss)
        if agrees is not None:
            self.claims += 1
            self.agreement += max(FORGET, 1.0 / self.claims) * (agrees - self.agreement)
        step = max(0.0005, 1.0 / self.error.count) * self.error.mean
        self.label_median += step * ((label > self.label_median) - (label < self.label_median))
        up = (baseline > self.baseline_median) - (baseline < self.baseline_median)
        self.baseline_median += step * up

    @property
    def loss(self) -> float:
        """The baseline's usual error."""
        return self.error.mean

    @property
    def allowed(self) -> float:
        """The share of claims that may fail: the usual one, and a third of the way to chance."""
        least, most = ALLOWED
        allowed = (1.0 - self.agreement) + max(0.0, self.agreement - 0.5) / 3.0
        return min(most, max(least, allowed))

    @property
    def informative(self) -> bool:
        """True if the baseline's claims usually hold, so that labels can be judged by them."""
        return self.claims >= 200 and self.agreement > 0.7

    def agrees(self, baseline: float, label: float) -> bool | None:
        """Return whether the label lies on the side of its median that the baseline claims.

        It has to by a tenth of a usual loss, so that labels without information lie on no side.
        None where the baseline is within a usual loss of its own median and so claims nothing.
        """
        usual = self.error.mean
        if not abs(baseline - self.baseline_median) > usual:
            return None
        beyond = label - self.label_median
        if baseline < self.baseline_median:
            beyond = -beyond
        return beyond > BEYOND * usual


@dataclass(slots=True)
class Breaker:
    """The state of a circuit breaker. Closed: the champion is served. Open: the baseline is.

    Each labelled example is given in the order of outcomes, with what champion (in shadow while
    open) and baseline predicted. The first `warm` examples only measure what is usual. 10 µs an
    example, constant memory.

    >>> breaker = Breaker(warm=100)
    >>> for i in range(2_000):
    ...     y = float(i * 37 % 101)
    ...     _ = breaker.update(champion=y + 1.0, baseline=y + 2.0 * (-1) ** i, label=y)
    >>> breaker.open
    False
    >>> for i in range(100):
    ...     _ = breaker.update(champion=1e9, baseline=0.0, label=1.0)
    >>> breaker.open, breaker.cause
    (True, 'worse than the baseline')
    """

    examples_between: float = 1e6
    back: float = 1_000.0
    warm: int = 2_000
    open_min: int = 500
    open: bool = False
    cause: Cause | None = None
    trips: int = 0
    seen: int = 0
    since: int = 0
    usual: Usual = field(default_factory=Usual)
    difference: Difference = field(default_factory=Difference)
    worse: MeanDetector = field(default_factory=lambda: MeanDetector(WORSE / DIFFERENCE_CLIP))
    better: MeanDetector = field(default_factory=lambda: MeanDetector(0.0, cusum=True))
    loss: MeanDetector = field(default_factory=lambda: MeanDetector(LEVEL / LOSS_CLIP, 0.0))
    labels: MeanDetector = field(default_factory=lambda: MeanDetector(0.5, 0.0))

    def update(self, champion: float, baseline: float, label: float) -> bool:
        """Take one labelled number, judged by the error; return whether the state changed."""
        agrees = self.usual.agrees(baseline, label)
        costs = abs(champion - label), abs(baseline - label)
        return self.update_losses(costs, costs[1], agrees, baseline, label)

    def update_losses(
        self,
        costs: tuple[float, float] | None,
        baseline_loss: float,
        agrees: bool | None,
        baseline: float = 0.0,
        label: float = 0.0,
    ) -> bool:
        """Take one labelled example of any kind; return whether the state changed.

        `costs`: of champion and baseline, less is better; None: *worse* does not judge it.
        `baseline_loss` is its error, `agrees` whether a claim of it held (None: it made none).
        """
        self.seen += 1
        usual, difference = self.usual, None
        learning = not self.open or usual.error.events < EVENTS_MIN
        if learning and math.isfinite(baseline_loss):
            usual.update(baseline_loss, baseline, label, agrees)
        if costs is not None:
            difference = _finite(costs[0] - costs[1])
            calm = not self.open and self.worse.evidence < CALM_BELOW
            if calm or self.seen <= self.warm:
                self.difference.update(difference, _finite(costs[1]))
        if self.seen <= self.warm:
            return False
        level = None
        if usual.error.events >= EVENTS_MIN:
            top = LOSS_CLIP * max(usual.loss, SIZE_MIN)
            level = min(baseline_loss, top) / top if math.isfinite(baseline_loss) else 1.0
        decide = self._try_back if self.open else self._try_trip
        return decide(difference, level, agrees)

    @property
    def needed(self) -> float:
        """Evidence at which one of the three trips."""
        return 3.0 * self.examples_between

    @property
    def needed_back(self) -> float:
        """Evidence that all need for the way back."""
        return self.back * 2.0 ** min(10, max(0, self.trips - 1))

    def _try_trip(self, difference: float | None, level: float | None, agrees: bool | None) -> bool:
        if difference is not None:
            self.worse.update(self.difference.relative(difference))
        if level is not None:
            self.loss.update(level)
            if agrees is not None and self.usual.informative:
                self.labels.allowed = self.usual.allowed
                self.labels.update(0.0 if agrees else 1.0)
        needed = self.needed
        if self.worse.evidence >= needed:
            self.trip("worse than the baseline")
        elif self.loss.evidence >= needed:
            self.trip("loss out of its range")
        elif self.labels.evidence >= needed:
            self.trip("labels left the baseline")
        return self.open

    def trip(self, cause: Cause) -> None:
        """Open, for a reason of any origin; the way back is the same."""
        self.open, self.cause, self.since = True, cause, self.seen
        self.trips += 1
        self._restart(0.0, 1.0 - LEVEL_BACK / LOSS_CLIP, 1.0 - self.usual.allowed)

    def _try_back(self, difference: float | None, level: float | None, agrees: bool | None) -> bool:
        if difference is not None:
            top = DIFFERENCE_CLIP * self.difference.unit
            self.worse.update(-difference / top)
            self.better.update(-difference / (self.difference.size.typical or top))
        least = (self.worse.evidence + self.better.evidence) / 2
        if level is not None:
            self.loss.update(1.0 - level)
            least = min(least, self.loss.evidence)
            # Labels are no witness where the baseline claims nothing.
            if self.usual.informative:
                if agrees is not None:
                    self.labels.update(1.0 if agrees else 0.0)
                least = min(least, self.labels.evidence)
        if self.seen - self.since < self.open_min or least < self.needed_back:
            return False
        self.open, self.cause, self.since = False, None, self.seen
        self._restart(WORSE / DIFFERENCE_CLIP, LEVEL / LOSS_CLIP, self.usual.allowed)
        return True

    def _restart(self, worse: float, loss: float, labels: float) -> None:
        self.worse.allowed, self.loss.allowed, self.labels.allowed = worse, loss, labels
        for detector in (self.worse, self.better, self.loss, self.labels):
            detector.restart()


def _finite(cost: float) -> float:
    """Return a cost that can be added up; what is not a number is the worst."""
    if -SIZE_MAX <= cost <= SIZE_MAX:
        return cost
    return -SIZE_MAX if cost < 0.0 else SIZE_MAX
