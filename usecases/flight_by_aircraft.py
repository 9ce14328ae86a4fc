"""How late will this flight arrive? The same question as flight_eta's, with the aircraft as key.

Whoever publishes departures by aircraft, as airlines do, has an airport's flights on all
partitions. The windows by airport and route are then shared, and one model learns from all flights,
however many partitions there are. Beside what flight_eta knows there is what this aircraft did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from riverrun import days, over_outcomes
from usecases import flight_eta
from usecases.data import nycflights
from usecases.flight_eta import FEATURES, Departure, gain, half_hour

NAMELESS = "unknown"


class AircraftDeparture(Departure):
    """An aircraft has left its gate."""

    tailnum: str = Field(description="Registration of the aircraft.")


def recorded() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return the departures and arrivals of 2013, in the order in which they became known."""
    for kind, fields in nycflights.flights():
        named = kind == "outcome" or fields["tailnum"] is not None
        yield kind, fields if named else {**fields, "tailnum": NAMELESS}


FLIGHT_BY_AIRCRAFT = replace(
    flight_eta.FLIGHT_ETA,  # by its module: a file holds one use case
    name="flight_by_aircraft",
    event=AircraftDeparture,
    key="tailnum",
    features={
        **FEATURES,
        # One model weighs all airports, so it is told which one it is, also by time of day.
        **AircraftDeparture.fields("origin"),
        "dest_of": lambda e: f"{e.origin} {e.dest}",
        "slot_of": lambda e: f"{e.origin} {half_hour(e)}",
        "carrier_of": lambda e: f"{e.origin} {e.carrier}",
        # What this aircraft made up or lost on its last flights.
        "aircraft": over_outcomes(by="tailnum", half_life=days(5)).mean(gain, empty=-5.0, weight=3),
    },
    segments=None,
    partitions=16,
    learning="shared",
    recorded=recorded,
)
