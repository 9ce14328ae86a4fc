"""When a version of a shared model is due: often while little is learnt, rarer as it matures.

What a copy costs in quality is the share of the relevant examples that it misses, not its age: what
`models.spec.use_case.Freshness` declares, and why, is in docs/adr/0083. What bounds its cost is a
pause of event time between versions (docs/adr/0110): live, at any rate of outcomes, so many bytes
an hour; in a catch-up, where days pass in seconds, it does not count.

Nothing here reads a clock or the size of a pickle, so a fold makes the same versions. The size of a
model is counted when its number of examples has doubled. The defaults come from
benchmarks/staleness.py.
"""

from __future__ import annotations

from typing import NamedTuple

from models.serving.model_slot import ModelSlot
from models.spec.use_case import Freshness
from models.training.model_structure import size_of

PAUSE_NUMBERS = 10_000
"""A model of more numbers pauses longer, in proportion: at most 20,000 numbers a second go out."""
RUSH = 20
"""Times as many examples as make a version due make it due before its pause is over: times may be
coarse, such as a day's, and must not keep a model old."""


class Published(NamedTuple):
    """A model's last version: what it had learnt, and the learner's clock."""

    trained_on: int
    clock: float


class VersionSchedule:
    """Decides for each model of one learner. Memory: a few numbers a model."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self.published: dict[str, Published] = {}
        # Of each model: examples at which its size is counted again, and its size.
        self.sizes: dict[str, tuple[int, int]] = {}

    def due(self, name: str, clock: float, slot: ModelSlot) -> bool:
        """Return whether a version of the model `name` is due."""
        last, trained_on = self.published.get(name), slot.trained_on
        if last is None:
            return True
        since = trained_on - last.trained_on
        if since <= 0:
            return False
        bounds, size, elapsed_s = self._freshness, self._size(name, slot), clock - last.clock
        affordable = size / bounds.numbers
        gap = min(max(1.0, bounds.share * trained_on), bounds.examples)
        if since < affordable or (since < gap and elapsed_s < bounds.event_time):
            return False
        pause_s = bounds.pause * max(1.0, size / PAUSE_NUMBERS)
        return elapsed_s >= pause_s or since >= RUSH * max(gap, affordable)

    def note(self, name: str, trained_on: int, clock: float) -> None:
        """Record that a version was published."""
        self.published[name] = Published(trained_on, clock)

    def forget(self, name: str) -> None:
        """Make the next version of `name` due at once: another model has replaced it."""
        self.published.pop(name, None)
        self.sizes.pop(name, None)

    def set_back(self, time: float) -> None:
        """Let no version have been published later than `time`."""
        self.published = {
            name: last._replace(clock=min(last.clock, time))
            for name, last in self.published.items()
        }

    def _size(self, name: str, slot: ModelSlot) -> int:
        again, size = self.sizes.get(name, (0, 0))
        if slot.trained_on >= again:
            size = slot.of_model(size_of)
            self.sizes[name] = 2 * slot.trained_on, size
        return size
