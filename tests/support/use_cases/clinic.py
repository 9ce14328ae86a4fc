"""A small use case whose recordings are written by tests in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from river import linear_model

from models.spec.use_case import Kpi, UseCase
from models.values.durations import hours
from schemas.events import Event, Outcome
from schemas.personal_data import Personal
from streams.recordings import FileFormat, Recording, recording_of


class Visit(Event):
    """A patient comes."""

    ward: str
    age: float
    beds: int
    urgent: bool = False
    origin: str | None = None
    weight: float | None = None
    staff: int = Field(default=1, alias="staff-on-duty")
    income: Annotated[float | None, Personal] = None


class Stay(Outcome):
    """The patient leaves."""

    nights: float


CLINIC = UseCase(
    name="clinic",
    owner="ward@example.com",
    event=Visit,
    outcome=Stay,
    key="ward",
    label=lambda event, outcome: outcome.nights,
    features=Visit.fields("age", "beds"),
    models={"linear": linear_model.LinearRegression},
    champion="linear",
    baseline=lambda event: 2.0,
    metric="mae",
    kpi=Kpi(
        lambda event, outcome, prediction: abs(outcome.nights - prediction),
        unit="nights",
        better="lower",
        range=(0, 60),
    ),
    horizon=hours(48),
    warmup=5,
    partitions=1,
)
HEADER = "event_id,event_time,ward,age,beds,outcome_time,nights"


def row(number: int, **cells: str) -> str:
    """A line of CSV: one visit and its stay, `number` hours after midnight."""
    values = {
        "event_id": f"v{number}",
        "event_time": f"2024-05-01T{number:02}:00:00Z",
        "ward": "west",
        "age": f"{number}.5",
        "beds": "12",
        "outcome_time": f"2024-05-01T{number:02}:45:00Z",
        "nights": "2.5",
    }
    return ",".join((values | cells).values())


def table(*rows: str, header: str = HEADER) -> str:
    """A whole CSV file; without rows, of four visits."""
    return "\n".join([header, *(rows or map(row, range(4)))]) + "\n"


def visit(number: int, **fields: Any) -> dict[str, Any]:
    """A visit and its stay as one JSON object."""
    return {
        "event_id": f"v{number}",
        "event_time": f"2024-05-01T{number:02}:00:00+00:00",
        "ward": "west",
        "age": number + 0.5,
        "beds": 12,
        "outcome_time": f"2024-05-01T{number:02}:45:00+00:00",
        "nights": 2.5,
    } | fields


def opened(
    *sources: Path | str, outcomes: Sequence[Path | str] = (), limit: int | None = None, **how: Any
) -> Recording:
    """The recording in files, read with those options."""
    return recording_of(
        CLINIC,
        [str(source) for source in sources],
        [str(source) for source in outcomes],
        lambda topic: [],
        limit,
        FileFormat(**how),
    )


def events(recording: Recording) -> list[dict[str, Any]]:
    """The events of a recording."""
    return [dict(fields) for kind, fields in recording if kind == "event"]


def ids(recording: Recording, kind: str = "event") -> list[str]:
    """The ids of its events or outcomes, in their order."""
    return [fields["event_id"] for each, fields in recording if each == kind]


def faults(recording: Recording) -> list[str]:
    """What is told of records that were left out."""
    return [str(fault) for fault in recording.report.faults]
