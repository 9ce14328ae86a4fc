"""The record of a definition: a use case's source, its lookup files, and what they ran on."""

from __future__ import annotations

from pydantic import Field

from schemas.records.output_record import OutputRecord


class DefinitionFile(OutputRecord):
    """A file that a use case's file read while it was run, such as a price list."""

    name: str = Field(description="As it was opened, or relative to the use case's folder.")
    sha256: str
    path: str = Field(description="Where it was when a worker began.")
    content: str | None = Field(
        description="Base64 of the zlib-compressed content; none: published before, too large, or "
        "in no folder of the use case."
    )


class Definition(OutputRecord):
    """A use case as it was when it ran, so that an older prediction can be verified."""

    use_case: str
    definition: str = Field(description="The hash that journal entries name.")
    file: str
    source: str
    python: str
    river: str
    riverrun: str
    runtime: str = Field(description="What the hash is of besides the source and the files.")
    files: list[DefinitionFile] = Field(description="Lookup files; the hash is of them, too.")
    lock: str = Field(description="The installed distributions, `name==version` a line.")
