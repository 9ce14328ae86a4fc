"""How many hours will a shipment take? A use case that a verifier can recompute by itself.

`nth` is how many events of its depot came before; `told` how many outcomes had been learnt.
"""

from __future__ import annotations

from typing import Any

from river import linear_model, optim, preprocessing, tree

from riverrun import (
    Contest,
    Event,
    Kpi,
    Outcome,
    Promotion,
    Segments,
    UseCase,
    days,
    hours,
    over_events,
    over_outcomes,
)


class Shipment(Event):
    """It leaves."""

    depot: str
    weight: float
    miles: int
    road: str


class Arrival(Outcome):
    """It is there."""

    hours: float


def linear() -> Any:
    """Learns at once."""
    return preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.05))


def trees() -> Any:
    """Grows. River's default splitter keeps each value of a feature that only grows (`nth`), one
    below the other: versions of megabytes, and recursion without end.
    """
    return tree.HoeffdingTreeRegressor(
        grace_period=200, max_depth=6, leaf_prediction="mean", splitter=tree.splitter.QOSplitter()
    )


SHIPMENTS = UseCase(
    name="shipments",
    owner="depot@example.com",
    event=Shipment,
    outcome=Arrival,
    key="depot",
    label=lambda e, o: o.hours,
    features={
        **Shipment.fields("weight", "miles"),
        "nth": over_events(by="depot", last=days(1_000)).count(),
        "told": over_outcomes(by="depot", last=days(1_000)).count(),
        "lately": over_outcomes(by="depot", half_life=hours(1)).mean(
            lambda e, o, x: o.hours, empty=5.0
        ),
    },
    models={"linear": linear, "trees": trees},
    champion="linear",
    baseline=lambda e: 5.0,
    metric="mae",
    limits=(0, 200),
    interval=0.9,
    horizon=hours(48),
    kpi=Kpi(
        lambda e, o, prediction: abs(prediction - o.hours),
        unit="EUR",
        better="lower",
        range=(0, 100),
    ),
    segments=Segments("road", limit=4),
    contest=Contest(shadow=1.0, acts_on_outcome=False),
    promotion=Promotion("manual"),
    warmup=20,
    partitions=6,
    learning="partition",
)
