"""Hour, weekday and holiday are those of the clock on the wall, where the event happened."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest

from models.spec.personal_data import masking_of
from models.validation import mistakes
from riverrun import ConfigError, Event, holiday_dates, is_holiday, local_hour, weekday
from schemas.personal_data import Personal
from tests.support.one_partition import Partition, use_case
from tests.support.use_cases.declared_shop import SOURCE, declared


class Landing(Event):
    """An aircraft lands."""

    shop: str
    zone: str | None = None
    scheduled: datetime | None = None


def landing(time: str, **fields: Any) -> Landing:
    """One at a time that is written in any zone."""
    moment = datetime.fromisoformat(time).astimezone(UTC)
    return Landing(event_id="e", event_time=moment, shop="a", **fields)


@pytest.mark.parametrize(
    ("time", "zone", "hour", "day"),
    [
        ("2024-03-31T00:59:59+00:00", "Europe/Berlin", 1, 6),  # the last second of winter time
        ("2024-03-31T01:00:00+00:00", "Europe/Berlin", 3, 6),
        ("2024-10-27T00:30:00+00:00", "Europe/Berlin", 2, 6),  # the hour that comes twice
        ("2024-10-27T01:30:00+00:00", "Europe/Berlin", 2, 6),
        ("2024-06-30T20:30:00+00:00", "Asia/Kolkata", 2, 0),  # half an hour off, and Monday
        ("2024-01-01T03:00:00+00:00", "America/New_York", 22, 6),
    ],
)
def test_hour_and_weekday_are_local(time: str, zone: str, hour: int, day: int):
    """By a zone for all and by the event's own, across summer time and midnight."""
    event = landing(time, zone=zone)
    assert local_hour(zone=zone)(event) == local_hour(zone_field="zone")(event) == hour
    assert weekday(zone=zone)(event) == weekday(zone_field="zone")(event) == day


def test_a_holiday_begins_at_local_midnight():
    """Half an hour before Christmas in Greenwich it is Christmas in Berlin."""
    christmas = {date(2024, 12, 25)}
    event = landing("2024-12-24T23:30:00+00:00")
    assert is_holiday(christmas, zone="Europe/Berlin")(event) is True
    assert is_holiday(christmas, zone="UTC")(event) is False


def test_another_time_of_the_event_and_what_it_lacks():
    """`time_field` names it; where there is no time or no zone, the feature is left out."""
    planned = local_hour(zone="UTC", time_field="scheduled")
    scheduled = datetime(2024, 1, 1, 7, tzinfo=UTC)
    assert planned(landing("2024-01-01T09:00:00+00:00", scheduled=scheduled)) == 7
    assert planned(landing("2024-01-01T09:00:00+00:00")) is None
    assert weekday(zone_field="zone")(landing("2024-01-01T09:00:00+00:00")) is None


def test_a_partition_computes_them_and_refuses_a_zone_that_there_is_not():
    """The dead letter names the feature."""
    features = {"hour": local_hour(zone_field="colour"), "day": weekday(zone="UTC")}
    partition = Partition(use_case(features=features, segments=None, slices={}))
    partition.event("e0", 0, colour="Asia/Tokyo")
    partition.event("e1", 1, colour="Europe/Nowhere")
    assert [row["features"] for row in partition.of("features")] == [{"hour": 9, "day": 2}]
    assert "feature 'hour' failed" in partition.of("dead-letter")[0]["error"]


def test_a_zone_is_declared_once_and_exists():
    """It is found where the file is read, with what to write."""
    for wrong in ({}, {"zone": "UTC", "zone_field": "zone"}, {"zone": "Europe/Nowhere"}):
        with pytest.raises(ConfigError) as error:
            local_hour(**wrong)
        assert "Europe/Berlin" in error.value.hint


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('local_hour(zone_field="nothing")', "not a field of Asked"),
        ('local_hour(zone="UTC", time_field="price")', "no time"),
    ],
)
def test_a_field_that_is_none_is_found(expression: str, reason: str):
    """Zone and time must be fields of the event, and the time a time."""
    source = SOURCE.replace("lambda event: event.event_time.hour", expression)
    source = source.replace(
        "\nfrom river import", "\nfrom riverrun import local_hour\nfrom river import"
    )
    (mistake,) = mistakes(declared(source), source)
    assert reason in mistake.reason


def test_the_hour_of_a_personal_time_is_personal():
    """It reads the marked field, though no code names it."""

    class Visit(Landing):
        """A visit to a doctor."""

        admitted: Annotated[datetime, Personal]

    features = {"hour": local_hour(zone="UTC", time_field="admitted"), "day": weekday(zone="UTC")}
    case = use_case(event=Visit, features=features, segments=None, slices={})
    assert masking_of(case).features == {"hour"}


def test_holidays_of_a_country_come_from_a_file_that_is_written_once(tmp_path: Path):
    """The package writes it; from then on the file alone is read, whatever a package says."""
    pytest.importorskip("holidays")
    file = tmp_path / "holidays-DE-BE.txt"
    known = holiday_dates("DE", subdivision="BE", file=file)
    assert date(2024, 12, 25) in known
    assert date(2024, 3, 8) in known  # of Berlin alone
    file.write_text("2024-01-02\n")
    assert holiday_dates("DE", subdivision="BE", file=file) == {date(2024, 1, 2)}
    with pytest.raises(ConfigError, match="does not know 'XX'"):
        holiday_dates("XX", file=tmp_path / "other.txt")


def test_a_file_of_holidays_that_is_none_is_told_in_words(tmp_path: Path):
    """One day a line, or it is made again; without the package the reason says so."""
    file = tmp_path / "days.txt"
    file.write_text("2024-12-25\nChristmas\n")
    with pytest.raises(ConfigError, match=r"days\.txt is no list of days"):
        holiday_dates("DE", file=file)
