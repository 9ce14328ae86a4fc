"""A light use case: flights, their own fields, one linear model; most of its cost is the way."""

from __future__ import annotations

import os
from numbers import Number
from typing import Any

from river import compose, linear_model, optim, preprocessing

from riverrun import Event, Kpi, Outcome, UseCase, hours


class Departure(Event):
    """An aircraft has left its gate."""

    origin: str
    dest: str
    carrier: str
    minute_of_day: int
    block: int
    distance: int
    dep_delay: int


class Arrival(Outcome):
    """It has reached its gate."""

    arr_delay: int


def linear() -> Any:
    """Scaled numbers and one-hot names into a linear model."""
    numbers = compose.SelectType(Number) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True)
    return (numbers + names) | linear_model.LinearRegression(optim.SGD(0.01))


LIGHT_FLIGHTS = UseCase(
    name="light_flights",
    owner="benchmarks",
    event=Departure,
    outcome=Arrival,
    key="dest",
    label=lambda e, o: o.arr_delay,
    features=Departure.fields(
        "origin", "dest", "carrier", "minute_of_day", "block", "distance", "dep_delay"
    ),
    models={"linear": linear},
    champion="linear",
    baseline=lambda e: e.dep_delay,
    target="label - baseline",
    metric="mae",
    limits=(-120, 1500),
    interval=0.9,
    contributions=0,
    horizon=hours(24),
    kpi=Kpi(
        lambda e, o, prediction: abs(prediction - o.arr_delay),
        unit="min",
        better="lower",
        range=(0, 540),
    ),
    partitions=int(os.environ.get("BENCH_PARTITIONS", "4")),
    # As its peers and earlier figures, unless a benchmark is about shared models.
    learning="shared" if os.environ.get("BENCH_LEARNING") == "shared" else "partition",
)
