"""Why an answer is what it is: the largest contributions, on every prediction.

For linear models and trees, as `models.attribution.contributions` has them; another model is
explained on demand only. Everything adds up: reference + contributions + rest = what the model
said.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from models.attribution.contributions import Means, explained
from models.serving.model_slot import ModelSlot
from models.spec.problem_types import Predicted

SLOTS_MAX = 1_000


class Reasons(NamedTuple):
    """The parts of one answer, in the label's unit, or in log-odds for classes."""

    reference: float
    top: dict[str, float]
    rest: float


class Explainer:
    """Running means of what each answering model sees. Memory: the means of `SLOTS_MAX` slots."""

    def __init__(self, top: int) -> None:
        self._top = top
        self.means: dict[str, Means] = {}
        self.mute: set[str] = set()

    def forget(self, model: str) -> None:
        """Forget what its inputs were in the mean: another model takes its place."""
        for name in [name for name in self.means if name.partition("/")[0] == model]:
            del self.means[name]

    def explain(self, slot: ModelSlot | None, x: dict[str, Any], base: Predicted) -> Reasons | None:
        """Return the reasons of `slot`'s answer to `x`; `base` is what a correction is added to."""
        if slot is None or not self._top:
            return None
        name = f"{slot.name}/{slot.segment or ''}"
        if name in self.mute:
            return None
        means = self.means.get(name)
        if means is None:
            if len(self.means) >= SLOTS_MAX:
                del self.means[next(iter(self.means))]
            means = self.means[name] = Means()
        try:
            contributions = explained(slot.seen(x), means, self._top, note=True)
        except Exception:  # a model that cannot be taken apart is served all the same
            self.mute.add(name)
            self.means.pop(name, None)
            return None
        reasons = Reasons(
            base + contributions.reference, dict(contributions.top), contributions.rest
        )
        numbers = (reasons.reference, reasons.rest, *reasons.top.values())
        return reasons if all(map(math.isfinite, numbers)) else None
