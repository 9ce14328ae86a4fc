"""How much the champion would lose without a feature, followed over time.

Incremental permutation feature importance (Fumagalli, Muschalik, Hüllermeier & Hammer 2023, Machine
Learning 112): for a labelled example, each feature in turn is replaced by a value that it had in an
earlier example, and the loss that this adds is averaged with geometric weights. Earlier examples
are kept in a geometric reservoir (each new one replaces a random one), so that replaced values are
of the recent past. Any model, any loss.

Random choices come from a seed kept in the state: the same records give the same numbers. Done for
one example in `every`, at the cost of one prediction a feature. Features that say the same thing
share importance or hide each other's: that is a limit of permutation, not of this file.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class PermutationImportance:
    """Mean added loss a feature, in the loss's unit, over about 1/`rate` sampled examples.

    Memory: `reservoir` feature dictionaries and one number a feature (at most `features_max`).

    >>> importance = PermutationImportance(every=1)
    >>> error = lambda label, prediction: abs(label - prediction)
    >>> for k in range(2_000):
    ...     x = {"used": k % 7, "unused": k % 5}
    ...     importance.update(lambda x: 2.0 * x["used"], x, 2.0 * x["used"], error)
    >>> importance.values["unused"], importance.values["used"] > 3.0
    (0.0, True)
    """

    every: int = 20
    rate: float = 0.005
    reservoir: int = 100
    features_max: int = 1_000
    seed: int = 0
    seen: int = 0
    sampled: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def update(
        self,
        predict: Callable[[dict[str, Any]], Any],
        x: Mapping[str, Any],
        label: Any,
        loss: Callable[[Any, Any], float],
    ) -> None:
        """Count a labelled example; `predict` must not learn, `loss` must be finite."""
        self.seen += 1
        if self.seen % self.every:
            return
        if self.examples:
            self._measure(predict, dict(x), label, loss)
        if len(self.examples) < self.reservoir:
            self.examples.append(dict(x))
        else:
            self.examples[self.random.randrange(self.reservoir)] = dict(x)

    @property
    def values(self) -> dict[str, float]:
        """Return each feature's importance, the largest first, corrected for the short start."""
        whole = 1.0 - (1.0 - self.rate) ** self.sampled
        if whole <= 0.0:
            return {}
        order = sorted(self.sums.items(), key=lambda item: (-item[1], item[0]))
        return {name: value / whole for name, value in order}

    def _measure(
        self,
        predict: Callable[[dict[str, Any]], Any],
        x: dict[str, Any],
        label: Any,
        loss: Callable[[Any, Any], float],
    ) -> None:
        self.sampled += 1
        own = loss(label, predict(dict(x)))
        for name in sorted(x):
            if name not in self.sums and len(self.sums) >= self.features_max:
                continue
            other = self.random.choice(self.examples)
            added = loss(label, predict({**x, name: other.get(name, x[name])})) - own
            old = self.sums.get(name, 0.0)
            self.sums[name] = old + self.rate * (added - old)
