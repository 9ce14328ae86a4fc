"""What the learner of shared models reads and writes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from schemas.records.output_record import OutputRecord, Scalar

Key = Scalar | None | list[Scalar | None]
"""A window's key."""


TableRow = tuple[str, str, float, dict[str, Any] | None]


class Training(OutputRecord):
    """What the learner of shared models needs of an example besides what the example says."""

    clock_s: float = Field(
        description="The partition's time when the label was known, seconds since 1970, UTC: the "
        "latest of all its records, each at most a second after its Kafka timestamp."
    )
    errors: dict[str, float] = Field(
        description="What was lost by `served`, `baseline` and each model that was asked."
    )
    kpi: dict[str, float] = Field(
        description="The KPI of each, in its unit; empty where a default label has none."
    )
    learner: str | None = Field(
        default=None, description="The only model that learns it; null: every model."
    )
    definition: str = Field(description="The partition's definition when the label was known.")


class Roles(OutputRecord):
    """Which of the shared models answers where, as the learner has decided."""

    champion: str
    before: list[str] = Field(description="Champions before, the last one last.")
    frozen: bool = Field(description="True while promotions are refused.")
    experiment: dict[str, float] = Field(description="Model to its share of the units.")
    retired: list[str]
    faults: dict[str, str] = Field(description="Model to why its breaker is open.")
    limits: tuple[float, float] | None = Field(
        description="What a model may predict where nothing is declared, by the labels so far."
    )


class Version(OutputRecord):
    """A model's state, which is in the record's headers."""

    model: str
    generation: int = Field(description="Raised when the model starts over or is replaced.")
    trained_on: int = Field(description="Examples that it has learnt.")


class ModelUpdate(OutputRecord):
    """A version of a shared model, or only what changed in the models' roles."""

    number: int = Field(description="Dense number of this record, from 0.")
    seq: int = Field(description="The learner's journal entry that published it.")
    step: int = Field(description="Records that the learner had applied.")
    clock_s: float | None = Field(
        description="The latest `training.clock_s` that it learnt: no partition uses it before."
    )
    roles: Roles
    version: Version | None
    windows: (
        list[tuple[float, str, Key, Scalar] | tuple[float, str, Key, Scalar | None, Scalar]] | None
    ) = Field(
        default=None,
        description="What windows that all partitions share count next, in that order: time in "
        "seconds since 1970 UTC, window, key and value, and the value whose place it takes, if "
        "any; value null: nothing takes it. A key of several fields is a list.",
    )
    tables: list[TableRow] | None = Field(
        default=None, description="Rows of reference tables that have changed, as on `table-rows`."
    )
    definition: str


class TableRows(OutputRecord):
    """Rows of reference tables that have changed."""

    rows: list[TableRow] = Field(
        description="Table, key, the time from which it counts (seconds since 1970, UTC) and the "
        "row; null: there is none any more."
    )


class WindowEntries(OutputRecord):
    """What one record adds to windows that all partitions share."""

    clock_s: float = Field(
        description="The partition's time then, seconds since 1970, UTC, as in `training.clock_s`."
    )
    time_s: float = Field(description="The record's own time, seconds since 1970, UTC.")
    entries: list[tuple[str, Key, Scalar] | tuple[str, Key, Scalar | None, Scalar]] = Field(
        description="Window, key and value of each, and the value whose place it takes, if any; "
        "value null: nothing takes it. A key of several fields is a list."
    )
    definition: str
    step: int = Field(description="Records that the partition had applied.")
    partition: int
