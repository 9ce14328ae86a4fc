"""The kinds of use cases: a number, yes or no, or one of many classes.

A kind knows how to ask a River model, whether its prediction may be served, and how it is scored.
`Predicted` is a prediction inside the task: a float for regression; for classes the pair
(class, probabilities), in the order in which River gave them. Sums are mergeable: partitions,
windows and segments add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from models.spec.metric_sums import quantile_of, sums_for, value_of
from models.values.numbers import AMOUNT_MAX, INT_LEAST, INT_MOST, amount

Predicted = Any
Sums = list[float]

_LEAST_PROBABILITY = 1e-15  # as in River's LogLoss, so that a certain mistake stays finite


class Kind(Protocol):
    """One kind of use case: how to predict and to score; stateless."""

    sums: tuple[str, ...]

    def ask(self, model: Any, x: dict[str, Any]) -> Predicted | None:
        """Return the prediction of `model` for `x`; None where it makes none."""

    def usable(self, prediction: Predicted, limits: tuple[float, float] | None) -> bool:
        """Return True if the prediction is finite and within its limits."""

    def diverged(self, prediction: Predicted, limits: tuple[float, float] | None) -> bool:
        """Return whether an unusable prediction diverged, and did not only touch a limit."""

    def decide(self, prediction: Predicted, threshold: float) -> Predicted:
        """Return the prediction with yes where the probability of true is above `threshold`."""

    def label(self, value: Any) -> Any:
        """Return the label as it is learnt; raise ValueError, in words, if it cannot be one."""

    def said_of(self, baseline: Any) -> Predicted:
        """Return the baseline's value as a prediction; raise ValueError if it cannot be one."""

    def value(self, prediction: Predicted) -> Any:
        """Return the value that is served."""

    def shadow(self, prediction: Predicted | None) -> Any:
        """Return a model's prediction as records show it beside what was served."""

    def probabilities(self, prediction: Predicted) -> dict[str, float] | None:
        """Return class (as text) to probability, for a record."""

    def losses(self, y: Any, prediction: Predicted) -> tuple[float, ...]:
        """Return what one scored prediction adds to `sums`."""

    def error(self, losses: tuple[float, ...]) -> float:
        """Return the loss that is compared and watched; smaller is better."""

    def sure(self, y: Any, prediction: Predicted) -> tuple[float, bool] | None:
        """Return the probability that is checked against the label, and whether it came true."""


class _Scored:
    """What a kind scores: its own sums, and those that the declared metrics need beside them."""

    own: tuple[str, ...]

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        names, self._more = sums_for(metrics)
        self.sums = (*self.own, *names)

    def losses(self, y: Any, prediction: Predicted) -> tuple[float, ...]:
        """Return what one scored prediction adds to `sums`."""
        losses = self._losses(y, prediction)
        for more in self._more:
            losses += more(y, prediction)
        return losses

    def _losses(self, y: Any, prediction: Predicted) -> tuple[float, ...]:
        raise NotImplementedError


class Regression(_Scored):
    """A number."""

    own = ("abs", "sq", "bias")

    def ask(self, model: Any, x: dict[str, Any]) -> float | None:
        """Return River's `predict_one` as a float."""
        prediction = model.predict_one(x)
        return None if prediction is None else float(prediction)

    def usable(self, prediction: float, limits: tuple[float, float] | None) -> bool:
        """Return True if it is finite and within [least, most]."""
        if limits is not None and not limits[0] <= prediction <= limits[1]:
            return False
        return -AMOUNT_MAX <= prediction <= AMOUNT_MAX

    def decide(self, prediction: float, threshold: float) -> float:
        """Return the prediction as it is: a number needs no threshold."""
        return prediction

    def diverged(self, prediction: float, limits: tuple[float, float] | None) -> bool:
        """Return whether it is not finite, or further outside its limits than they are wide."""
        if limits is None:
            return True
        least, most = limits
        return not 2 * least - most <= prediction <= 2 * most - least

    def label(self, value: Any) -> float:
        """Return a finite number; raise ValueError for anything else, and for a bool."""
        size = amount(value, "label")
        return value if type(value) is int and INT_LEAST <= value <= INT_MOST else size

    def said_of(self, baseline: Any) -> float:
        """Return a finite number; raise ValueError for anything else."""
        return amount(baseline, "baseline's value")

    def value(self, prediction: float) -> float:
        """Return the prediction."""
        return prediction

    def shadow(self, prediction: float | None) -> float | None:
        """Return the prediction; None where it is not finite."""
        return prediction if prediction is not None and math.isfinite(prediction) else None

    def probabilities(self, prediction: float) -> None:
        """Return None: a number has none."""

    def _losses(self, y: float, prediction: float) -> tuple[float, ...]:
        """Return absolute and squared error, and the error itself (prediction - label)."""
        # Both are 1e100 at most, so the square is finite.
        error = prediction - y
        return abs(error), error * error, error

    def error(self, losses: tuple[float, ...]) -> float:
        """Return the absolute error."""
        return losses[0]

    def sure(self, y: float, prediction: float) -> None:
        """Return None: a number has no probability."""


class _Classes(_Scored):
    """The common part of binary and multi-class predictions."""

    def ask(self, model: Any, x: dict[str, Any]) -> tuple[Any, dict[Any, float]] | None:
        """Return River's `predict_proba_one`, and the class as River's `predict_one` picks it."""
        try:
            asked = model.predict_proba_one(x)
        except NotImplementedError:  # a voting classifier names its class and nothing more
            guess = model.predict_one(x)
            return None if guess is None else (guess, {guess: 1.0})
        if not asked:
            return None
        p = {label: float(share) for label, share in asked.items()}
        return max(p, key=lambda label: p[label]), p

    def usable(self, prediction: Predicted, limits: tuple[float, float] | None) -> bool:
        """Return True if every probability is a number from 0 to 1."""
        return all(0.0 <= p <= 1.0 + 1e-9 for p in prediction[1].values())

    def diverged(self, prediction: Predicted, limits: tuple[float, float] | None) -> bool:
        """Return True if a probability is no number."""
        return not all(map(math.isfinite, prediction[1].values()))

    def decide(self, prediction: Predicted, threshold: float) -> Predicted:
        """Return the prediction as it is: one of many classes has no threshold."""
        return prediction

    def value(self, prediction: Predicted) -> Any:
        """Return the class."""
        return prediction[0]

    def probabilities(self, prediction: Predicted) -> dict[str, float] | None:
        """Return class to probability, the class as JSON writes it."""
        return {text(c): p for c, p in prediction[1].items()}

    def error(self, losses: tuple[float, ...]) -> float:
        """Return the log loss."""
        return losses[1]

    def _p(self, y: Any, prediction: Predicted) -> float:
        p: float = prediction[1].get(y, 0.0)
        return -math.log(min(max(p, _LEAST_PROBABILITY), 1.0 - _LEAST_PROBABILITY))


class Binary(_Classes):
    """Yes or no; the label is a bool."""

    own = ("correct", "logloss", "tp", "fp", "fn")

    def label(self, value: Any) -> bool:
        """Return the bool; raise ValueError for anything else."""
        if not isinstance(value, bool):
            raise ValueError(f"the label is {value!r}; a yes/no use case needs true or false")
        return value

    def said_of(self, baseline: Any) -> Predicted:
        """Return the class and the probabilities of a bool or of the probability of true."""
        if isinstance(baseline, bool):
            return baseline, {False: 1.0 - baseline, True: float(baseline)}
        p = amount(baseline, "baseline's probability")
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"the baseline's probability is {p}; it must be from 0 to 1")
        return p > 0.5, {False: 1.0 - p, True: p}

    def decide(self, prediction: Predicted, threshold: float) -> Predicted:
        """Return the prediction with yes where the probability of true is above `threshold`."""
        return prediction[1].get(True, 0.0) > threshold, prediction[1]

    def sure(self, y: bool, prediction: Predicted) -> tuple[float, bool]:
        """Return the probability of true."""
        return _probability(prediction[1].get(True, 0.0)), y

    def shadow(self, prediction: Predicted | None) -> float | None:
        """Return the probability of true."""
        if prediction is None:
            return None
        p: float = prediction[1].get(True, 0.0)
        return p if math.isfinite(p) else None

    def _losses(self, y: bool, prediction: Predicted) -> tuple[float, ...]:
        """Return correct (0 or 1), log loss (nats), and the counts that F1 is made of."""
        guess = prediction[0]
        return (
            float(guess == y),
            self._p(y, prediction),
            float(bool(guess and y)),
            float(bool(guess and not y)),
            float(bool(y and not guess)),
        )


class Multiclass(_Classes):
    """One of many classes, named by text or a whole number."""

    own = ("correct", "logloss")

    def label(self, value: Any) -> Any:
        """Return the text or whole number; raise ValueError for anything else."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"the label is {value!r}; a class is text or a whole number")
        if isinstance(value, int) and not INT_LEAST <= value <= INT_MOST:
            raise ValueError(f"the label is {value}; a whole number has 64 bits")
        if isinstance(value, str):
            value.encode()  # half a surrogate pair is no text
        return value

    def said_of(self, baseline: Any) -> Predicted:
        """Return the class and the probabilities of a class or of a dictionary of probabilities."""
        if isinstance(baseline, Mapping):
            p = {c: amount(v, "baseline's probability") for c, v in baseline.items()}
            return max(p, key=lambda c: p[c]), p
        return self.label(baseline), {baseline: 1.0}

    def sure(self, y: Any, prediction: Predicted) -> tuple[float, bool]:
        """Return the predicted class's probability, and whether it is the label."""
        return _probability(prediction[1][prediction[0]]), y == prediction[0]

    def shadow(self, prediction: Predicted | None) -> dict[str, float] | None:
        """Return all probabilities; None where one is not finite."""
        if prediction is None or not all(map(math.isfinite, prediction[1].values())):
            return None
        return self.probabilities(prediction)

    def _losses(self, y: Any, prediction: Predicted) -> tuple[float, ...]:
        """Return correct (0 or 1) and log loss (nats)."""
        return float(prediction[0] == y), self._p(y, prediction)


def _probability(p: float) -> float:
    return min(1.0, max(0.0, p))


_TYPES: dict[str, type[Regression | Binary | Multiclass]] = {
    "regression": Regression,
    "binary": Binary,
    "multiclass": Multiclass,
}

KINDS: dict[str, Kind] = {name: kind() for name, kind in _TYPES.items()}


def kind_of(name: str, metrics: Iterable[str]) -> Kind:
    """Return the kind of that name, which keeps the sums that `metrics` need.

    >>> kind_of("regression", ["mae", "mape"]).sums
    ('abs', 'sq', 'bias', 'ape', 'ape_n')
    """
    kind = _TYPES[name](metrics)
    return kind if kind.sums != KINDS[name].sums else KINDS[name]


def metric_value(metric: str, n: float, sums: Mapping[str, float]) -> float | None:
    """Return the metric that these sums give; None where there is nothing to divide by.

    >>> metric_value("mae", 4, {"abs": 10.0})
    2.5
    """
    if not n:
        return None
    if metric == "f1":
        wrong = sums["fp"] + sums["fn"]
        return 2 * sums["tp"] / (2 * sums["tp"] + wrong) if sums["tp"] + wrong else None
    if metric in _OF_POSITIVES:
        positives = sums["tp"] + sums[_OF_POSITIVES[metric]]
        return sums["tp"] / positives if positives else None
    if metric == "rmse":
        return math.sqrt(sums["sq"] / n)
    column = {"mae": "abs", "accuracy": "correct", "logloss": "logloss"}.get(metric)
    return value_of(metric, n, sums) if column is None else sums[column] / n


_OF_POSITIVES = {"precision": "fp", "recall": "fn"}


class _Directions(dict[str, str]):
    def __missing__(self, metric: str) -> str:
        if quantile_of(metric) is None:
            raise KeyError(metric)
        return "lower"


BETTER: Mapping[str, str] = _Directions(
    {
        "mae": "lower",
        "rmse": "lower",
        "mape": "lower",
        "logloss": "lower",
        "accuracy": "higher",
        "f1": "higher",
        "precision": "higher",
        "recall": "higher",
        "auc": "higher",
    }
)
"""Which way each metric is better; "pinball(q)" is looked up, too."""

OF_KIND: Mapping[str, tuple[str, ...]] = {
    "regression": ("mae", "rmse"),
    "binary": ("accuracy", "f1", "logloss"),
    "multiclass": ("accuracy", "logloss"),
}
"""The metrics that each kind always has."""

DECLARABLE: Mapping[str, tuple[str, ...]] = {
    "regression": (*OF_KIND["regression"], "mape", "pinball(q)"),
    "binary": (*OF_KIND["binary"], "precision", "recall", "auc"),
    "multiclass": OF_KIND["multiclass"],
}
"""The metrics that a use case of each kind may declare; q is a number, as in "pinball(0.9)"."""


def is_metric(kind: str, metric: Any) -> bool:
    """Return True if a use case of that kind may declare that metric."""
    if not isinstance(metric, str):
        return False
    pinball = kind == "regression" and quantile_of(metric) is not None
    return pinball or (metric != "pinball(q)" and metric in DECLARABLE[kind])


def text(value: Any) -> str:
    """Return a class as JSON writes it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
