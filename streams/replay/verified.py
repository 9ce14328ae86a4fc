"""Results of a verification: what was derived again, and the first field that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class PredictionDifference:
    """The first that was found: where, in what, and both values (None: there is none)."""

    partition: int
    seq: int
    step: int
    event_id: str | None
    field: str
    published: Any
    derived: Any

    def __str__(self) -> str:
        return (
            f"partition {self.partition}, journal entry {self.seq}, step {self.step}, event "
            f"{self.event_id}: {self.field} is {_shown(self.published)} on the topic and "
            f"{_shown(self.derived)} derived again"
        )


@dataclass(slots=True)
class Verified:
    """What a verification found."""

    checked: int = 0
    different: int = 0
    unproven: int = 0
    first: PredictionDifference | None = None
    reasons: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    entries: int = 0
    unreadable: int = 0  # records on the topic that are no predictions
    versions_checked: int = 0  # of shared models, derived again and the same
    skipped: int = 0  # records that the journal has as set aside, in what was derived

    @property
    def proved(self) -> bool:
        """True if everything that was asked for was derived again, and was the same."""
        return not self.different and not self.unproven and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return asdict(self) | {"proved": self.proved}


def differing(published_row: Any, derived_row: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two values differ, as (path, published, derived).

    >>> list(differing({"a": {"b": 1.0}}, {"a": {"b": 2.0}}))
    [('a.b', 1.0, 2.0)]
    """
    if isinstance(published_row, dict) and isinstance(derived_row, dict):
        for name in dict.fromkeys((*published_row, *derived_row)):
            yield from differing(
                published_row.get(name), derived_row.get(name), f"{at}.{name}" if at else name
            )
    elif published_row != derived_row or type(published_row) is not type(derived_row):
        yield at or "the prediction", published_row, derived_row


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
