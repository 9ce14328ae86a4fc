"""The input records of producers: events and outcomes, each one pydantic model.

A use case's own event and outcome are subclasses that add fields. Values are JSON; times are UTC
with a zone (`2013-01-01T10:17:00Z`). Fields that a model does not declare are tolerated, since a
topic may be shared and may grow: `class Mine(Event, extra="forbid")` refuses them instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas.printable import CONTROL, without_controls

YEARS = range(1900, 2200)


def _as_utc(time: datetime) -> datetime:
    if time.year not in YEARS:
        raise ValueError(f"the year {time.year} is outside {YEARS.start} to {YEARS.stop - 1}")
    return time if time.tzinfo is UTC else time.astimezone(UTC)


UtcTime = Annotated[AwareDatetime, AfterValidator(_as_utc)]
"""A time with a zone, kept as UTC."""

EventId = Annotated[
    str,
    Field(min_length=1, max_length=256, json_schema_extra={"pattern": f"^[^{CONTROL}]*$"}),
    AfterValidator(without_controls),
]
"""An id: printable text, since it is typed at terminals, copied into command lines and logged."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an event, taken as a feature as it is."""

    name: str

    def __call__(self, event: Any) -> Any:
        """Return the field's value."""
        return getattr(event, self.name)


class InputRecord(BaseModel):
    """Any record on a topic: immutable, strict about types, NaN and infinity refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, ser_json_inf_nan="null"
    )


class Event(InputRecord):
    """A question to the model. Subclass it with the fields that the use case knows at that time."""

    event_id: EventId = Field(description="Unique within the use case's memory.")
    event_time: UtcTime = Field(description="When it happened, by the producer's clock, UTC.")

    @classmethod
    def fields(cls, *names: str) -> dict[str, Any]:
        """Return those fields as features of the same names; `riverrun check` reports unknown ones.

        >>> Event.fields("event_id")
        {'event_id': Column(name='event_id')}
        """
        return {name: Column(name) for name in names}


class Outcome(InputRecord):
    """What turned out to be true of one event. Subclass it with label and KPI inputs."""

    event_id: EventId = Field(description="The event that it answers.")
    outcome_time: UtcTime = Field(description="When the outcome was known, UTC.")
