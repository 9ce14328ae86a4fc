"""The models of single segments: made on first sight, bounded, and who of them has earned a place.

`Segments.models` names which of the use case's models have a copy of their own for each segment; by
default the champion, and another champion's start over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from models.metrics.scoring import OwnGain
from models.serving.model_slot import ModelSlot
from models.serving.segment_promotion import SegmentPromotion, comparison_of_segment
from models.spec.use_case import UseCase
from models.stats.alpha_spending import AlphaSpending
from models.stats.confidence_sequence import Comparison


class Turned(NamedTuple):
    """A segment's own model took the place of the pooled one, or lost it, and by what figures."""

    segment: str
    model: str
    earned: bool
    comparison: Comparison


class SegmentModels:
    """Slots and earnings by segment and model. Memory: `Segments.limit` segments."""

    def __init__(self, use_case: UseCase, partitions: int) -> None:
        self._use_case = use_case
        self._declared = use_case.segments
        # Half of the error budget is the segments', in equal parts the partitions'.
        self.budget = AlphaSpending(use_case.contest.alpha / 2 / partitions)
        # Least recently used first: a dict keeps the order in which keys were last put in.
        self.slots: dict[str, dict[str, ModelSlot]] = {}
        self.earning: dict[str, dict[str, SegmentPromotion]] = {}

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[ModelSlot]:
        for slots in self.slots.values():
            yield from slots.values()

    def of(self, segment: str | None) -> Mapping[str, ModelSlot]:
        """Return the segment's own models by name."""
        return {} if segment is None else self.slots.get(segment, {})

    def answers(self, segment: str | None, model: str) -> bool:
        """Return whether that model's own slot has earned the segment."""
        earning = None if segment is None else self.earning.get(segment, {}).get(model)
        return earning is not None and earning.earned

    def enter(self, segment: str, champion: str, now: float) -> tuple[bool, str | None]:
        """Make room for a segment: (is it new, which one was dropped)."""
        declared = self._declared
        if declared is None:
            return False, None
        slots = self.slots.pop(segment, None)
        if slots is not None:
            self.slots[segment] = slots
            return False, None
        dropped = None
        if len(self.slots) >= declared.limit:
            dropped = next(iter(self.slots))
            del self.slots[dropped], self.earning[dropped]
        names = declared.models or (champion,)
        self.slots[segment] = {name: self._slot(name, segment) for name in names}
        self.earning[segment] = {name: self._earning(name, segment, now) for name in names}
        return True, dropped

    def _slot(self, name: str, segment: str) -> ModelSlot:
        return ModelSlot(name, segment, self._use_case.models[name]())

    def _earning(self, name: str, segment: str, now: float) -> SegmentPromotion:
        alpha = self.budget.spend(f"{name}[{segment}]")
        return SegmentPromotion(now, comparison_of_segment(self._use_case, alpha))

    def reset(self, model: str, now: float) -> None:
        """Reset that model's copies in every segment."""
        for segment, slots in self.slots.items():
            if model in slots:
                slots[model] = self._slot(model, segment)
                self.earning[segment][model] = self._earning(model, segment, now)

    def set_back(self, time: float) -> None:
        """Move the beginnings of copies back to a watermark that was set back."""
        for earnings in self.earning.values():
            for earning in earnings.values():
                earning.began = min(earning.began, time)

    def leave(self, champion: str) -> list[str]:
        """Drop the copies of the champion before, unless models were named."""
        if self._declared is None or self._declared.models:
            return []
        segments = [segment for segment, slots in self.slots.items() if champion not in slots]
        for segment in segments:
            del self.slots[segment], self.earning[segment]
        return segments

    def gained(
        self, segment: str | None, start: float, time: float, gains: Sequence[OwnGain]
    ) -> None:
        """Count what own models gained over the pooled ones on an example of the block `start`."""
        for gain in gains:
            earning = self._earning_at(segment, gain.model, time)
            if earning is not None:
                earning.update(start, gain.gain, gain.pooled_cost)

    def note_missing(
        self, segment: str | None, start: float, time: float, models: Iterable[str]
    ) -> None:
        """Count a prediction of the block `start` that expired without a label."""
        for model in models:
            earning = self._earning_at(segment, model, time)
            if earning is not None:
                earning.note_missing(start)

    def _earning_at(self, segment: str | None, model: str, time: float) -> SegmentPromotion | None:
        earning = self.earning.get(segment or "", {}).get(model)
        return earning if earning is not None and time >= earning.began else None

    def settle(self, frontier: float) -> list[Turned]:
        """Close the blocks that start before `time`; return the segments whose serving model
        changed.
        """
        turned = []
        for segment in sorted(self.earning):
            for model, earning in self.earning[segment].items():
                name = f"{model}[{segment}]"
                decided = earning.settle(frontier, name, self.budget, self._use_case)
                if decided is not None:
                    turned.append(Turned(segment, model, earning.earned, decided))
        return turned
