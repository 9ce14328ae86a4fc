"""A chart as data: what the browser draws, what a CSV holds, and the command that says the same.

Nothing is drawn here: `static/chart.js` does that. One object is the only source of both, so a
figure in the CSV is the figure under the pointer.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal

import orjson

Number = float | int | None
Shape = Literal["line", "step", "bars", "points"]
Scale = Literal["time", "number", "log", "words"]
Tone = str
"""A colour by what it means: `served`, `baseline`, `good`, `bad`, `quiet`, or `m0` to `m5`."""


@dataclass(slots=True)
class Series:
    """One line, row of bars or cloud of points; `low` and `high` are its interval, shaded."""

    name: str
    y: Sequence[Number]
    shape: Shape = "line"
    tone: Tone = "served"
    dashed: bool = False
    bold: bool = False
    low: Sequence[Number] | None = None
    high: Sequence[Number] | None = None


@dataclass(slots=True)
class Mark:
    """Something that happened at one place of the horizontal axis."""

    x: float
    text: str
    tone: Tone = "quiet"


@dataclass(slots=True)
class Shade:
    """A stretch of the horizontal axis that is to be read with care."""

    start: float
    end: float
    text: str


@dataclass(slots=True)
class Rule:
    """A level of the vertical axis that means something: a target, nothing gained."""

    y: float
    text: str
    tone: Tone = "quiet"


@dataclass(slots=True)
class Chart:
    """All of one chart. `x`: seconds since 1970 for `time`, else as `scale` says.

    `say` is the sentence above it; `group`: charts of one group zoom together; `narrows`: its first
    places may leave the picture, so that the last ones are seen.
    """

    id: str
    title: str
    x: Sequence[Any]
    series: list[Series]
    unit: str = ""
    say: str = ""
    scale: Scale = "time"
    x_name: str = "event time"
    command: str = ""
    group: str = ""
    zero: bool = False
    narrows: bool = False
    height: int = 240
    marks: list[Mark] = field(default_factory=list)
    shades: list[Shade] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value is not None for series in self.series for value in series.y)

    def drawn(self) -> str:
        """What `static/chart.js` takes, as JSON."""
        return orjson.dumps(
            {
                "id": self.id,
                "title": self.title,
                "unit": self.unit,
                "scale": self.scale,
                "xName": self.x_name,
                "group": self.group or self.id,
                "zero": self.zero,
                "narrows": self.narrows,
                "height": self.height,
                "x": list(self.x),
                "series": [_series(series) for series in self.series],
                "marks": [[mark.x, mark.text, mark.tone] for mark in self.marks],
                "shades": [[shade.start, shade.end, shade.text] for shade in self.shades],
                "rules": [[rule.y, rule.text, rule.tone] for rule in self.rules],
            }
        ).decode()

    def csv(self) -> str:
        """Every value that is drawn, a row for each place of the horizontal axis."""
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow([self.x_name, *(name for name, _ in self._columns())])
        columns = [values for _, values in self._columns()]
        for number, x in enumerate(self.x):
            at = datetime.fromtimestamp(x, UTC).isoformat() if self.scale == "time" else x
            rows.writerow([_cell(at), *(_cell(values[number]) for values in columns)])
        return out.getvalue()

    def _columns(self) -> Iterator[tuple[str, Sequence[Number]]]:
        unit = f" [{self.unit}]" if self.unit else ""
        for series in self.series:
            yield series.name + unit, series.y
            if series.low is not None and series.high is not None:
                yield f"{series.name} low{unit}", series.low
                yield f"{series.name} high{unit}", series.high


def _series(series: Series) -> dict[str, Any]:
    return {
        "name": series.name,
        "shape": series.shape,
        "tone": series.tone,
        "dashed": series.dashed,
        "bold": series.bold,
        "y": [_finite(value) for value in series.y],
        "low": None if series.low is None else [_finite(value) for value in series.low],
        "high": None if series.high is None else [_finite(value) for value in series.high],
    }


def _finite(value: Number) -> Number:
    return value if value is not None and isfinite(value) else None


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return "" if value is None else value
