"""How late will this flight arrive? Asked when the aircraft leaves its gate in New York.

Event: a departure. Outcome: the arrival at the gate, hours later; a diverted flight has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field
from river import compose, linear_model, optim, preprocessing

from models.durations import days, hours, minutes
from models.usecase import Contest, Kpi, Promotion, Segments, UseCase
from models.windows import over_events, over_outcomes
from schemas.inputs import Event, Outcome
from usecases.data import nycflights


class Departure(Event):
    """An aircraft has left its gate."""

    origin: str = Field(description="IATA code of the airport: EWR, JFK or LGA.")
    dest: str = Field(description="IATA code of the destination.")
    carrier: str = Field(description="Two-letter code of the airline.")
    flight: int = Field(description="Flight number; a name, not an amount.")
    hour: int = Field(ge=0, le=23, description="Scheduled hour of departure, local.")
    weekday: int = Field(ge=0, le=6, description="0 is Monday.")
    block: int = Field(description="Scheduled minutes from gate to gate.")
    distance: int = Field(description="Miles.")
    dep_delay: int = Field(description="Minutes late at the gate; negative is early.")


class Arrival(Outcome):
    """The aircraft has reached its gate."""

    arr_delay: int = Field(description="Minutes late; negative is early.")
    air_time: int | None = Field(default=None, description="Minutes in the air.")


def gain(e: Departure, o: Arrival, x: Mapping[str, Any]) -> float:
    """Minutes lost between the gates."""
    return o.arr_delay - e.dep_delay


FEATURES = {
    **Departure.fields("origin", "dest", "carrier", "hour", "block", "dep_delay"),
    "queue": over_events(by="origin", last=minutes(30)).count(),
    "route": over_outcomes(by=("origin", "dest"), half_life=days(20)).mean(gain, empty=0.0),
    "usual": over_outcomes(by=("origin", "carrier", "flight", "dest"), half_life=days(20)).mean(
        gain, prior="route", weight=4
    ),
    "now": over_outcomes(by="origin", last=hours(2)).mean(
        lambda e, o, x: gain(e, o, x) - x["usual"], empty=0.0, weight=1
    ),
}


def linear() -> Any:
    """A linear model under absolute loss: what the error is measured in."""
    numbers = compose.SelectType(int, float) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True)
    model = linear_model.LinearRegression(optim.AdaGrad(0.3), loss=optim.losses.Absolute())
    return (numbers + names) | model


def cost(e: Departure, o: Arrival, said: float) -> float:
    """USD."""
    return abs(said - o.arr_delay) * 1.0


def recorded() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The departures and arrivals of 2013, in the order in which they became known."""
    return nycflights.flights()


FLIGHT_ETA = UseCase(
    name="flight_eta",
    owner="operations@example.com",
    event=Departure,
    outcome=Arrival,
    key="origin",
    label=lambda e, o: o.arr_delay,
    features=FEATURES,
    models={"adagrad": linear},
    champion="adagrad",
    baseline=lambda e: e.dep_delay,
    learns="label - baseline",
    metric="mae",
    limits=(-120, 1500),
    interval=0.9,
    horizon=hours(24),
    kpi=Kpi(cost, unit="USD", better="lower", range=(0, 540)),
    segments=Segments("carrier", limit=50),
    contest=Contest(shadow=1.0, acts_on_outcome=False),
    promotion=Promotion("manual", after=5_000, margin=0.02, guard="mae"),
    targets={"mae": 11.5, "freshness": minutes(30)},
    recorded=recorded,
)
