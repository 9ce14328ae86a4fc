"""Commands that operators and the decider send to every partition of a use case."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Base64Bytes, Field

from schemas.events import InputRecord, UtcTime

Verb = Literal[
    "promote", "rollback", "freeze", "unfreeze", "experiment", "drain", "retire", "reset",
    "release", "deliver", "set-watermark", "skip"
]  # fmt: skip


class ModelState(InputRecord):
    """A model's earlier state, which a `rollback` restores."""

    as_of: str = Field(description="The log position that it is of: PARTITION/STEP.")
    definition: str = Field(description="The definition that it was made for.")
    chunks: int = Field(ge=1, description="Number of chunks sent before.")
    signature: str = Field(description="HMAC-SHA256 of its position and the state, hexadecimal.")


class StateChunk(InputRecord):
    """A part of such a state; they come in their order, before the `rollback`."""

    of: str = Field(min_length=1, description="The id of the `rollback` that it is for.")
    number: int = Field(ge=0, description="Its number, from 0.")
    state: Base64Bytes = Field(description="Compressed pickle, base64.")


class RecordPosition(InputRecord):
    """A record of an input, on the partition that the command is sent to."""

    input: Literal["events", "outcomes", "commands", "history"] = Field(
        description="The input that it is on."
    )
    offset: int = Field(ge=0, description="Its offset there.")


class Command(InputRecord):
    """An action of an operator or the decider, sent under one id to every partition."""

    command_id: str = Field(min_length=1, max_length=256, description="One id for all partitions.")
    verb: Verb = Field(description="What is to be done.")
    model: str | None = Field(default=None, description="The model it is about, where it has one.")
    who: str = Field(min_length=1, description="Who asked: a person, or `decider`.")
    why: str = Field(min_length=1, description="The reason, for the audit trail.")
    time: UtcTime = Field(description="When it was asked, UTC.")
    share: float | None = Field(
        default=None, description="Share of the units that an experiment's model answers, 0 to 1."
    )
    evidence: dict[str, Any] | None = Field(
        default=None, description="The figures it stands on, if a rule asked."
    )
    event_ids: list[str] | None = Field(
        default=None, max_length=1_000, description="The outcomes to release, by their event."
    )
    watermark: UtcTime | None = Field(
        default=None, description="Where `set-watermark` sets the watermark back to, UTC."
    )
    model_state: ModelState | None = Field(
        default=None, description="What a `rollback` restores; none: the model as it is now."
    )
    chunk: StateChunk | None = Field(default=None, description="What a `deliver` carries.")
    record: RecordPosition | None = Field(default=None, description="What a `skip` sets aside.")
