"""Default labels count like any other in KPI, worth and contests, or nothing is decided."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest
from river import dummy, linear_model, optim, preprocessing

from models.replay.backtest import run
from models.spec.default_outcome import DefaultOutcome
from models.spec.use_case import Kpi, Promotion, UseCase
from models.values.durations import days, hours
from models.worth.closed_blocks import ClosedBlocks
from models.worth.worth import worth
from schemas.events import Event, Outcome
from streams.config.use_case_loader import LoadedUseCase
from streams.offline.backtest import backtest
from streams.reports import report_texts

BEGIN = datetime(2021, 5, 1, tzinfo=UTC)


class Loan(Event):
    """A book is lent."""

    branch: str
    pages: float


class Claim(Outcome):
    """Somebody reports it lost; nobody reports one that is back."""

    lost: bool


class Assessed(Claim):
    """With a field that only a claim has."""

    worth: float


def wary() -> Any:
    """Expects a loss nearly always."""
    loss = optim.losses.Log(weight_pos=400)
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(loss=loss)


def price(_event: Any, outcome: Any, expected: bool) -> float:
    """EUR: 20 for a loss that came unexpected, 8 for a reader turned away."""
    return 20.0 if outcome.lost and not expected else 8.0 if expected and not outcome.lost else 0.0


def case(**changes: Any) -> UseCase:
    """One in thirty is lost, which is known after a day."""
    plain: dict[str, Any] = {
        "name": "loans", "owner": "tests", "event": Loan, "outcome": Claim, "key": "branch",
        "kind": "binary", "label": lambda _e, o: o.lost, "features": Loan.fields("pages"),
        "models": {"wary": wary, "never": dummy.NoChangeClassifier}, "champion": "wary",
        "baseline": lambda _e: False, "metric": "f1", "label_on_timeout": False,
        "kpi": Kpi(price, unit="EUR", better="lower", range=(0, 20)), "horizon": days(2),
        "warmup": 30, "partitions": 1, "interval": None, "breaker": False,
    }  # fmt: skip
    return UseCase(**(plain | changes))


def recorded(count: int = 4_000, **more: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A loan every 20 minutes, and the claims among them in their place."""
    draw, rows = random.Random(3), []
    for n in range(count):
        time = BEGIN + timedelta(minutes=20 * n)
        loan = {"event_id": f"b{n}", "event_time": time, "branch": "north"}
        lost = draw.random() < 1 / 30
        rows.append((time, 1, n, loan | {"pages": draw.gauss(300 if lost else 250, 90)}))
        if lost:
            late = time + timedelta(days=1)
            claim = {"event_id": f"b{n}", "outcome_time": late, "branch": "north", "lost": True}
            rows.append((late, 0, n, claim | more))
    for _, kind, _, fields in sorted(rows, key=lambda row: row[:3]):
        yield ("event" if kind else "outcome"), fields


def settled(use_case: UseCase, records: Iterator[tuple[str, dict[str, Any]]]) -> ClosedBlocks:
    """The evidence of a run."""
    blocks = ClosedBlocks()

    def hear(output: Any) -> None:
        if output.kind == "evidence":
            blocks.add(orjson.loads(output.value))

    run(use_case, records, partitions=1, definition="d", outputs=hear)
    return blocks


def loaded(use_case: UseCase) -> LoadedUseCase:
    """As if read from a file."""
    return LoadedUseCase(use_case, Path(__file__), "", "d")


def test_a_model_that_is_wrong_only_where_nothing_is_reported_is_not_worth_it() -> None:
    """It expects every loss; on what is reported alone it would look like a saving."""
    result = worth(case(), settled(case(), recorded()))
    assert result.unpriced == 0
    assert result.labelled == result.predictions
    assert result.missing == 0
    assert result.gain.total < -5_000
    by_model = {row.name: row.gain for row in result.models}
    assert by_model["wary"].verdict == "not worth it"


def test_the_kpi_of_a_backtest_counts_every_labelled_prediction() -> None:
    """Cost an event of the model: what it costs on default labels, too, to the cent."""
    use_case = case()
    result = backtest(loaded(use_case), recorded(), 1)
    assert result.unpriced == 0
    cost = result.scores["wary"].kpi
    assert cost is not None
    assert cost > 4.0
    baseline = result.scores["baseline"].kpi
    assert baseline == pytest.approx(20 / 30, rel=0.3)


@pytest.mark.slow
def test_without_a_kpi_of_default_labels_nothing_is_decided() -> None:
    """The KPI reads what only a claim has: no verdict, no promotion, and it is said why."""

    def by_worth(_event: Any, outcome: Any, expected: bool) -> float:
        return outcome.worth if outcome.lost != expected else 0.0 * outcome.worth

    use_case = case(
        outcome=Assessed,
        kpi=Kpi(by_worth, unit="EUR", better="lower", range=(0, 50)),
        promotion=Promotion("automatic", after=10),
    )
    verdict = worth(use_case, settled(use_case, recorded(worth=25.0)))
    assert verdict.verdict == "not known yet"
    assert verdict.unpriced > 3_000
    assert verdict.net.lower is None
    assert {row.gain.verdict for row in verdict.models} == {"not known yet"}
    assert "have no KPI" in report_texts.headline(verdict)
    assert "label_on_timeout={" in verdict.notes[0]
    result = backtest(loaded(use_case), recorded(worth=25.0), 1)
    assert result.unpriced > 3_000
    assert result.acts == []
    assert {row["verdict"] for row in result.standings} <= {"undecided"}
    declared = replace(use_case, label_on_timeout={"lost": False, "worth": 25.0})
    told = worth(declared, settled(declared, recorded(worth=25.0)))
    assert told.unpriced == 0
    assert {row.name: row.gain.verdict for row in told.models}["wary"] == "not worth it"


class Fate(Enum):
    """What became of it."""

    BACK = "back"
    LOST = "lost"


class Named(Outcome):
    """The field is not the label itself."""

    branch: str
    fate: Fate
    note: str | None = None


class Aliased(Outcome):
    """With defaults."""

    lost: bool = False
    fine: float = 0.0


class Literally(Outcome):
    """A text."""

    fate: Literal["back", "lost"]


@pytest.mark.parametrize(
    ("outcome", "label", "kind", "label_on_timeout", "expected"),
    [
        (Named, lambda _e, o: o.fate.value, "multiclass", "back", {"fate": Fate.BACK}),
        (Named, lambda _e, o: o.fate is Fate.LOST, "binary", {"fate": "back"}, {"note": None}),
        (Aliased, lambda _e, o: o.lost, "binary", False, {"lost": False, "fine": 0.0}),
        (Aliased, lambda _e, o: o.fine, "regression", 12, {"fine": 12.0, "lost": False}),
        (Literally, lambda _e, o: o.fate, "multiclass", "back", {"fate": "back"}),
        (Literally, lambda _e, o: o.fate == "lost", "binary", False, None),
    ],
)
def test_the_outcome_is_made_of_the_label_where_it_can_be(
    outcome: Any, label: Any, kind: str, label_on_timeout: Any, expected: dict[str, Any] | None
) -> None:
    """Its id and time are the event's and the horizon's end; a key field is the event's."""
    use_case = case(
        outcome=outcome, label=label, kind=kind, label_on_timeout=label_on_timeout, horizon=hours(3)
    )
    loan = Loan(event_id="b", event_time=BEGIN, branch="south", pages=1.0)
    default = DefaultOutcome(use_case).of(loan)
    if expected is None:
        assert default is None
        return
    assert default is not None
    fields = default[0]
    assert {name: getattr(fields, name) for name in expected} == expected
    assert (fields.event_id, fields.outcome_time) == ("b", BEGIN + timedelta(hours=3))
    if "branch" in outcome.model_fields:
        assert fields.branch == "south"
