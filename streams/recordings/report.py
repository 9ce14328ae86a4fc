"""The result of reading a recording: formats, what was refused and why, what was understood how.

Everything that a reader decides on its own is written here, so that no decision is silent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

FAULTS_MAX = 10
"""The number of faults that are reported in full; all are counted."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing in a file that cannot be used. `location` is "line 4", "row 4" or "offset 4"."""

    file: str
    location: str
    column: str | None
    why: str
    hint: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}, {self.location}{column}: {self.why}. {self.hint}".rstrip()


class Unusable(Exception):
    """A record or a cell that cannot be used, before its file and location are known."""

    def __init__(self, why: str, hint: str, column: str | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.hint = hint
        self.column = column


@dataclass(slots=True)
class RecordedSource:
    """One file or topic: what it was taken for, and its number of records."""

    name: str
    format: str
    records: int = 0


@dataclass(slots=True)
class Report:
    """What was detected and refused. `refused` counts records, `labels_refused` rows of which
    only the event could be used.
    """

    sources: list[RecordedSource] = field(default_factory=list)
    events: int = 0
    outcomes: int = 0
    refused: int = 0
    labels_refused: int = 0
    unmatched: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    closed: bool = False
    """True once all was read: what is read again is not counted again."""

    def refuse(self, fault: Fault, *, label: bool = False) -> None:
        """Count a record, or the label of one, that is left out."""
        if self.closed:
            return
        if label:
            self.labels_refused += 1
        else:
            self.refused += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)

    def note(self, text: str, count: int = 1) -> None:
        """Count something that was understood in one way where another was possible."""
        if not self.closed:
            self.notes[text] += count

    def accept(self, kind: str) -> None:
        """Count an event or an outcome that can be used."""
        if self.closed:
            return
        if kind == "event":
            self.events += 1
        else:
            self.outcomes += 1

    def lines(self) -> list[str]:
        """Return the report for people, one sentence a line."""
        lines = [f"{s.name}: {s.format}, {_counted(s.records)}" for s in self.sources[:20]]
        if len(self.sources) > 20:
            rest = self.sources[20:]
            lines.append(f"and {len(rest):,} more, {_counted(sum(s.records for s in rest))}")
        lines += [
            text if n == 1 else f"{text} ({n:,} times)" for text, n in sorted(self.notes.items())
        ]
        if self.refused or self.labels_refused:
            parts = [_counted(self.refused)] if self.refused else []
            if self.labels_refused:
                parts.append(f"the labels of {_counted(self.labels_refused)}")
            lines.append(f"Left out: {' and '.join(parts)}.")
            lines += [f"  {fault}" for fault in self.faults]
            if (more := self.refused + self.labels_refused - len(self.faults)) > 0:
                lines.append(f"  and {more:,} more")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "sources": [asdict(source) for source in self.sources],
            "events": self.events,
            "outcomes": self.outcomes,
            "refused": self.refused,
            "labels_refused": self.labels_refused,
            "unmatched": self.unmatched,
            "faults": [asdict(fault) | {"text": str(fault)} for fault in self.faults],
            "notes": dict(self.notes),
        }


def _counted(number: int) -> str:
    return f"{number:,} record" + "s" * (number != 1)
