"""A fresh copy of a model that learns beside it, and takes its place if the old one loses.

Both predict each labelled example just before they learn it; a change
detector (`models.stats.mean_shift`) bets that the old one's loss is larger. The mean number
of examples until a copy that is no better takes the place is at least `NEEDED`, and after
`PATIENCE` examples without a decision the copy is given up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from models.serving.model_slot import ModelSlot
from models.spec.problem_types import Kind, Predicted
from models.stats.mean_shift import MeanDetector

NEEDED = 100_000.0
PATIENCE = 20_000
CLIP = 4.0


@dataclass(slots=True)
class ShadowReplacement:
    """One copy and its case. Losses are counted in the old model's usual loss, and clipped."""

    slot: ModelSlot
    detector: MeanDetector = field(default_factory=lambda: MeanDetector(0.0))
    seen: int = 0
    usual: float = 0.0

    def judge(
        self, old: float, new: float, warmup: int
    ) -> Literal["takes over", "gives up"] | None:
        """Take the losses of both on one example; what is decided by it."""
        self.seen += 1
        if math.isfinite(old):
            self.usual += (old - self.usual) / self.seen
        if self.seen > warmup:
            unit = CLIP * max(self.usual, 1e-12)
            self.detector.update(max(-1.0, min(1.0, (old - new) / unit)))
            if self.detector.evidence >= NEEDED:
                return "takes over"
        return "gives up" if self.seen >= PATIENCE else None


def loss_of(kind: Kind, label: Any, prediction: Predicted | None, baseline: Predicted) -> float:
    """Return what one answer costs; one that cannot be used, what the baseline's would have."""
    usable = prediction is not None and kind.usable(prediction, None)
    return kind.error(kind.losses(label, prediction if usable else baseline))
