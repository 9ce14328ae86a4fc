"""A use case: one frozen object, made in one file, that says all there is to decide.

Nothing here runs anything. `models.declaration` finds what is wrong in it, `models.task` runs it.
Durations are seconds (`hours(24)`), amounts are in the unit that they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.amounts import amount
from models.durations import days, hours
from models.features import Feature
from schemas.inputs import Event, Outcome

Kind = Literal["regression", "binary", "multiclass"]
MetricName = Literal["mae", "rmse", "accuracy", "f1", "logloss"]
Action = Literal["alert", "reset", "challenger", "fallback"]


WARMUP = 100


@dataclass(frozen=True, slots=True)
class Kpi:
    """What an answer costs or earns, in a unit that people care about.

    `cost(event, outcome, said)` is the amount for one served value; `range` bounds it (least,
    most), which every statement about it rests on: what falls outside is cut to it and counted.
    """

    cost: Callable[[Any, Any, Any], float]
    unit: str
    better: Literal["lower", "higher"]
    range: tuple[float, float]

    def __call__(self, event: Any, outcome: Any, said: Any) -> float:
        """The amount for one served value, cut to `range`; ValueError if it is no number."""
        least, most = self.range
        size = self.cost(event, outcome, said)
        if type(size) is float and least <= size <= most:
            return size  # nearly all of them
        return min(max(amount(size, "KPI"), least), most)


@dataclass(frozen=True, slots=True)
class Segments:
    """Own models for each value of a field; they answer once they have earned it.

    At most `limit` segments a partition hold models, the least recently used are dropped.
    `models` names which of the use case's models have them; default: the champion.
    """

    by: str | Callable[[Any], str]
    limit: int = 50
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contest:
    """How models are compared: the share of events that challengers see, and experiments.

    `shadow`: share (0 to 1) of events, chosen by hash of the id, that every challenger predicts.
    `experiment`: model → share of units that it answers. `holdout`: share that the baseline answers
    for ever. `unit`: what keeps its arm, a field of the event or a function of it; by default each
    event by its id. `acts_on_outcome`: True if what is served changes the outcome; then shadows are
    indicative only, and each model learns from its own arm alone unless `shared`. `alpha` is the
    error budget of the use case: the chance that any false winner is ever named.
    """

    shadow: float = 1.0
    experiment: Mapping[str, float] | None = None
    acts_on_outcome: bool = False
    unit: str | Callable[[Any], Any] | None = None
    holdout: float = 0.0
    shared: bool = False
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who decides: `manual` recommends only. `after` examples, a relative KPI `margin`, a guard;
    `wild`: values that ran away after which a challenger is retired, whatever it gains.
    """

    mode: Literal["manual", "automatic"] = "manual"
    after: int = 5_000
    margin: float = 0.0
    guard: MetricName | None = None
    wild: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What running it costs, in the KPI's unit: an hour of CPU, and a day whatever it does."""

    per_cpu_hour: float = 0.0
    per_day: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One loop around one question. All fields are documented in docs/reference/USECASE.md.

    Raises nothing when made; `models.declaration.mistakes(use_case)` lists all that is wrong.
    """

    name: str
    owner: str
    event: type[Event]
    outcome: type[Outcome]
    key: str
    label: Callable[[Any, Any], Any]
    features: Mapping[str, Feature]
    models: Mapping[str, Callable[[], Any]]
    champion: str
    baseline: Callable[[Any], Any]
    metric: MetricName
    kpi: Kpi
    horizon: float
    kind: Kind = "regression"
    hidden: Sequence[str] = ()
    learns: Literal["label", "label - baseline"] = "label"
    limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    plausible: tuple[float, float] | Callable[[Any, Any], bool] | None = None
    interval: float | None = 0.9
    never: Any = None
    weight: Callable[[Any, Any], float] | None = None
    warmup: int | Mapping[str, int] = WARMUP
    segments: Segments | None = None
    slices: Mapping[str, str | Callable[[Any], str]] = field(default_factory=dict)
    contest: Contest = Contest()
    promotion: Promotion = Promotion()
    targets: Mapping[str, float] = field(default_factory=dict)
    price: Price | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    partitions: int = 4
    window: float = days(1)
    watch: Sequence[str] | None = None
    breaker: bool = True
    on_drift: Action | Mapping[str, Action] = "alert"
    explain: int = 3
    serve_features: bool | str = False
    memory: float | None = None
    waiting_limit: int = 1_000_000
    early_limit: int = 10_000
    max_jump: float | None = None
    jump_agree: int = 3
    recorded: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]] | None = None

    def limits_of(self, model: str) -> tuple[float, float] | None:
        """(least, most) that a model may say; None where nothing is declared of it."""
        limits = self.limits
        # A tuple first: to know a mapping takes longer, and this is asked for each answer.
        if limits is None or isinstance(limits, tuple):
            return limits
        return limits.get(model) if isinstance(limits, Mapping) else limits

    def warmup_of(self, model: str) -> int:
        """Examples that a model learns before it may answer."""
        warmup = self.warmup
        return warmup if isinstance(warmup, int) else warmup.get(model, WARMUP)

    def action_of(self, model: str) -> Action:
        """What is done when that model's error has risen."""
        on = self.on_drift
        return on.get(model, "alert") if isinstance(on, Mapping) else on

    @property
    def memory_s(self) -> float:
        """How long an id is known after its event time, seconds; default twice the horizon."""
        return self.memory if self.memory is not None else 2 * self.horizon

    @property
    def max_jump_s(self) -> float:
        """How far ahead of the others a record may be alone, seconds.

        By default two days, and never more than half the horizon: one mad clock must not expire
        what waits.
        """
        return self.max_jump if self.max_jump is not None else min(days(2), self.horizon / 2)


__all__ = ["Contest", "Kpi", "Price", "Promotion", "Segments", "UseCase", "days", "hours"]
