"""A use case: one frozen object, created in one file, with every decision that its author makes.

Nothing runs here. `models.validation` finds mistakes in it, `models.task.partition_task` runs it.
Durations are seconds (`hours(24)`), amounts are in the unit that they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.features.featurizer import Feature
from models.features.reference_tables import Lookup, Table
from models.features.window_declarations import Window
from models.spec.label_fold import LabelFold
from models.spec.source import Source
from models.values.durations import days, hours, minutes
from models.values.numbers import amount
from schemas.events import Event, Outcome
from schemas.records.prediction_schema import PredictionFormat

Kind = Literal["regression", "binary", "multiclass"]
MetricName = str
Action = Literal["alert", "reset", "challenger", "fallback"]
MissingOutcomes = Literal["unknown", "by chance", "worst"]
Learning = Literal["shared", "partition"]


WARMUP = 100


@dataclass(frozen=True, slots=True)
class Kpi:
    """What a served prediction costs or earns, in a real unit.

    `cost(event, outcome, prediction)` is the amount for one served value; `range` bounds it (least,
    most), and every statement about the KPI relies on that: an amount outside is clipped to it and
    counted.
    """

    cost: Callable[[Any, Any, Any], float]
    unit: str
    better: Literal["lower", "higher"]
    range: tuple[float, float]

    def __call__(self, event: Any, outcome: Any, prediction: Any) -> float:
        """Return the amount for one served value, cut to `range`.

        Raises `ValueError` if it is no number.
        """
        least, most = self.range
        size = self.cost(event, outcome, prediction)
        if type(size) is float and least <= size <= most:
            return size  # nearly all of them
        return min(max(amount(size, "KPI"), least), most)

    def check_sums(self, evidence: Mapping[str, Any]) -> None:
        """Raise `ValueError` for an evidence record whose sums are beyond what `range` allows."""
        least, most = self.range
        told = [(evidence["kpi_n"], total) for total in evidence["kpi"].values()]
        told += [(evidence["paired_n"], total) for total in evidence["paired"].values()]
        for arm in evidence["arms"].values():
            told += [(arm["n"], arm["kpi"]), *arm["groups"]]
        spare = 1e-6 * max(abs(least), abs(most))
        for n, total in told:
            if not n * (least - spare) <= total <= n * (most + spare):
                raise ValueError(f"a KPI of {total:g} over {n} outcomes is beyond {self.range}")


@dataclass(frozen=True, slots=True)
class Segments:
    """Models for each value of a field; a segment's model answers once it has proved better.

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
    error budget of the use case: the chance that any false winner is ever named. `missing`: what is
    assumed of outcomes that never come: that they are missing "by chance", that each is as bad as
    the KPI's range allows ("worst"), or nothing ("unknown": what they could undo is not promised).
    `rare_losses`: losses that come once in so many blocks have to be ruled out; five times as many
    blocks show them.
    """

    shadow: float = 1.0
    experiment: Mapping[str, float] | None = None
    acts_on_outcome: bool = False
    unit: str | Callable[[Any], Any] | None = None
    holdout: float = 0.0
    shared: bool = False
    alpha: float = 0.05
    missing: MissingOutcomes = "unknown"
    rare_losses: int = 5


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who decides: `manual` recommends only. `after` examples, a relative KPI `margin`, a guard;
    `max_diverged`: the number of diverged values after which a challenger is retired, whatever it
    gains.
    """

    mode: Literal["manual", "automatic"] = "manual"
    after: int = 5_000
    margin: float = 0.0
    guard: MetricName | None = None
    max_diverged: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How stale a partition's copies of shared models may be: when their next version is due.

    As soon as a model has learnt, since its last version, `share` of all its examples, or
    `examples` of them, or anything at all in `event_time` seconds of event time. `numbers` bounds
    what that costs: at most so many numbers of a model's state are published for each example that
    it learns, so a forest of a million numbers follows every 5,000 examples. So does `pause`:
    versions are so many seconds of event time apart, those of a model of more than 10,000 numbers
    in proportion to its size, unless twenty times as much was learnt as makes one due. The defaults
    are from benchmarks/staleness.py; `Freshness(examples=1, numbers=math.inf, pause=0)` is a
    version an example.

    What shared windows count is released by `share` and `examples`, too, and after `windows`
    seconds of event time.
    """

    share: float = 0.002
    examples: float = 30
    event_time: float = minutes(30)
    windows: float = minutes(1)
    numbers: float = 200
    pause: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The cost of running it, in the KPI's unit: of an hour of CPU, and a fixed cost a day."""

    per_cpu_hour: float = 0.0
    per_day: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One loop around one question. All fields are documented in docs/reference/USECASE.md.

    Raises nothing when made; `models.validation.mistakes(use_case)` lists all that is wrong.
    """

    name: str
    owner: str
    event: type[Event]
    outcome: type[Outcome]
    key: str
    label: Callable[[Any, Any], Any] | LabelFold
    features: Mapping[str, Feature]
    models: Mapping[str, Callable[[], Any]]
    champion: str
    baseline: Callable[..., Any]
    metric: MetricName
    kpi: Kpi
    horizon: float
    kind: Kind = "regression"
    internal_features: Sequence[str] = ()
    target: Literal["label", "label - baseline"] = "label"
    limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None = None
    plausible: tuple[float, float] | Callable[[Any, Any], bool] | None = None
    interval: float | None = 0.9
    threshold: float | Literal["kpi"] | None = None
    label_on_timeout: Any = None
    weight: Callable[[Any, Any], float] | None = None
    warmup: int | Mapping[str, int] = WARMUP
    segments: Segments | None = None
    slices: Mapping[str, str | Callable[[Any], str]] = field(default_factory=dict)
    contest: Contest = Contest()
    promotion: Promotion = Promotion()
    targets: Mapping[str, float] = field(default_factory=dict)
    price: Price | None = None
    topics: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[Source] = ()
    partitions: int = 4
    learning: Learning | None = None
    freshness: Freshness = Freshness()
    window: float = days(1)
    drift_features: Sequence[str] | None = None
    breaker: bool = True
    on_drift: Action | Mapping[str, Action] = "alert"
    contributions: int = 3
    serve_features: bool | str = False
    prediction_format: PredictionFormat = "json"
    id_retention: float | None = None
    waiting_limit: int = 1_000_000
    waiting_bytes: int = 512 << 20
    early_limit: int = 10_000
    early_bytes: int = 32 << 20
    max_jump: float | None = None
    confirm_jump_after: int = 3
    skip_after: int = 0
    recorded: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return every metric that is declared: its own, the guard and those of targets."""
        return tuple(dict.fromkeys((self.metric, self.promotion.guard or "", *self.targets)))

    @property
    def shared_windows(self) -> tuple[str, ...]:
        """Return the names of features that are windows over the records of all partitions."""
        windows = ((n, f) for n, f in self.features.items() if isinstance(f, Window))
        return tuple(name for name, window in windows if self.key not in window.by)

    @property
    def tables(self) -> dict[str, Table]:
        """Return the tables that features look up, by their identity."""
        lookups = [feature for feature in self.features.values() if isinstance(feature, Lookup)]
        return {lookup.table.identity: lookup.table for lookup in lookups}

    @property
    def shares_features(self) -> bool:
        """Return whether any feature comes by the learner: a shared window or a table's row."""
        return bool(self.shared_windows or self.tables)

    def is_shared(self, partitions: int) -> bool:
        """Return whether one model learns from all of so many partitions.

        Declared by `learning`; by default where there are several partitions, and where features
        come by the learner.
        """
        if self.learning is None:
            return partitions > 1 or self.shares_features
        return self.learning == "shared"

    def limits_of(self, model: str) -> tuple[float, float] | None:
        """Return (least, most) of a model's predictions; None where none is declared."""
        limits = self.limits
        # A tuple first: to know a mapping takes longer, and this is asked for each answer.
        if limits is None or isinstance(limits, tuple):
            return limits
        return limits.get(model) if isinstance(limits, Mapping) else limits

    def warmup_of(self, model: str) -> int:
        """Return the number of examples that a model learns before it may answer."""
        warmup = self.warmup
        return warmup if isinstance(warmup, int) else warmup.get(model, WARMUP)

    def action_of(self, model: str) -> Action:
        """Return what is done when that model's error has risen."""
        on = self.on_drift
        return on.get(model, "alert") if isinstance(on, Mapping) else on

    @property
    def id_retention_s(self) -> float:
        """Return how long an id is known after its event time, seconds: by default two horizons."""
        return self.id_retention if self.id_retention is not None else 2 * self.horizon

    @property
    def max_jump_s(self) -> float:
        """Return how far ahead of the others a record may be alone, seconds.

        By default two days, and never more than half the horizon: one wrong clock must not expire
        the predictions that wait.
        """
        return self.max_jump if self.max_jump is not None else min(days(2), self.horizon / 2)


def fold_of(use_case: UseCase) -> LabelFold | None:
    """Return the fold that makes the label; None where one outcome makes it."""
    return use_case.label if isinstance(use_case.label, LabelFold) else None


def is_correctable(use_case: UseCase) -> bool:
    """Return whether a label that was learnt may change: it is a fold that ends by the horizon."""
    fold = fold_of(use_case)
    return fold is not None and fold.until < use_case.horizon


__all__ = [
    "Contest",
    "Freshness",
    "Kpi",
    "Price",
    "Promotion",
    "Segments",
    "UseCase",
    "days",
    "hours",
]
