"""A use case on recorded data, summed up: what `riverrun backtest` says, and its gate for CI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from time import perf_counter
from typing import Any

import orjson

from models.backtest import Backtest
from models.deciding.rehearsal import Rehearsal
from models.kinds import BETTER, KINDS, metric_value
from models.publishing import Output
from models.tally import ALL, Cell
from models.usecase import UseCase
from schemas.errors import Misdeclared
from streams.loading import Loaded

PROGRESS_EVERY = 500
"""Records between two calls of `on_progress`."""


@dataclass(slots=True)
class Score:
    """One answerer over everything that was scored; `kpi` is per event, in the KPI's unit."""

    metric: float | None
    kpi: float | None
    kpi_sum: float


@dataclass(slots=True)
class Result:
    """One definition on one number of partitions. `scores`: served, each model, baseline."""

    partitions: int
    definition: str
    metric: str
    better: str
    kpi_unit: str
    kpi_better: str
    champion: str
    events: int = 0
    outcomes: int = 0
    scored: int = 0
    late: int = 0
    expired: int = 0
    waiting: int = 0
    refused: int = 0
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    standings: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    records_per_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)


def backtest(
    loaded: Loaded,
    recorded: Iterable[tuple[str, Mapping[str, Any]]],
    partitions: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Result:
    """Drive every record through the partition tasks and sum up what they say."""
    use_case = loaded.use_case
    result = Result(
        partitions,
        loaded.definition,
        use_case.metric,
        BETTER[use_case.metric],
        use_case.kpi.unit,
        use_case.kpi.better,
        use_case.champion,
    )
    refusals: Counter[str] = Counter()
    run = Backtest(use_case, partitions, loaded.definition)
    decider = Rehearsal(run)
    began, number = perf_counter(), 0
    for number, (kind, fields) in enumerate(recorded, 1):
        said = run.feed(kind, fields)
        decider.hear(said)
        for output in said:
            if output.kind == "dead-letter":
                _refused(output, refusals, result)
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
    total = Cell()
    for _, task in sorted(run.tasks.items()):
        total.add(task.tally.total())
        result.events += task.counts["events"]
        result.outcomes += task.counts["outcomes"]
        result.late += task.counts["late"]
        result.expired += task.counts["expired"]
        result.refused += task.counts["refused"]
        result.waiting += task.ledger.waiting
    result.scored = total.outcomes
    names = KINDS[use_case.kind].sums
    for answerer in ("served", *use_case.models, "baseline"):
        row = total.scores.get(answerer, [0.0] * (2 + len(names)))
        n, kpi_sum, sums = row[0], row[1], dict(zip(names, row[2:], strict=True))
        n_kpi = total.kpis if answerer in ALL else total.paired[0]
        kpi = kpi_sum / n_kpi if n_kpi else None
        result.scores[answerer] = Score(metric_value(use_case.metric, n, sums), kpi, kpi_sum)
    return result


# The gate.


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure of both definitions; `worse` is the relative loss, negative for a gain."""

    partitions: int
    what: str
    old: float | None
    new: float | None
    worse: float
    passed: bool


def judged_alike(old: Loaded, new: Loaded) -> Loaded:
    """The old definition, measured by the new one's metric and KPI; `Misdeclared` if it cannot."""
    was, now = old.use_case, new.use_case
    if was.kind != now.kind:
        raise Misdeclared(
            f"{old.path.name} is a {was.kind} use case and {new.path.name} a {now.kind} one.",
            mend="Compare two definitions of one question.",
        )
    return replace(old, use_case=replace(was, metric=now.metric, kpi=now.kpi))


def compared(new: Result, old: Result, margin: float) -> list[Verdict]:
    """What is served by both: metric, KPI, and how many events were scored at all.

    A definition that refuses what it finds hard would look better for it; so fewer scored events
    count as worse, too.
    """
    was, now = old.scores["served"], new.scores["served"]
    figures = [
        (new.metric, was.metric, now.metric, new.better),
        (f"KPI, {new.kpi_unit} an event", was.kpi, now.kpi, new.kpi_better),
        ("scored", float(old.scored), float(new.scored), "higher"),
    ]
    verdicts = []
    for what, before, after, better in figures:
        worse = _worse(before, after, better)
        verdicts.append(Verdict(new.partitions, what, before, after, worse, worse <= margin))
    return verdicts


def _worse(before: float | None, after: float | None, better: str) -> float:
    """The relative loss.

    >>> _worse(10.0, 11.0, "lower"), _worse(0.8, 0.4, "higher"), _worse(0.0, 1.0, "lower")
    (0.1, 0.5, inf)
    """
    if before is None or after is None:
        return 0.0 if before is None else float("inf")
    loss = after - before if better == "lower" else before - after
    if loss == 0.0:
        return 0.0
    return loss / abs(before) if before else float("inf") * loss
