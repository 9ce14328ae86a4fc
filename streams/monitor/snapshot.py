"""What rules look at and what they see: one use case at one moment of the monitor's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from models.usecase import UseCase
from schemas.errors import Misdeclared
from streams.monitor.figures import (
    Change,
    Drifted,
    Letters,
    Overview,
    PartitionRow,
    Sample,
    Settled,
)

Severity = Literal["notice", "warning", "alarm"]

LIMITS: Mapping[str, float] = {
    "kpi_margin": 0.02,
    "kpi_least": 500,
    "target_margin": 0.02,
    "drift_s": 21_600,
    "safeguard_s": 3_600,
    "labels_s": 0,
    "lag_records": 20_000,
    "dead_letter_share": 0.01,
    "dead_letter_least": 10,
    "dead_letter_s": 600,
    "stuck_s": 60,
    "gone_s": 30,
}
"""What rules compare with; RIVERRUN_ALERT_LIMITS changes any. `labels_s` 0: from the horizon."""


def limits_of(text: str) -> dict[str, float]:
    """`LIMITS` with what `name=value, …` changes; raises `Misdeclared` for a name there is not.

    >>> limits_of("lag_records=5e4, gone_s=30")["lag_records"]
    50000.0
    """
    limits = dict(LIMITS)
    for part in text.replace(",", " ").split():
        name, found, value = part.partition("=")
        try:
            if not found or name not in limits:
                raise ValueError
            limits[name] = float(value)
        except ValueError:
            raise Misdeclared(
                f"RIVERRUN_ALERT_LIMITS: {part!r} is no limit.",
                mend=f"Write name=value; there are: {', '.join(LIMITS)}.",
            ) from None
    return limits


class Seen(NamedTuple):
    """Something that a rule sees of a subject."""

    subject: str
    cause: str
    opens: bool = True
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """All that rules look at, of one use case, at one moment of the monitor's clock."""

    use_case: UseCase
    now_s: float
    limits: Mapping[str, float]
    overview: Overview
    partitions: tuple[PartitionRow, ...]
    drift: tuple[Drifted, ...]
    lifecycle: tuple[Change, ...]
    letters: tuple[Letters, ...]
    letters_lately: int
    samples: tuple[Sample, ...]
    settled: tuple[Settled, ...] = ()

    def age_s(self, time: str) -> float:
        """How long ago that was, by the monitor's clock."""
        return self.now_s - datetime.fromisoformat(time).timestamp()

    def since(self, seconds: float) -> tuple[Sample, ...]:
        """The samples of the last so many seconds."""
        return tuple(sample for sample in self.samples if self.age_s(sample.time) <= seconds)
