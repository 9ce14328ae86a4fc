"""A use case on recorded data, summed up: what `riverrun backtest` says, and its gate for CI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from time import perf_counter
from typing import Any

import orjson

from models.metrics.windowed_metrics import MetricCell
from models.outputs.output_records import Output
from models.replay.backtest import Backtest
from models.replay.simulated_decider import SimulatedDecider
from models.spec.problem_types import BETTER, kind_of, metric_value
from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.config.use_case_loader import LoadedUseCase

PROGRESS_EVERY = 500
"""Records between two calls of `on_progress`."""


@dataclass(slots=True)
class BacktestScore:
    """One answerer over the `events` that every model predicted; `kpi` is of one, in its unit.

    Where a model's value was `withheld` (out of its limits, not finite, or none) the baseline was
    scored instead, as it would have been served. `own` is the metric of all values that the
    model itself gave, as River's `progressive_val_score` counts them.
    """

    events: int
    metric: float | None
    kpi: float | None
    kpi_sum: float
    withheld: int = 0
    own: float | None = None


@dataclass(slots=True)
class Result:
    """One definition on one number of partitions.

    `shared`: whether one model learnt from all partitions. `scores`: served, each model, baseline,
    all on the same events; `served`: what was served, on all events that were scored.
    """

    partitions: int
    definition: str
    metric: str
    better: str
    kpi_unit: str
    kpi_better: str
    champion: str
    shared: bool = False
    events: int = 0
    outcomes: int = 0
    scored: int = 0
    late: int = 0
    expired: int = 0
    unpriced: int = 0
    waiting: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, BacktestScore] = field(default_factory=dict)
    served: BacktestScore | None = None
    standings: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    records_per_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self)


def backtest(
    loaded: LoadedUseCase,
    recorded: Iterable[tuple[str, Mapping[str, Any]]],
    partitions: int,
    on_progress: Callable[[int], None] = lambda _: None,
    on_example: Callable[[bytes], None] | None = None,
) -> Result:
    """Apply every record to the partition tasks and sum up their outputs.

    `on_example` is called with each example (features joined to their label) as JSON.
    """
    use_case = loaded.use_case
    result = Result(
        partitions,
        loaded.definition,
        use_case.metric,
        BETTER[use_case.metric],
        use_case.kpi.unit,
        use_case.kpi.better,
        use_case.champion,
        use_case.is_shared(partitions),
    )
    refusals: Counter[str] = Counter()
    run = Backtest(use_case, partitions, loaded.definition)
    decider = SimulatedDecider(run)
    began, number = perf_counter(), 0
    for number, (kind, fields) in enumerate(recorded, 1):
        outputs = run.feed(kind, fields)
        decider.hear(outputs)
        for output in outputs:
            if output.kind == "dead-letter":
                _refused(output, refusals, result)
            elif output.kind == "examples" and on_example is not None:
                on_example(output.value)
        if number % PROGRESS_EVERY == 0:
            on_progress(number)
    on_progress(number)
    result.seconds = perf_counter() - began
    result.records_per_s = number / result.seconds if number else 0.0
    result.standings = [
        row | {name: _written(row[name]) for name in ("block_start", "decided_at")}
        for row in decider.standings
    ]
    result.acts = [command.model_dump(mode="json") for command in decider.acts]
    for word, count in refusals.items():
        result.refusals[word]["count"] = count
    return _summed(run, use_case, result)


def _written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _refused(output: Output, refusals: Counter[str], result: Result) -> None:
    body = orjson.loads(output.value)
    word = body["error_class"]
    refusals[word] += 1
    result.refusals.setdefault(word, {"count": 0, "first": body["error"]})


def _summed(run: Backtest, use_case: UseCase, result: Result) -> Result:
    total = MetricCell()
    for _, task in sorted(run.tasks.items()):
        total.add(task.metrics.total())
        result.events += task.counts["events"]
        result.outcomes += task.counts["outcomes"]
        result.late += task.counts["late"]
        result.expired += task.counts["expired"]
        result.refused += task.counts["refused"]
        result.repeated += task.counts["repeats"]
        result.waiting += task.ledger.waiting - len(task.collected.revisions)
    result.scored = total.outcomes
    result.unpriced = total.outcomes - total.kpis
    sizes = 2 + len(kind_of(use_case.kind, use_case.metrics).sums)
    for answerer in ("served", *use_case.models, "baseline"):
        row = total.scores.get(answerer, [0.0] * sizes)
        if answerer == "served":
            result.served = _score(use_case, row, total.kpis)
        if answerer in total.unpaired:
            row = [a - b for a, b in zip(row, total.unpaired[answerer], strict=True)]
        score = _score(use_case, row, int(total.paired[0]))
        result.scores[answerer] = _with_own(use_case, score, row, total.stood_in.get(answerer))
    return result


def _score(use_case: UseCase, row: Sequence[float], kpis: int) -> BacktestScore:
    kpi = row[1] / kpis if kpis else None
    return BacktestScore(int(row[0]), _metric(use_case, row[0], row[2:]), kpi, row[1])


def _with_own(
    use_case: UseCase, score: BacktestScore, row: Sequence[float], stood_in: Sequence[float] | None
) -> BacktestScore:
    """Return the score with what the model's own values come to (`MetricCell.stood_in`)."""
    if stood_in is None:
        return replace(score, own=score.metric)
    half = len(stood_in) // 2
    withheld, baseline, had, own = (
        stood_in[0],
        stood_in[1:half],
        stood_in[half],
        stood_in[half + 1 :],
    )
    sums = [a - b + c for a, b, c in zip(row[2:], baseline, own, strict=True)]
    metric = _metric(use_case, row[0] - withheld + had, sums)
    return replace(score, withheld=int(withheld), own=metric)


def _metric(use_case: UseCase, n: float, sums: Sequence[float]) -> float | None:
    names = kind_of(use_case.kind, use_case.metrics).sums
    return metric_value(use_case.metric, n, dict(zip(names, sums, strict=True)))


# The gate.


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """One figure of both definitions; `worse` is the relative loss, negative for a gain."""

    partitions: int
    what: str
    old: float | None
    new: float | None
    worse: float
    passed: bool


def judged_alike(old: LoadedUseCase, new: LoadedUseCase) -> LoadedUseCase:
    """Return the old definition, measured by the new one's metric and KPI.

    Raise `ConfigError` if they are not comparable.
    """
    was, now = old.use_case, new.use_case
    if was.kind != now.kind:
        raise ConfigError(
            f"{old.path.name} is a {was.kind} use case and {new.path.name} a {now.kind} one.",
            hint="Compare two definitions of one question.",
        )
    return replace(old, use_case=replace(was, metric=now.metric, kpi=now.kpi))


def compared(new: Result, old: Result, margin: float) -> list[GateVerdict]:
    """Return the comparison of what both serve: metric, KPI, and how many events were scored.

    A definition that refuses what it finds hard would look better for it; so fewer scored events
    count as worse, too.
    """
    was, now = old.served, new.served
    assert was is not None
    assert now is not None
    figures = [
        (new.metric, was.metric, now.metric, new.better),
        (f"KPI, {new.kpi_unit} an event", was.kpi, now.kpi, new.kpi_better),
        ("scored", float(old.scored), float(new.scored), "higher"),
    ]
    verdicts = []
    for what, before, after, better in figures:
        worse = _worse(before, after, better)
        verdicts.append(GateVerdict(new.partitions, what, before, after, worse, worse <= margin))
    return verdicts


def _worse(before: float | None, after: float | None, better: str) -> float:
    """Return the relative loss.

    >>> _worse(10.0, 11.0, "lower"), _worse(0.8, 0.4, "higher"), _worse(0.0, 1.0, "lower")
    (0.1, 0.5, inf)
    """
    if before is None or after is None:
        return 0.0 if before is None else float("inf")
    loss = after - before if better == "lower" else before - after
    if loss == 0.0:
        return 0.0
    return loss / abs(before) if before else float("inf") * loss
