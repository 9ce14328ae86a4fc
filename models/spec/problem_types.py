"""What is learnt: a number, a yes or no, or one of many classes.

A kind knows how to ask a River model, whether its answer may be served, and how an answer is
scored. `Said` is an answer inside the task: a float for regression; for classes the pair
(class, probabilities), in the order in which River gave them. Sums are mergeable: partitions,
windows and segments add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

from models.amounts import AMOUNT_MAX, INT_LEAST, INT_MOST, amount

Said = Any
Sums = list[float]

_LEAST_PROBABILITY = 1e-15  # as in River's LogLoss, so that a certain mistake stays finite


class Kind(Protocol):
    """One way to predict and to score; stateless."""

    sums: tuple[str, ...]

    def ask(self, model: Any, x: dict[str, Any]) -> Said | None:
        """What `model` says of `x`; None where it has nothing to say."""

    def usable(self, said: Said, limits: tuple[float, float] | None) -> bool:
        """True if the value is finite and within its limits."""

    def wild(self, said: Said, limits: tuple[float, float] | None) -> bool:
        """Of what is not usable: true if it ran away, and did not only touch a bound."""

    def label(self, value: Any) -> Any:
        """The label as it is learnt; raises ValueError, in words, if it cannot be one."""

    def said_of(self, baseline: Any) -> Said:
        """The baseline's value as an answer; raises ValueError if it cannot be one."""

    def value(self, said: Said) -> Any:
        """What is served."""

    def shadow(self, said: Said | None) -> Any:
        """How a model's answer is written down beside what was served."""

    def probabilities(self, said: Said) -> dict[str, float] | None:
        """Class (as text) to probability, for a record."""

    def losses(self, y: Any, said: Said) -> tuple[float, ...]:
        """What one scored answer adds to `sums`."""

    def error(self, losses: tuple[float, ...]) -> float:
        """The one of its losses that is compared and watched; smaller is better."""

    def sure(self, y: Any, said: Said) -> tuple[float, bool] | None:
        """The probability that is held against what happens, and whether it came true."""


class Regression:
    """A number."""

    sums: tuple[str, ...] = ("abs", "sq", "bias")

    def ask(self, model: Any, x: dict[str, Any]) -> float | None:
        """River's `predict_one`."""
        said = model.predict_one(x)
        return None if said is None else float(said)

    def usable(self, said: float, limits: tuple[float, float] | None) -> bool:
        """Finite, and within [least, most]."""
        if limits is not None and not limits[0] <= said <= limits[1]:
            return False
        return -AMOUNT_MAX <= said <= AMOUNT_MAX

    def wild(self, said: float, limits: tuple[float, float] | None) -> bool:
        """Not finite, or further outside its limits than they are wide."""
        if limits is None:
            return True
        least, most = limits
        return not 2 * least - most <= said <= 2 * most - least

    def label(self, value: Any) -> float:
        """A finite number; a bool is refused."""
        size = amount(value, "label")
        return value if type(value) is int and INT_LEAST <= value <= INT_MOST else size

    def said_of(self, baseline: Any) -> float:
        """A finite number."""
        return amount(baseline, "baseline's value")

    def value(self, said: float) -> float:
        """Itself."""
        return said

    def shadow(self, said: float | None) -> float | None:
        """Itself; what is not finite is written as nothing."""
        return said if said is not None and math.isfinite(said) else None

    def probabilities(self, said: float) -> None:
        """None: a number has none."""

    def losses(self, y: float, said: float) -> tuple[float, ...]:
        """Absolute and squared error, and the error itself (said - label)."""
        error = said - y
        return abs(error), error * error, error

    def error(self, losses: tuple[float, ...]) -> float:
        """The absolute error."""
        return losses[0]

    def sure(self, y: float, said: float) -> None:
        """None: a number has no probability."""


class _Classes:
    """What binary and multi-class answers share."""

    def ask(self, model: Any, x: dict[str, Any]) -> tuple[Any, dict[Any, float]] | None:
        """River's `predict_proba_one`, and the class as River's `predict_one` picks it."""
        try:
            asked = model.predict_proba_one(x)
        except NotImplementedError:  # a voting classifier names its class and nothing more
            guess = model.predict_one(x)
            return None if guess is None else (guess, {guess: 1.0})
        if not asked:
            return None
        p = {label: float(share) for label, share in asked.items()}
        return max(p, key=lambda label: p[label]), p

    def usable(self, said: Said, limits: tuple[float, float] | None) -> bool:
        """Every probability is a number from 0 to 1."""
        return all(0.0 <= p <= 1.0 + 1e-9 for p in said[1].values())

    def wild(self, said: Said, limits: tuple[float, float] | None) -> bool:
        """A probability is no number."""
        return not all(map(math.isfinite, said[1].values()))

    def value(self, said: Said) -> Any:
        """The class."""
        return said[0]

    def probabilities(self, said: Said) -> dict[str, float] | None:
        """Class to probability, the class as JSON writes it."""
        return {text(c): p for c, p in said[1].items()}

    def error(self, losses: tuple[float, ...]) -> float:
        """The log loss."""
        return losses[1]

    def _p(self, y: Any, said: Said) -> float:
        p: float = said[1].get(y, 0.0)
        return -math.log(min(max(p, _LEAST_PROBABILITY), 1.0 - _LEAST_PROBABILITY))


class Binary(_Classes):
    """Yes or no; the label is a bool."""

    sums: tuple[str, ...] = ("correct", "logloss", "tp", "fp", "fn")

    def label(self, value: Any) -> bool:
        """A bool, and nothing else."""
        if not isinstance(value, bool):
            raise ValueError(f"the label is {value!r}; a yes/no use case needs true or false")
        return value

    def said_of(self, baseline: Any) -> Said:
        """A bool, or the probability of true."""
        if isinstance(baseline, bool):
            return baseline, {False: 1.0 - baseline, True: float(baseline)}
        p = amount(baseline, "baseline's probability")
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"the baseline's probability is {p}; it must be from 0 to 1")
        return p > 0.5, {False: 1.0 - p, True: p}

    def sure(self, y: bool, said: Said) -> tuple[float, bool]:
        """The probability of true."""
        return _probability(said[1].get(True, 0.0)), y

    def shadow(self, said: Said | None) -> float | None:
        """The probability of true."""
        if said is None:
            return None
        p: float = said[1].get(True, 0.0)
        return p if math.isfinite(p) else None

    def losses(self, y: bool, said: Said) -> tuple[float, ...]:
        """Correct, log loss (nats), and the counts that F1 is made of."""
        guess = said[0]
        return (
            float(guess == y),
            self._p(y, said),
            float(bool(guess and y)),
            float(bool(guess and not y)),
            float(bool(y and not guess)),
        )


class Multiclass(_Classes):
    """One of many classes, named by text or a whole number."""

    sums: tuple[str, ...] = ("correct", "logloss")

    def label(self, value: Any) -> Any:
        """Text or a whole number."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"the label is {value!r}; a class is text or a whole number")
        if isinstance(value, int) and not INT_LEAST <= value <= INT_MOST:
            raise ValueError(f"the label is {value}; a whole number has 64 bits")
        if isinstance(value, str):
            value.encode()  # half a surrogate pair is no text
        return value

    def said_of(self, baseline: Any) -> Said:
        """A class, or a dictionary of probabilities."""
        if isinstance(baseline, Mapping):
            p = {c: amount(v, "baseline's probability") for c, v in baseline.items()}
            return max(p, key=lambda c: p[c]), p
        return self.label(baseline), {baseline: 1.0}

    def sure(self, y: Any, said: Said) -> tuple[float, bool]:
        """The probability of the class that was said."""
        return _probability(said[1][said[0]]), y == said[0]

    def shadow(self, said: Said | None) -> dict[str, float] | None:
        """All probabilities."""
        if said is None or not all(map(math.isfinite, said[1].values())):
            return None
        return self.probabilities(said)

    def losses(self, y: Any, said: Said) -> tuple[float, ...]:
        """Correct, and log loss (nats)."""
        return float(said[0] == y), self._p(y, said)


def _probability(p: float) -> float:
    return min(1.0, max(0.0, p))


KINDS: dict[str, Kind] = {
    "regression": Regression(),
    "binary": Binary(),
    "multiclass": Multiclass(),
}


def metric_value(metric: str, n: float, sums: Mapping[str, float]) -> float | None:
    """The metric that these sums give; None where there is nothing to divide by.

    >>> metric_value("mae", 4, {"abs": 10.0})
    2.5
    """
    if not n:
        return None
    if metric == "f1":
        wrong = sums["fp"] + sums["fn"]
        return 2 * sums["tp"] / (2 * sums["tp"] + wrong) if sums["tp"] + wrong else None
    if metric == "rmse":
        return math.sqrt(sums["sq"] / n)
    column = {"mae": "abs", "accuracy": "correct", "logloss": "logloss"}[metric]
    return sums[column] / n


BETTER: Mapping[str, str] = {
    "mae": "lower",
    "rmse": "lower",
    "logloss": "lower",
    "accuracy": "higher",
    "f1": "higher",
}
"""Which way each metric is better."""

OF_KIND: Mapping[str, tuple[str, ...]] = {
    "regression": ("mae", "rmse"),
    "binary": ("accuracy", "f1", "logloss"),
    "multiclass": ("accuracy", "logloss"),
}
"""The metrics that each kind has."""


def text(value: Any) -> str:
    """A class as JSON writes it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
