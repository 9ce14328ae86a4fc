"""What a backtest's table counts: the same events in each row, and what each model itself said."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from river import compose, evaluate, linear_model, metrics, naive_bayes, preprocessing

from models.spec.use_case import Contest, Kpi, UseCase
from models.values.durations import days, hours
from schemas.events import Event, Outcome
from streams.cli.author.backtest import _show_result, _table
from streams.cli.shared.terminal import data
from streams.config.use_case_loader import LoadedUseCase
from streams.offline.backtest import Result, backtest

BEGIN = datetime(2022, 6, 1, tzinfo=UTC)


class Sale(Event):
    """A house is offered."""

    street: str
    area: float
    rooms: float


class Sold(Outcome):
    """For so much (thousands), after so long."""

    price: float
    soon: str


def unscaled() -> Any:
    """Blows up on large areas."""
    return compose.Select("area", "rooms") | linear_model.LinearRegression()


def scaled() -> Any:
    """Does not."""
    return compose.Select("area", "rooms") | preprocessing.StandardScaler() | (
        linear_model.LinearRegression()
    )  # fmt: skip


def offers(count: int, street: Any = lambda n: "elm", step: timedelta = timedelta(hours=1)) -> Any:
    """(time, fields of the event, fields of the outcome), the outcome half an hour later."""
    draw = random.Random(11)
    for n in range(count):
        time = BEGIN + n * step
        area, rooms = draw.gauss(90, 30), float(draw.randint(1, 6))
        of = {"event_id": f"h{n}", "street": street(n)}
        soon = "quick" if area + draw.gauss(0, 20) < 80 else "slow" if rooms < 5 else "never"
        price = 3 * area + 20 * rooms + draw.gauss(0, 30)
        yield time, of | {"area": area, "rooms": rooms}, of | {"price": price, "soon": soon}


def recorded(rows: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each event, then its outcome."""
    for time, event, outcome in rows:
        yield "event", event | {"event_time": time}
        yield "outcome", outcome | {"outcome_time": time + timedelta(minutes=10)}


def case(**changes: Any) -> UseCase:
    """The price of a house."""
    plain: dict[str, Any] = {
        "name": "houses", "owner": "tests", "event": Sale, "outcome": Sold, "key": "street",
        "label": lambda _e, o: o.price, "features": Sale.fields("area", "rooms"),
        "models": {"unscaled": unscaled, "scaled": scaled}, "champion": "unscaled",
        "baseline": lambda _e: 300.0, "metric": "mae", "horizon": hours(6), "warmup": 20,
        "kpi": Kpi(lambda _e, o, s: abs(o.price - s), unit="EUR", better="lower", range=(0, 900)),
        "partitions": 1, "interval": None, "contributions": 0,
    }  # fmt: skip
    return UseCase(**(plain | changes))


def tried(use_case: UseCase, rows: Any, partitions: int = 1) -> Result:
    """Its backtest."""
    return backtest(LoadedUseCase(use_case, Path("houses.py"), "", "d"), recorded(rows), partitions)


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_a_model_itself_said_is_rivers_own_figure() -> None:
    """Regression and classes, to twelve digits; what could not be served is counted."""
    rows = list(offers(400))
    result = tried(case(), rows)
    for name, make in (("unscaled", unscaled), ("scaled", scaled)):
        stream = (({"area": e["area"], "rooms": e["rooms"]}, o["price"]) for _, e, o in rows)
        river = evaluate.progressive_val_score(stream, make(), metrics.MAE())
        assert result.scores[name].own == pytest.approx(river.get(), rel=1e-12)
    champion = result.scores["unscaled"]
    assert champion.withheld > 350
    assert champion.own is not None
    assert champion.metric is not None
    assert champion.own > 1e6 > champion.metric
    classes = case(
        kind="multiclass", metric="accuracy", label=lambda _e, o: o.soon,
        models={"bayes": naive_bayes.GaussianNB}, champion="bayes",
        baseline=lambda _e: {"quick": 0.6, "slow": 0.4},
        kpi=Kpi(lambda _e, o, s: float(o.soon != s), unit="EUR", better="lower", range=(0, 1)),
    )  # fmt: skip
    bayes = tried(classes, rows).scores["bayes"]
    stream = (({"area": e["area"], "rooms": e["rooms"]}, o["soon"]) for _, e, o in rows)
    river = evaluate.progressive_val_score(stream, naive_bayes.GaussianNB(), metrics.Accuracy())
    assert bayes.withheld == 1  # before it had learnt anything it had nothing to say
    assert bayes.own == pytest.approx(river.get(), rel=1e-12)
    assert bayes.own != bayes.metric


def test_the_table_says_of_a_withheld_champion_how_often_and_what_it_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its row would else look like the baseline's; a table without any has two columns less."""
    data.print(_table(tried(case(), offers(400))))
    text = capsys.readouterr().out
    assert "withheld" in text
    assert "the baseline is scored instead" in " ".join(text.split())
    calm = case(models={"scaled": scaled}, champion="scaled", limits=(-1e6, 1e6))
    data.print(_table(tried(calm, offers(100))))
    assert "withheld" not in capsys.readouterr().out


def test_quiet_partitions_refuse_nothing_and_all_tables_cover_the_same_events() -> None:
    """Keys that are quiet for weeks: as live, each row's own time stands for its timestamp."""
    rows = list(offers(300, street=lambda n: f"street {n * n % 89}", step=timedelta(hours=9)))
    results = [tried(case(horizon=days(1)), rows, partitions) for partitions in (1, 4, 16)]
    assert [result.refused for result in results] == [0, 0, 0]
    assert [result.scored for result in results] == [300, 300, 300]
    baselines = [result.scores["baseline"].metric for result in results]
    assert baselines == pytest.approx(baselines[:1] * 3)


def test_records_that_came_again_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """A row that is twice in a recording is scored once, and not in silence."""
    rows = list(offers(50))
    result = tried(case(), [row for each in rows for row in (each, each)])
    assert (result.scored, result.repeated) == (50, 100)
    _show_result(result)
    assert "100 came again and not counted twice" in capsys.readouterr().out


def test_every_row_of_a_table_is_of_the_events_that_all_models_predicted() -> None:
    """With a third in shadow, what was served and the baseline are scored on that third, too."""
    use_case = case(
        models={"scaled": scaled, "unscaled": unscaled}, champion="scaled",
        contest=Contest(shadow=0.3), limits=(-1e6, 1e6),
    )  # fmt: skip
    rows = list(offers(500))
    result = tried(use_case, rows)
    assert {score.events for score in result.scores.values()} == {result.scores["scaled"].events}
    assert 100 < result.scores["served"].events < 200
    assert result.served is not None
    assert result.served.events == 500
    by_hand = sum(abs(o["price"] - 300.0) for _, _, o in rows) / 500
    assert result.scores["baseline"].metric != pytest.approx(by_hand, rel=1e-6)
