"""Scoring of all predictions of an event by its outcome: label, weight, losses and KPI.

Everything is computed before any state changes, since the author's functions may fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from models.metrics.issued_predictions import IssuedPredictions
from models.spec.default_outcome import DefaultOutcome
from models.spec.personal_data import masking_of
from models.spec.problem_types import Kind, Predicted
from models.spec.use_case import UseCase
from models.values.numbers import amount
from schemas.errors import AUTHORS_FAULTS, Malformed
from schemas.personal_data import MASK

T = TypeVar("T")
Score = tuple[str, float | None, tuple[float, ...]]
"""(model, KPI in its unit, losses in the order of the kind's `sums`)."""


StoodIn = tuple[str, tuple[float, ...] | None]
"""A model in whose place the baseline was scored, and the losses of the model's value, if it had
one.
"""


class OwnGain(NamedTuple):
    """What a segment's own model gained over the pooled one of its name on one example.

    `gain` and `pooled_cost` are in the KPI's unit; NaN where there is no KPI.
    """

    model: str
    gain: float
    pooled_cost: float


class Judged(NamedTuple):
    """One labelled prediction.

    `own`: what the segment's own models gained over the pooled ones. `paired` as in
    `WindowedMetrics.scored`; `stood_in`: models whose value could not have been served.
    """

    label: Any
    weight: float | None
    scores: list[Score]
    own: list[OwnGain]
    paired: bool
    stood_in: Sequence[StoodIn] = ()

    @property
    def kpi(self) -> float | None:
        """The KPI of what was served."""
        return self.scores[0][1]

    @property
    def kpis(self) -> dict[str, float]:
        """The KPI of each model that has one."""
        return {name: amount for name, amount, _ in self.scores if amount is not None}

    def errors(self, kind: Kind) -> dict[str, float]:
        """Return the error of each model."""
        return {name: kind.error(losses) for name, _, losses in self.scores}


class Judge:
    """A judge of predictions by outcomes; stateless."""

    def __init__(self, use_case: UseCase, kind: Kind, names: tuple[str, ...]) -> None:
        self._use_case = use_case
        self._kind = kind
        self._names = names
        self._masks_label = masking_of(use_case).label
        self._defaults = None if use_case.label_on_timeout is None else DefaultOutcome(use_case)

    def outcome(self, event: Any, outcome: Any, predictions: IssuedPredictions) -> Judged:
        """Judge by a real outcome. Raise `Malformed` if it gives no label, weight or KPI."""
        use_case, kind = self._use_case, self._kind
        try:
            label = kind.label(use_case.label(event, outcome))
        except AUTHORS_FAULTS as error:  # on data that it does not expect
            raise _unusable("label", error) from error
        weigh = use_case.weight
        weight = None
        if weigh is not None:
            weight = _authors("weight", lambda: _positive(weigh(event, outcome)))
        return self._judge(event, outcome, label, weight, predictions)

    def doubt(self, event: Any, outcome: Any, label: Any) -> str | None:
        """Return why the outcome is not plausible, or None if it is."""
        bounds = self._use_case.plausible
        if bounds is None:
            return None
        if callable(bounds):
            check = bounds
            believed = _authors("plausible", lambda: bool(check(event, outcome)))
            return (
                None
                if believed
                else f"the label {self._shown(label)} is not plausible for its event"
            )
        least, most = bounds
        if least <= label <= most:
            return None
        return f"the label {self._shown(label)} is not between {least:g} and {most:g}"

    def _shown(self, label: Any) -> str:
        return MASK if self._masks_label else repr(label)

    def default(self, event: Any, predictions: IssuedPredictions) -> Judged | None:
        """Judge by the label that a passed horizon stands for; None if there is none.

        Without an outcome of that label, or where the KPI fails on it, the KPI is None.
        """
        if self._defaults is None:
            return None
        default = self._defaults.of(event)
        if default is not None:
            outcome, label = default
            try:
                return self._judge(event, outcome, label, None, predictions)
            except Malformed:  # the KPI needs what only a real outcome has
                return self._judge(event, None, label, None, predictions)
        if isinstance(self._use_case.label_on_timeout, Mapping):
            return None
        label = self._kind.label(self._use_case.label_on_timeout)
        return self._judge(event, None, label, None, predictions)

    def _judge(
        self,
        event: Any,
        outcome: Any,
        label: Any,
        weight: float | None,
        predictions: IssuedPredictions,
    ) -> Judged:
        kind, limits_of = self._kind, self._use_case.limits_of
        baseline, served, then = predictions.baseline, predictions.served, predictions.limits
        answers: list[tuple[str, Predicted]] = [("served", served), ("baseline", baseline)]
        stood_in: list[StoodIn] = []
        for name, value in zip(self._names, predictions.pooled, strict=True):
            if isinstance(value, str):
                continue  # it was not asked
            # What could not have been served is scored as what would have been.
            usable = value is not None and kind.usable(value, limits_of(name) or then)
            answers.append((name, value if usable else baseline))
            if not usable:
                stood_in.append((name, None if value is None else kind.losses(label, value)))
        own_predictions = [
            (n, v)
            for n, v in predictions.own.items()
            if v is not None and kind.usable(v, limits_of(n) or then)
        ]
        kpis = self._kpis(event, outcome, served, [*answers[1:], *own_predictions])
        # What was served is mostly what a model said: taken once.
        losses, lost = kind.losses, kind.losses(label, served)
        scores: list[Score] = [
            (name, kpi, lost if answer is served else losses(label, answer))
            for (name, answer), kpi in zip(answers, kpis, strict=False)
        ]
        gains = self._gains(scores, own_predictions, kpis[len(scores) :]) if own_predictions else []
        return Judged(label, weight, scores, gains, predictions.paired, stood_in)

    def _gains(
        self,
        scores: list[Score],
        own_predictions: list[tuple[str, Predicted]],
        kpis: Sequence[float | None],
    ) -> list[OwnGain]:
        """Return what segment models gained over the global ones of the same name."""
        pooled = {name: kpi for name, kpi, _ in scores[2:]}
        lower = self._use_case.kpi.better == "lower"
        gains = []
        for (name, _), kpi in zip(own_predictions, kpis, strict=True):
            if name not in pooled:
                continue  # it was not asked
            other = pooled[name]
            if kpi is None or other is None:
                gains.append(OwnGain(name, math.nan, math.nan))
            else:
                gains.append(OwnGain(name, other - kpi if lower else kpi - other, other))
        return gains

    def _kpis(
        self, event: Any, outcome: Any, served: Predicted, others: list[tuple[str, Predicted]]
    ) -> Sequence[float | None]:
        """Return the KPI of the served prediction, then of the others."""
        if outcome is None:
            return [None] * (1 + len(others))
        kpi, value = self._use_case.kpi, self._kind.value
        try:
            first = kpi(event, outcome, value(served))
            return [
                first,
                *[
                    first if answer is served else kpi(event, outcome, value(answer))
                    for _, answer in others
                ],
            ]
        except AUTHORS_FAULTS as error:  # on data that it does not expect
            raise _unusable("kpi", error) from error


def _authors(name: str, function: Callable[[], T]) -> T:
    """Call a function of the use case; raise what it raises as `Malformed` input."""
    try:
        return function()
    except AUTHORS_FAULTS as error:  # on data that it does not expect
        raise _unusable(name, error) from error


def _unusable(name: str, error: BaseException) -> Malformed:
    return Malformed(
        f"nothing can be learnt from this outcome: {name} failed: {type(error).__name__}: "
        f"{error}. Fix the outcome, or the use case's {name}."
    )


def _positive(value: Any) -> float:
    weight = amount(value, "weight")
    if weight < 0:
        raise ValueError(f"the weight is {weight}; it must not be negative")
    return weight
