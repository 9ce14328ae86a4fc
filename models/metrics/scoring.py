"""What an outcome says of every answer that was made: label, weight, losses and KPI.

All of it is computed before any state changes, since the author's functions may fail on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from models.amounts import amount
from models.kinds import Kind, Said
from models.usecase import UseCase
from schemas.errors import Malformed

T = TypeVar("T")
Score = tuple[str, float | None, tuple[float, ...]]
"""(model, KPI in its unit, losses in the order of the kind's `sums`)."""


class Judged(NamedTuple):
    """One labelled prediction.

    `own`: (model, gain in KPI) of the segment's own models over the pooled ones. `paired` as in
    `Tally.scored`.
    """

    label: Any
    weight: float | None
    scores: list[Score]
    own: list[tuple[str, float]]
    paired: bool

    @property
    def kpi(self) -> float | None:
        """The KPI of what was served."""
        return self.scores[0][1]


class Judge:
    """Judges what was said by what came; stateless."""

    def __init__(self, use_case: UseCase, kind: Kind, names: tuple[str, ...]) -> None:
        self._use_case = use_case
        self._kind = kind
        self._names = names

    def outcome(self, event: Any, outcome: Any, said: tuple[Any, ...]) -> Judged:
        """By a real outcome. Raises `Malformed` if no label, weight or KPI can be made of it."""
        use_case, kind = self._use_case, self._kind
        try:
            label = kind.label(use_case.label(event, outcome))
        except Exception as error:  # the author's function met data that it cannot take
            raise _unusable("label", error) from error
        weigh = use_case.weight
        weight = None
        if weigh is not None:
            weight = _authors("weight", lambda: _positive(weigh(event, outcome)))
        return self._judge(event, outcome, label, weight, said)

    def doubt(self, event: Any, outcome: Any, label: Any) -> str | None:
        """Why the outcome cannot be believed; None if it can be."""
        bounds = self._use_case.plausible
        if bounds is None:
            return None
        if callable(bounds):
            check = bounds
            believed = _authors("plausible", lambda: bool(check(event, outcome)))
            return None if believed else f"the label {label!r} is not plausible for its event"
        least, most = bounds
        if least <= label <= most:
            return None
        return f"the label {label!r} is not between {least:g} and {most:g}"

    def default(self, event: Any, said: tuple[Any, ...]) -> Judged:
        """By the label that a passed horizon stands for; there is no KPI without an outcome."""
        label = self._kind.label(self._use_case.never)
        return self._judge(event, None, label, None, said)

    def _judge(
        self,
        event: Any,
        outcome: Any,
        label: Any,
        weight: float | None,
        said: tuple[Any, ...],
    ) -> Judged:
        kind, limits_of = self._kind, self._use_case.limits_of
        # `then`: what models could say of which nothing is declared, when it was said.
        baseline, pooled, own, served, _, _, paired, _, then = said
        answers: list[tuple[str, Said]] = [("served", served), ("baseline", baseline)]
        for name, value in zip(self._names, pooled, strict=True):
            if isinstance(value, str):
                continue  # it was not asked
            # What could not have been served is scored as what would have been.
            usable = value is not None and kind.usable(value, limits_of(name) or then)
            answers.append((name, value if usable else baseline))
        mine = [
            (n, v) for n, v in own.items() if v is not None and kind.usable(v, limits_of(n) or then)
        ]
        kpis = self._kpis(event, outcome, served, [*answers[1:], *mine])
        # What was served is mostly what a model said: taken once.
        losses, lost = kind.losses, kind.losses(label, served)
        scores: list[Score] = [
            (name, kpi, lost if answer is served else losses(label, answer))
            for (name, answer), kpi in zip(answers, kpis, strict=False)
        ]
        gains = self._gains(scores, mine, kpis[len(scores) :]) if mine else []
        return Judged(label, weight, scores, gains, paired)

    def _gains(
        self,
        scores: list[Score],
        mine: list[tuple[str, Said]],
        kpis: Sequence[float | None],
    ) -> list[tuple[str, float]]:
        """What own models gained over the pooled ones of the same name."""
        pooled = {name: kpi for name, kpi, _ in scores[2:]}
        lower = self._use_case.kpi.better == "lower"
        gains = []
        for (name, _), kpi in zip(mine, kpis, strict=True):
            other = pooled.get(name)
            if kpi is not None and other is not None:
                gains.append((name, other - kpi if lower else kpi - other))
        return gains

    def _kpis(
        self, event: Any, outcome: Any, served: Said, others: list[tuple[str, Said]]
    ) -> Sequence[float | None]:
        """Of what was served, and of the others."""
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
        except Exception as error:  # the author's function met data that it cannot take
            raise _unusable("kpi", error) from error


def _authors(name: str, function: Callable[[], T]) -> T:
    """Call what the use case declares; what it raises is about this outcome, and no bug of ours."""
    try:
        return function()
    except Exception as error:  # the author's function met data that it cannot take
        raise _unusable(name, error) from error


def _unusable(name: str, error: Exception) -> Malformed:
    return Malformed(
        f"nothing can be learnt from this outcome: {name} failed: {type(error).__name__}: "
        f"{error}. Mend the outcome, or the use case's {name}."
    )


def _positive(value: Any) -> float:
    weight = amount(value, "weight")
    if weight < 0:
        raise ValueError(f"the weight is {weight}; it must not be negative")
    return weight
