"""Serve the baseline from the moment the champion turns worse than it; and the way back.

Three sequential change detectors (mean_detector.py) read every labelled example:

*worse*     the champion's loss less the baseline's exceeds a quarter of the baseline's usual loss;
*loss*      the baseline's own loss exceeds three and a half times its usual level;
*labels*    labels stop bearing out the baseline: where it claims to be more than a usual loss away
            from its median, the label is not on that side of its own (by a tenth of that loss).

The second and third are there because a champion that *learns* corrupted labels soon fits them:
seen from the labels it is then better than the baseline, while what it says is nonsense (measured
on flights: of eight corruptions none was noticed first by *worse*). The baseline cannot learn, so a
sudden misfit between it and the labels means that labels or world have broken.

Threshold. Each trips at evidence 3·`examples_between`: the mean number of examples to a false trip
of any is at least `examples_between` (a million) as long as the *conditional* means stay within
what is allowed, whatever the dependence between examples. That is why the allowances are not zero:
in a storm the champion may be a little worse for hours, and the baseline's loss doubles. Losses are
clipped, so the promise is about clipped means. That flights and AR(.9) streams keep within the
allowances is measured (benchmarks/breaker_trips.py: no trip in 1.3 million flights for each of
three models, none in a million of either simulated stream), not proved.

Way back (hysteresis). While open, the champion predicts in shadow and the opposite bets are made:
champion better than the baseline, loss below two and a half times the usual, labels bearing it out.
All three must stand at `back` evidence at once, after at least `open_min` examples; each further
trip doubles `back`, up to 1,024 times. "Usual" is not updated while open: corruption must not
become usual.

Not promised: corruption that keeps order and level (10 % added to every label); a baseline that
says nothing about the label makes *labels* silent, not wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from models.evidence.mean_detector import MeanDetector

Cause = Literal[
    "worse than the baseline", "loss out of its range", "labels left the baseline", "error drifted"
]
# All in usual losses of the baseline: where a difference and a loss are clipped, what is allowed.
DIFFERENCE_CLIP, WORSE = 4.0, 0.25
LOSS_CLIP, LEVEL, LEVEL_BACK = 10.0, 3.5, 2.5
BEYOND = 0.1
FORGET = 1.0 / 20_000


@dataclass(slots=True)
class Usual:
    """What is normal: slow means of the baseline's loss and of agreement, and two medians.

    The first examples count fully, later ones with a memory of 20,000.
    """

    count: int = 0
    claims: int = 0
    loss: float = 0.0
    agreement: float = 0.0
    label_median: float = 0.0
    baseline_median: float = 0.0

    def update(self, loss: float, baseline: float, label: float, agrees: bool | None) -> None:
        """Take one example; the loss is clipped, so that no outlier becomes usual."""
        self.count += 1
        rate = max(FORGET, 1.0 / self.count)
        clipped = min(loss, LOSS_CLIP * self.loss) if self.count > 100 else loss
        self.loss += rate * (clipped - self.loss)
        if agrees is not None:
            self.claims += 1
            self.agreement += max(FORGET, 1.0 / self.claims) * (agrees - self.agreement)
        # Robbins & Monro 1951: a median by steps of a loss each way.
        step = max(rate, 0.0005) * self.loss
        self.label_median += step * ((label > self.label_median) - (label < self.label_median))
        up = (baseline > self.baseline_median) - (baseline < self.baseline_median)
        self.baseline_median += step * up

    @property
    def allowed(self) -> float:
        """Share of claims that may fail: as usual, and a third of the way to chance."""
        return (1.0 - self.agreement) + max(0.0, self.agreement - 0.5) / 3.0

    @property
    def informative(self) -> bool:
        """Whether the baseline's claims usually hold, so that labels can be judged by them."""
        return self.claims >= 200 and self.agreement > 0.7

    def agrees(self, baseline: float, label: float) -> bool | None:
        """Whether the label lies on the side of its median that the baseline claims, by a tenth of
        a usual loss: labels that say nothing any more lie on no side.

        None where the baseline is within a usual loss of its own median and so claims nothing.
        """
        if not abs(baseline - self.baseline_median) > self.loss:
            return None
        beyond = label - self.label_median
        if baseline < self.baseline_median:
            beyond = -beyond
        return beyond > BEYOND * self.loss


@dataclass(slots=True)
class Breaker:
    """Closed: the champion is served. Open: the baseline is.

    Fed with each labelled example in the order of outcomes, with what champion (in shadow while
    open) and baseline had said. The first `warm` examples only measure what is usual. 6 µs an
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
    worse: MeanDetector = field(default_factory=lambda: MeanDetector(WORSE / DIFFERENCE_CLIP))
    loss: MeanDetector = field(default_factory=lambda: MeanDetector(LEVEL / LOSS_CLIP, 0.0))
    labels: MeanDetector = field(default_factory=lambda: MeanDetector(0.5, 0.0))

    def update(self, champion: float, baseline: float, label: float) -> bool:
        """Take one labelled number; True where the state has changed by it."""
        agrees = self.usual.agrees(baseline, label)
        return self.update_losses(
            abs(champion - label), abs(baseline - label), agrees, baseline, label
        )

    def update_losses(
        self,
        champion_loss: float,
        baseline_loss: float,
        agrees: bool | None,
        baseline: float = 0.0,
        label: float = 0.0,
    ) -> bool:
        """The same for any loss: classes give log losses, and None or whether a claim held."""
        self.seen += 1
        if not self.open and math.isfinite(baseline_loss):
            self.usual.update(baseline_loss, baseline, label, agrees)
        if self.seen <= self.warm:
            return False
        unit = max(self.usual.loss, 1e-12)
        top = LOSS_CLIP * unit
        champion_loss = min(champion_loss, top) if math.isfinite(champion_loss) else top
        baseline_loss = min(baseline_loss, top) if math.isfinite(baseline_loss) else top
        change = (champion_loss - baseline_loss) / (DIFFERENCE_CLIP * unit)
        decide = self._try_back if self.open else self._try_trip
        return decide(change, baseline_loss / top, agrees)

    @property
    def needed(self) -> float:
        """Evidence at which one of the three trips."""
        return 3.0 * self.examples_between

    @property
    def needed_back(self) -> float:
        """Evidence that all three need for the way back."""
        return self.back * 2.0 ** min(10, max(0, self.trips - 1))

    def _try_trip(self, change: float, level: float, agrees: bool | None) -> bool:
        self.worse.update(change)
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
        """Open it, whoever says so; the way back is the same."""
        self.open, self.cause, self.since = True, cause, self.seen
        self.trips += 1
        self._restart(0.0, 1.0 - LEVEL_BACK / LOSS_CLIP, 1.0 - self.usual.allowed)

    def _try_back(self, change: float, level: float, agrees: bool | None) -> bool:
        self.worse.update(-change)
        self.loss.update(1.0 - level)
        if agrees is not None or not self.usual.informative:
            self.labels.update(0.0 if agrees is False and self.usual.informative else 1.0)
        least = min(d.evidence for d in (self.worse, self.loss, self.labels))
        if self.seen - self.since < self.open_min or least < self.needed_back:
            return False
        self.open, self.cause, self.since = False, None, self.seen
        self._restart(WORSE / DIFFERENCE_CLIP, LEVEL / LOSS_CLIP, self.usual.allowed)
        return True

    def _restart(self, worse: float, loss: float, labels: float) -> None:
        self.worse.allowed, self.loss.allowed, self.labels.allowed = worse, loss, labels
        for detector in (self.worse, self.loss, self.labels):
            detector.restart()
