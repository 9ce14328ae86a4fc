"""Records about sources: schemas that their records were written with, and ids of events."""

from __future__ import annotations

from pydantic import Field

from schemas.records.output_record import OutputRecord


class SourceSchema(OutputRecord):
    """A schema of a Schema Registry, kept beside the records so that reading them needs none."""

    id: int = Field(description="The number that the registry gave it.")
    type: str = Field(description="AVRO or PROTOBUF.")
    text: str = Field(description="As registered; of PROTOBUF a FileDescriptorSet in base64.")
    references: list[tuple[str, str]] = Field(
        description="Name and text of each schema that it refers to."
    )


class HeldOutcome(OutputRecord):
    """A record of a source that waits for its event."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_base64: str | None
    value_base64: str
    headers: list[tuple[str, str]] = Field(description="Name and value in base64 of each.")


class RelayedId(OutputRecord):
    """What the relay knows of an event's id; a tombstone where that is forgotten."""

    event_id: str
    key: str | None = Field(description="The event's key; null of an outcome that waits for it.")
    time_s: float = Field(description="Event or outcome time, seconds since 1970, UTC.")
    outcome: HeldOutcome | None = Field(description="An outcome that came before its event.")
