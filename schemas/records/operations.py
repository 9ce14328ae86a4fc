"""Records about operation: lifecycle, alerts, dead letters and the journal."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from schemas.records.output_record import OutputRecord


class Lifecycle(OutputRecord):
    """A model or a partition changed its state: who, when, why."""

    use_case: str
    partition: int
    model: str
    segment: str | None = None
    from_state: str | None
    to_state: str
    cause: Literal["definition", "operator", "rule", "safeguard", "limit"]
    who: str
    why: str
    command_id: str | None = None
    evidence: dict[str, Any] | None = None
    event_time: AwareDatetime | None = Field(description="The watermark when it was applied.")
    step: int


class Alert(OutputRecord):
    """Something an operator should know: opened once, closed by itself."""

    alert_id: str = Field(description="The same for its opening and its closing.")
    use_case: str
    rule: str = Field(description="Which rule raised it.")
    subject: str = Field(description="What it is about: a partition, feature, model or target.")
    state: Literal["open", "closed"]
    severity: Literal["notice", "warning", "alarm"]
    cause: str = Field(description="What was seen, with its figures.")
    command: str = Field(description="The command that looks further or answers it.")
    opened_at: AwareDatetime = Field(description="By the monitor's clock, UTC.")
    closed_at: AwareDatetime | None = None


class DeadLetter(OutputRecord):
    """A record that could not be used, as it came; the cause is in the record's headers too."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key_base64: str | None
    value_base64: str | None = Field(description="The original bytes, cut at 512 KiB.")
    value_bytes: int = Field(description="How long the original was.")
    headers: list[tuple[str, str]] = Field(description="Name and base64 value, in their order.")
    stage: Literal[
        "read", "event", "outcome", "command", "model", "example", "entries", "rows", "source"
    ]
    error_class: str
    error: str = Field(description="What is wrong and what to do.")
    traceback: str | None = Field(
        default=None, description="Where `apply` failed, of a record that was set aside."
    )
    step: int


class Redefined(OutputRecord):
    """A new definition was begun, deliberately: how, by whom and why."""

    before: str = Field(description="The definition until then.")
    how: Literal["warm", "keep", "clean"] = Field(description="What became of the state.")
    who: str
    why: str
    time: AwareDatetime = Field(description="When it was asked, UTC.")


class SkippedRecord(OutputRecord):
    """A record that was set aside and not applied: by whom, why, and how `apply` had failed."""

    input: int = Field(description="0 events, 1 outcomes, 2 commands, 3 history.")
    offset: int
    who: str
    why: str
    command_id: str | None = Field(description="The `skip` that asked for it; none: `skip_after`.")
    error: str | None
    traceback: str | None


class JournalEntry(OutputRecord):
    """One committed batch: which runs of which input were applied, in which order."""

    seq: int = Field(description="Dense number of this entry, from 0.")
    step: int = Field(description="Records applied up to and with this entry.")
    runs: list[tuple[int, int, int, int]] = Field(
        description="input (0 events, 1 outcomes, 2 commands, 3 history), first offset, count, next"
    )
    next: list[int] = Field(description="Offset of the next record of each input; -1: none yet.")
    marks: list[int] = Field(
        description="CRC-32 of the record before `next` of each input; -1: none was taken."
    )
    partitions: int = Field(description="How many partitions the topics had then.")
    definition: str = Field(description="Hash of the use case's definition that applied them.")
    clock_s: float | None = Field(
        default=None, description="Where models are shared: the time reached, seconds, UTC."
    )
    updates: int | None = Field(
        default=None,
        description="Of the learner: how many records of `models` it has published by then.",
    )
    inputs: list[tuple[str, int]] | None = Field(
        default=None, description="Of the relay: topic and partition of each input."
    )
    redefined: Redefined | None = Field(
        default=None, description="This entry began that definition; it has no runs."
    )
    restored: list[str] | None = Field(
        default=None, description="Commands in it that restored a model's earlier state."
    )
    skipped: list[SkippedRecord] | None = Field(
        default=None, description="Records of its runs that were set aside, not applied."
    )
