"""The input and output of rules: one use case at one time of the monitor's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.monitor.store.view_models import (
    ClosedBlock,
    DeadLetterGroup,
    Delivery,
    DriftRow,
    LearnerRow,
    Overview,
    PartitionRow,
    Sample,
    Score,
    StateChange,
)

Severity = Literal["notice", "warning", "alarm"]

LIMITS: Mapping[str, float] = {
    "kpi_margin": 0.02,
    "kpi_least": 500,
    "target_margin": 0.02,
    "drift_s": 21_600,
    "safeguard_s": 3_600,
    "withheld_share": 0.01,
    "withheld_least": 10,
    "labels_s": 0,
    "late_share": 0.05,
    "late_least": 50,
    "late_s": 3_600,
    "lag_records": 20_000,
    "dead_letter_share": 0.01,
    "dead_letter_least": 10,
    "dead_letter_s": 600,
    "stuck_s": 60,
    "gone_s": 30,
}
"""Thresholds of rules; RIVERRUN_ALERT_LIMITS changes any. `labels_s` 0: from the horizon."""


def parse_limits(text: str) -> dict[str, float]:
    """Return `LIMITS` with the changes of `name=value, …`; raise `ConfigError` if unknown.

    >>> parse_limits("lag_records=5e4, gone_s=30")["lag_records"]
    50000.0
    """
    limits = dict(LIMITS)
    for part in text.replace(",", " ").split():
        name, separator, value = part.partition("=")
        try:
            if not separator or name not in limits:
                raise ValueError
            limits[name] = float(value)
        except ValueError:
            raise ConfigError(
                f"RIVERRUN_ALERT_LIMITS: {part!r} is not a limit.",
                hint=f"Write name=value with one of: {', '.join(LIMITS)}.",
            ) from None
    return limits


class Observation(NamedTuple):
    """A condition that a rule observed for a subject."""

    subject: str
    cause: str
    opens: bool = True
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class AlertContext:
    """Everything that rules look at, of one use case at one time of the monitor's clock."""

    use_case: UseCase
    now_s: float
    limits: Mapping[str, float]
    overview: Overview
    partitions: tuple[PartitionRow, ...]
    drift: tuple[DriftRow, ...]
    lifecycle: tuple[StateChange, ...]
    letters: tuple[DeadLetterGroup, ...]
    samples: tuple[Sample, ...]
    closed_blocks: tuple[ClosedBlock, ...] = ()
    delivery: Delivery | None = None
    scores: Mapping[str, Score] = field(default_factory=dict)
    learner: LearnerRow | None = None

    def age_s(self, time: str) -> float:
        """Return the age of `time` in seconds, by the monitor's clock."""
        return self.now_s - datetime.fromisoformat(time).timestamp()

    def since(self, seconds: float) -> tuple[Sample, ...]:
        """Return the samples of the last `seconds`."""
        return tuple(sample for sample in self.samples if self.age_s(sample.time) <= seconds)
