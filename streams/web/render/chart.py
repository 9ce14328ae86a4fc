"""A chart as data: what the browser draws, what its CSV holds, and the equivalent command.

Nothing is drawn here: `static/chart.js` does that. One object is the only source of both, so a
figure in the CSV is the figure under the pointer.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

Number = float | int | None
Shape = Literal["line", "step", "bars", "points"]
Scale = Literal["time", "number", "log", "category"]
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
    """An event at one point of the horizontal axis."""

    x: float
    text: str
    tone: Tone = "quiet"


@dataclass(slots=True)
class Shade:
    """A span of the horizontal axis to read with care."""

    start: float
    end: float
    text: str


@dataclass(slots=True)
class ReferenceLine:
    """A reference level of the vertical axis: a target, or no gain."""

    y: float
    text: str
    tone: Tone = "quiet"


@dataclass(slots=True)
class Chart:
    """The data of one chart. `x`: seconds since 1970 for `time`, else as `scale` says.

    `caption` is the sentence above it; charts of one `group` zoom together; `narrows`: the first
    values may exceed the vertical range, so that the last ones can be read.
    """

    id: str
    title: str
    x: Sequence[Any]
    series: list[Series]
    unit: str = ""
    caption: str = ""
    scale: Scale = "time"
    x_name: str = "event time"
    command: str = ""
    group: str = ""
    zero: bool = False
    narrows: bool = False
    height: int = 240
    marks: list[Mark] = field(default_factory=list)
    shades: list[Shade] = field(default_factory=list)
    rules: list[ReferenceLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.group = self.group or self.id

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to draw."""
        return not any(value is not None for series in self.series for value in series.y)

    def spec(self) -> str:
        """Return the input of `static/chart.js`, as JSON; what is not finite is null."""
        return orjson.dumps(self).decode()

    def csv(self) -> str:
        """Return every value that is drawn, one row for each x."""
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


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return "" if value is None else value
