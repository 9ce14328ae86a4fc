"""Features of the time that people live by: hour, weekday and holiday in a zone.

An event's times are UTC, whatever zone was sent; an airport's rush hour is not. The zone is one for
all events (`zone="Europe/Berlin"`) or in a field of each (`zone_field="airport_zone"`), by its IANA
name. Days and hours are those of the clock on the wall, across changes to summer time.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from schemas.errors import ConfigError

Part = Literal["hour", "weekday", "holiday"]


@dataclass(frozen=True, slots=True)
class LocalTime:
    """One feature of an event's local time; made by `local_hour`, `weekday` or `is_holiday`."""

    part: Part
    zone: str | None
    zone_field: str | None
    time_field: str
    dates: Container[date] = field(default=(), repr=False)

    def __call__(self, event: Any) -> int | bool | None:
        """Return the value for `event`; None where the event has no such time or no zone.

        Raises `ZoneInfoNotFoundError` or `ValueError` for a zone that there is not.
        """
        time: datetime | None = getattr(event, self.time_field)
        zone = self.zone if self.zone_field is None else getattr(event, self.zone_field)
        if time is None or zone is None:
            return None
        local = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(ZoneInfo(zone))
        if self.part == "hour":
            return local.hour
        return local.weekday() if self.part == "weekday" else local.date() in self.dates

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the names of the event's fields that it reads."""
        return (self.time_field, *(() if self.zone_field is None else (self.zone_field,)))


def local_hour(
    *, zone: str | None = None, zone_field: str | None = None, time_field: str = "event_time"
) -> LocalTime:
    """Make a feature of the hour, 0 to 23, that the clock on the wall shows.

    >>> from types import SimpleNamespace
    >>> noon = SimpleNamespace(event_time=datetime(2024, 7, 1, 12, tzinfo=UTC), tz="Asia/Kolkata")
    >>> local_hour(zone="Europe/Berlin")(noon), local_hour(zone_field="tz")(noon)
    (14, 17)
    """
    return _made("hour", zone, zone_field, time_field)


def weekday(
    *, zone: str | None = None, zone_field: str | None = None, time_field: str = "event_time"
) -> LocalTime:
    """Make a feature of the local day of the week: 0 is Monday, 6 is Sunday."""
    return _made("weekday", zone, zone_field, time_field)


def is_holiday(
    dates: Container[date],
    *,
    zone: str | None = None,
    zone_field: str | None = None,
    time_field: str = "event_time",
) -> LocalTime:
    """Make a feature that is True where the local day is one of `dates`.

    `dates` is whatever `date in dates` may be asked of: a set that is read from a file, or
    `holidays.country_holidays("DE")` of the package of that name.

    >>> from types import SimpleNamespace
    >>> eve = SimpleNamespace(event_time=datetime(2024, 12, 24, 23, 30, tzinfo=UTC))
    >>> is_holiday({date(2024, 12, 25)}, zone="Europe/Berlin")(eve)
    True
    """
    return _made("holiday", zone, zone_field, time_field, dates)


def _made(
    part: Part,
    zone: str | None,
    zone_field: str | None,
    time_field: str,
    dates: Container[date] = (),
) -> LocalTime:
    if (zone is None) == (zone_field is None):
        raise ConfigError(
            f"A feature of the local {part} needs a zone, or the field that has it; one of both.",
            hint='Write zone="Europe/Berlin", or zone_field="airport_zone".',
        )
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, LookupError) as error:
            raise ConfigError(
                f"There is no time zone {zone!r}.",
                hint='Give an IANA name, such as "Europe/Berlin" or "UTC".',
            ) from error
    return LocalTime(part, zone, zone_field, time_field, dates)
