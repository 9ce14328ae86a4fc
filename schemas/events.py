"""What comes in: events, outcomes and commands, each one pydantic model.

A use case's own event and outcome are subclasses that add fields. Values are JSON; times are UTC
with a zone (`2013-01-01T10:17:00Z`). Fields that a model does not declare are tolerated, since a
topic may be shared and may grow: `class Mine(Event, extra="forbid")` refuses them instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field

YEARS = range(1900, 2200)


def _as_utc(time: datetime) -> datetime:
    if time.year not in YEARS:
        raise ValueError(f"the year {time.year} is outside {YEARS.start} to {YEARS.stop - 1}")
    return time if time.tzinfo is UTC else time.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_as_utc)]
"""A time with a zone, kept as UTC."""


@dataclass(frozen=True, slots=True)
class Column:
    """One field of an event, taken as a feature as it is."""

    name: str

    def __call__(self, event: Any) -> Any:
        """The field's value."""
        return getattr(event, self.name)


class Travelling(BaseModel):
    """Any record on a topic: immutable, strict about types, NaN and infinity refused."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", allow_inf_nan=False, ser_json_inf_nan="null"
    )


class Event(Travelling):
    """A question to the model. Subclass it with the fields that the use case knows at that time."""

    event_id: str = Field(
        min_length=1, max_length=256, description="Unique within the use case's memory."
    )
    event_time: Moment = Field(description="When it happened, by the producer's clock, UTC.")

    @classmethod
    def fields(cls, *names: str) -> dict[str, Any]:
        """Those fields as features under their own names; `riverrun check` names unknown ones.

        >>> Event.fields("event_id")
        {'event_id': Column(name='event_id')}
        """
        return {name: Column(name) for name in names}


class Outcome(Travelling):
    """What the world answered to one event. Subclass it with the label and what the KPI needs."""

    event_id: str = Field(min_length=1, max_length=256, description="The event that it answers.")
    outcome_time: Moment = Field(description="When the outcome was known, UTC.")


Verb = Literal[
    "promote", "rollback", "freeze", "unfreeze", "experiment", "drain", "retire", "reset",
    "release", "deliver"
]  # fmt: skip


class Parcel(Travelling):
    """A model's state at an earlier place, which a `rollback` puts back."""

    as_of: str = Field(description="The place that it is of: PARTITION/STEP.")
    definition: str = Field(description="The definition that it was made for.")
    pieces: int = Field(ge=1, description="How many pieces were delivered before.")
    seal: str = Field(description="HMAC-SHA256 of what it is of and the state, hexadecimal.")


class Piece(Travelling):
    """A part of such a state; they come in their order, before the `rollback`."""

    of: str = Field(min_length=1, description="The id of the `rollback` that it is for.")
    number: int = Field(ge=0, description="Its number, from 0.")
    state: Base64Bytes = Field(description="Compressed pickle, base64.")


class Command(Travelling):
    """An act of an operator or of the decider, sent under one id to every partition."""

    command_id: str = Field(min_length=1, description="One id for all partitions.")
    verb: Verb = Field(description="What is to be done.")
    model: str | None = Field(default=None, description="The model it is about, where it has one.")
    who: str = Field(min_length=1, description="Who asked: a person, or `decider`.")
    why: str = Field(min_length=1, description="The reason, for the audit trail.")
    time: Moment = Field(description="When it was asked, UTC.")
    share: float | None = Field(
        default=None, description="Share of the units that an experiment's model answers, 0 to 1."
    )
    evidence: dict[str, Any] | None = Field(
        default=None, description="The figures it stands on, if a rule asked."
    )
    event_ids: list[str] | None = Field(
        default=None, max_length=1_000, description="The outcomes to release, by their event."
    )
    parcel: Parcel | None = Field(
        default=None, description="What a `rollback` puts back; none: the model as it is now."
    )
    piece: Piece | None = Field(default=None, description="What a `deliver` brings.")


def field_names(model: type[BaseModel]) -> Iterator[str]:
    """The names that a record of this model carries, in their order."""
    yield from model.model_fields
