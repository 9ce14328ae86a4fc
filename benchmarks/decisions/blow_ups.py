"""Real models that blow up on the flights, as challengers: never served, and retired by the rule.

    python -P -m benchmarks.decisions.blow_ups [days [every]]

One airport's flights, few features. `squared` is a linear model under squared loss with SGD and no
scaling; `leaves` is a Hoeffding adaptive tree with its default leaves. Both are run with nothing
but River beside it, to show what would have been said.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from river import linear_model, optim, preprocessing, tree

from models.replay.backtest import Backtest
from models.replay.simulated_decider import SimulatedDecider
from models.spec.use_case import Kpi, Promotion, UseCase
from models.values.durations import hours
from schemas.commands import Command
from usecases.data import nycflights
from usecases.flight_eta import Arrival, Departure

AIRPORT = "JFK"


def absolute() -> Any:
    """The champion: scaled, absolute loss, AdaGrad."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(
        optimizer=optim.AdaGrad(0.5), loss=optim.losses.Absolute()
    )


def squared() -> Any:
    """Squared loss and SGD on minutes and miles as they are."""
    return linear_model.LinearRegression(optimizer=optim.SGD(0.01))


def leaves() -> Any:
    """Linear leaves: they run away."""
    return tree.HoeffdingAdaptiveTreeRegressor(seed=1)


CASE = UseCase(
    name="blow_ups",
    owner="benchmarks",
    event=Departure,
    outcome=Arrival,
    key="origin",
    label=lambda e, o: o.arr_delay,
    features=Departure.fields("dep_delay", "distance", "block", "minute_of_day"),
    models={"absolute": absolute, "squared": squared, "leaves": leaves},
    champion="absolute",
    baseline=lambda e: e.dep_delay,
    target="label - baseline",
    metric="mae",
    limits=(-120, 1500),
    horizon=hours(24),
    interval=None,
    drift_features=(),
    contributions=0,
    kpi=Kpi(
        lambda e, o, prediction: min(abs(prediction - o.arr_delay), 240.0),
        unit="minutes",
        better="lower",
        range=(0, 240),
    ),
    promotion=Promotion("automatic", after=2_000),
)


@dataclass(slots=True)
class Told:
    """What a run left behind."""

    days: int
    served: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    furthest: Counter[str] = field(default_factory=Counter)
    least: float = 0.0
    most: float = 0.0
    acts: list[Command] = field(default_factory=list)
    standings: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)


def flights(days: int, every: int = 1) -> Iterator[tuple[str, Any]]:
    """Every so many-th flight of one airport in the first days of the year."""
    known, number = set(), 0
    for kind, fields in nycflights.flights():
        time = fields["event_time" if kind == "event" else "outcome_time"]
        if datetime.fromisoformat(str(time)).timetuple().tm_yday > days:
            return
        if kind == "event" and fields["origin"] == AIRPORT:
            number += 1
            if number % every == 0:
                known.add(fields["event_id"])
        if fields["event_id"] in known:
            yield kind, fields


def run(days: int, every: int = 1) -> Told:
    """Drive them through a partition, with the decider beside it."""
    told = Told(days)
    backtest = Backtest(CASE, 1, "d1")
    decider = SimulatedDecider(backtest)
    for kind, fields in flights(days, every):
        outputs = backtest.feed(kind, fields)
        for output in (*outputs, *decider.hear(outputs)):
            if output.kind == "predictions":
                _note(told, orjson.loads(output.value))
            elif output.kind == "lifecycle":
                told.changes.append(orjson.loads(output.value))
    told.acts, told.standings = decider.acts, decider.standings
    for (_, group), cell in backtest.task(0).metrics.cells.items():
        if group == (None, None):
            told.withheld.update(cell.guarded)
    told.withheld.update(backtest.task(0).metrics.closed[None, None].guarded)
    return told


def _note(told: Told, prediction: dict[str, Any]) -> None:
    told.served[prediction["model"].partition("@")[0]] += 1
    told.least = min(told.least, prediction["value"])
    told.most = max(told.most, prediction["value"])
    for name, shadow in prediction["shadows"].items():
        if shadow is not None:
            told.furthest[name] = max(told.furthest[name], int(abs(shadow)))


def main() -> None:
    """Print what was served, withheld and done."""
    told = run(*map(int, sys.argv[1:3] or ("120",)))
    print(f"{told.days} days of {AIRPORT}: served by {dict(told.served)}")
    print(f"  from {told.least:.0f} to {told.most:.0f} minutes; limits {CASE.limits}")
    for name in CASE.models:
        print(f"  {name}: furthest value {told.furthest[name]:.3g}, withheld {told.withheld[name]}")
    for row in told.standings:
        print(
            f"  {row['model']} against {row['against']}: {row['verdict']}, gain {row['gain']:.3g} "
            f"[{row['lower']:.3g}, {row['upper']:.3g}] in {row['blocks']} days"
        )
    for act in told.acts:
        print(f"  {act.time:%Y-%m-%d} {act.verb} {act.model}: {act.why}")


if __name__ == "__main__":
    main()
