"""Records about sources: the schemas that their records were written with."""

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
