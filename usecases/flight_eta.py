"""How late will this flight arrive? Asked when the aircraft leaves its gate in New York.

Event: a departure. Outcome: the arrival at the gate, hours later; a diverted flight has none.

The idea: a flight makes up or loses time against its schedule (its gain) in the air and on the
ground. Each part has what is usual on this route and what is different just now; one linear model
an airport weighs them, and learns only what the naive answer, as late as it left, gets wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import cos, radians, sin
from numbers import Number
from typing import Any

from pydantic import Field
from river import compose, linear_model, optim, preprocessing, tree

from riverrun import (
    Contest,
    Event,
    Kpi,
    Outcome,
    Price,
    Promotion,
    Segments,
    UseCase,
    days,
    hours,
    minutes,
    over_events,
    over_outcomes,
)
from usecases.data import nycflights


class Departure(Event):
    """An aircraft has left its gate."""

    origin: str = Field(description="IATA code of the airport: EWR, JFK or LGA.")
    dest: str = Field(description="IATA code of the destination.")
    carrier: str = Field(description="Two-letter code of the airline.")
    flight: int = Field(description="Flight number; a name, not an amount.")
    minute_of_day: int = Field(ge=0, lt=1440, description="Scheduled departure, local.")
    block: int = Field(description="Scheduled minutes from gate to gate.")
    distance: int = Field(description="Miles.")
    dep_delay: int = Field(description="Minutes late at the gate; negative is early.")
    temp: float | None = Field(default=None, description="Last filed at the origin, in °F.")
    wind_dir: float | None = Field(default=None, description="Degrees, 90 is from the east.")
    wind_speed: float | None = Field(default=None, description="Miles an hour.")
    precip: float | None = Field(default=None, description="Inches in the hour.")
    pressure: float | None = Field(default=None, description="Hectopascal at sea level.")
    visib: float | None = Field(default=None, description="Miles.")


class Arrival(Outcome):
    """The aircraft has reached its gate."""

    arr_delay: int = Field(description="Minutes late; negative is early.")
    air_time: int = Field(description="Minutes in the air.")


REGIONS = {
    "west": "ANC BUR HNL LAS LAX LGB OAK PDX PHX PSP SAN SEA SFO SJC SLC SMF SNA TUS",
    "mountains": "ABQ BZN DEN EGE HDN JAC MTJ",
    "texas": "AUS BHM DFW HOU IAH JAN LIT MEM MSY OKC SAT TUL XNA",
    "northeast": "ACK ALB BDL BGR BOS BTV BUF CAK MHT MVY PVD PWM ROC SYR",
    "south": "ATL AVL BNA BQN BWI CAE CHO CHS CLT DCA EYW FLL GSO GSP IAD ILM JAX MCO MIA MYR ORF "
    "PBI PHL PSE RDU RIC RSW SAV SDF SJU SRQ STT TPA TYS",
}
REGION_OF = {airport: name for name, airports in REGIONS.items() for airport in airports.split()}


def half_hour(e: Departure) -> str:
    """Return the local half hour in which it leaves the gate, as a name."""
    return f"s{(e.minute_of_day + e.dep_delay) % 1440 // 30}"


def gain(e: Departure, o: Arrival, x: Mapping[str, float]) -> float:
    """Return the minutes lost between the gates; what is to be predicted."""
    return o.arr_delay - e.dep_delay


def ground(e: Departure, o: Arrival, x: Mapping[str, float]) -> float:
    """Return the minutes of taxiing at both ends."""
    return e.block + gain(e, o, x) - o.air_time


def ground_more(e: Departure, o: Arrival, x: Mapping[str, float]) -> float:
    """Return the taxiing beyond what is usual on the route."""
    return ground(e, o, x) - x["ground"]


def ground_rest(e: Departure, o: Arrival, x: Mapping[str, float]) -> float:
    """Return the taxiing beyond what is usual on the route, for the airline and the time of day."""
    return ground_more(e, o, x) - x["ground_carrier"]


ROUTE = ("origin", "dest")
FEATURES = {
    **Departure.fields("dest", "carrier"),
    "region": lambda e: REGION_OF.get(e.dest, "central"),
    "slot": half_hour,
    # How many left just now: the queue for the runway.
    "queue_10": over_events(by="origin", last=minutes(10)).count(),
    "queue_40": over_events(by="origin", last=minutes(40)).count(),
    "queue_120": over_events(by="origin", last=minutes(120)).count(),
    # In the air: usual on the route, different today, and the wind that way.
    "far": lambda e: 18 + e.distance / 8,
    "air": over_outcomes(by=ROUTE, half_life=days(10)).mean(
        lambda e, o, x: o.air_time, prior="far", weight=0.5
    ),
    "air_now": over_outcomes(by=ROUTE, half_life=hours(5)).mean(
        lambda e, o, x: o.air_time - x["air"], empty=0.0, weight=1
    ),
    "wind_now": over_outcomes(by=("origin", "region"), half_life=hours(2.5)).mean(
        lambda e, o, x: (o.air_time - x["air"]) / x["air"], empty=0.0, weight=2
    ),
    "wind": lambda e, x: x["wind_now"] * x["air"],
    # On the ground: usual on the route, at this time of day, for the airline, and right now.
    "ground": over_outcomes(by=ROUTE, half_life=days(20)).mean(ground, empty=30.0, weight=5),
    "ground_slot": over_outcomes(by=("origin", "slot"), half_life=days(7)).mean(
        ground_more, empty=0.0, weight=5
    ),
    "ground_carrier": over_outcomes(by=("origin", "carrier", "slot"), half_life=days(10)).mean(
        ground_more, prior="ground_slot", weight=5
    ),
    "ground_now": over_outcomes(by="origin", half_life=minutes(20)).mean(
        ground_rest, empty=0.0, weight=2
    ),
    "ground_lately": over_outcomes(by="origin", half_life=hours(4)).mean(
        ground_rest, empty=0.0, weight=2
    ),
    # This very flight, on other days.
    "usual": over_outcomes(by=("origin", "carrier", "flight", "dest"), half_life=days(20)).mean(
        gain, prior=-5.0, weight=2
    ),
    # All of the parts together, against the schedule.
    "sum": lambda e, x: (
        x["air"] + x["air_now"] + x["ground"] + x["ground_carrier"] + x["ground_lately"] - e.block
    ),
    # The weather at the origin, as last filed before it left.
    "wind_east": lambda e: (e.wind_speed or 0.0) * sin(radians(e.wind_dir or 0.0)),
    "wind_north": lambda e: (e.wind_speed or 0.0) * cos(radians(e.wind_dir or 0.0)),
    "fog": lambda e: float(e.visib is not None and e.visib < 3),
    "snow": lambda e: float((e.precip or 0.0) > 0 and e.temp is not None and e.temp <= 34),
    "pressure": lambda e: 0.0 if e.pressure is None else e.pressure - 1017.0,
}


def linear() -> Any:
    """Make a linear model under absolute loss, which is what the error is measured in."""
    numbers = compose.SelectType(Number) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder(drop_zeros=True)
    return (numbers + names) | linear_model.LinearRegression(
        optimizer=optim.AdaGrad(0.5), loss=optim.losses.Absolute(), intercept_lr=0.01
    )


def trees() -> Any:
    """Make one growing tree; leaves that predict means cannot run away."""
    return compose.SelectType(Number) | tree.HoeffdingTreeRegressor(
        grace_period=1000, max_depth=6, leaf_prediction="mean", splitter=tree.splitter.QOSplitter()
    )


EARLIER_USD, LATER_USD, MINUTES_MAX = 9.0, 4.0, 60.0


def cost(e: Departure, o: Arrival, prediction: float) -> float:
    """Return the cost of a wrong arrival time, USD a flight.

    An aircraft that comes earlier than told may find neither gate nor crew, in one minute out of
    eight perhaps, and then burns a block minute: 74.24 USD in 2019 by Airlines for America's count
    from DOT Form 41, so 9 USD a minute. One that comes later than told keeps a ramp crew of
    six (3 USD a minute) and a share of a gate (1 USD) waiting: 4 USD a minute. After an hour all
    is planned again. The one in eight, the crew's rate and the hour are assumptions: put in yours.
    """
    early, late = prediction - o.arr_delay, o.arr_delay - prediction
    return EARLIER_USD * min(max(early, 0.0), MINUTES_MAX) + LATER_USD * min(
        max(late, 0.0), MINUTES_MAX
    )


def recorded() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the departures and arrivals of 2013, in the order in which they became known."""
    return nycflights.flights()


FLIGHT_ETA = UseCase(
    name="flight_eta",
    owner="operations@example.com",
    event=Departure,
    outcome=Arrival,
    key="origin",
    label=lambda e, o: o.arr_delay,
    features=FEATURES,
    internal_features=("carrier", "region", "far", "air", "air_now", "wind_now"),
    models={"adagrad": linear, "trees": trees},
    champion="adagrad",
    baseline=lambda e: e.dep_delay,
    target="label - baseline",
    # A day of an airport's flights. Before, "usual" and "ground_slot" have never moved, so that a
    # standard deviation of next to nothing makes a hundred of a minute (measured: -126 minutes).
    warmup=300,
    metric="mae",
    limits=(-120, 1500),
    interval=0.9,
    horizon=hours(24),
    learning="partition",  # until the demo is measured with shared models (docs/adr/0111)
    kpi=Kpi(cost, unit="USD", better="lower", range=(0, 540)),
    segments=Segments("carrier", limit=50),
    contest=Contest(shadow=1.0, acts_on_outcome=False),
    promotion=Promotion("manual", after=5_000, margin=0.02, guard="mae"),
    targets={"mae": 11.5, "freshness": minutes(30)},
    price=Price(per_cpu_hour=0.05, per_day=10.0),  # two small machines, with Kafka and Redis
    recorded=recorded,
)
