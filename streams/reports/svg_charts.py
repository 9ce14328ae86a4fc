"""Charts as inline SVG: lines over time with a band, and intervals in rows.

Colours and fonts are the page's (CSS classes `line-0` … `line-5`, `band`, `axis`, `zero`), so that
a chart follows light and dark. Widths are in the page's pixels: a page holds a wide and a narrow
one of each, since text that is scaled down on a phone cannot be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10

from markupsafe import Markup

from streams.reports.report_texts import number

RIGHT, TOP, BOTTOM = 14, 12, 28
CHAR = 7.0
HEIGHT = 260
Value = float | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a value for each x, None where there is none."""

    name: str
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Range:
    """One row: a name, a value and its interval, where there is one."""

    name: str
    value: float
    lower: Value
    upper: Value


def ticks(least: float, most: float, count: int = 5) -> list[float]:
    """Return round numbers from at most `least` to at least `most`, about `count` of them.

    >>> ticks(0, 97), ticks(-3, 12, 3)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [-5.0, 0.0, 5.0, 10.0, 15.0])
    """
    span = (most - least) or abs(most) or 1.0
    raw = span / count
    size = 10.0 ** floor(log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    first, last = floor(least / step + 1e-9), ceil(most / step - 1e-9)
    return [round(step * i, 12) + 0.0 for i in range(first, max(last, first + 1) + 1)]


def over_time(
    times: Sequence[float],
    lines: Sequence[Line],
    *,
    width: int,
    band: tuple[Sequence[Value], Sequence[Value]] | None = None,
    zero: bool = False,
    title: str,
) -> Markup:
    """Return lines over time (seconds since 1970), with a band between two of them."""
    values = [v for line in lines for v in line.values if v is not None]
    # An interval that is still very wide would press the lines flat: it leaves the picture instead.
    limit = max(map(abs, values), default=1.0) * 3
    edges = [v for side in band or () for v in side if v is not None and abs(v) <= limit]
    if not values:
        return Markup("")
    marks = ticks(min(values + edges + [0.0] * zero), max(values + edges + [0.0] * zero))
    left = 10 + int(CHAR * max(len(number(mark)) for mark in marks))
    area = _Area(times[0], times[-1], marks[0], marks[-1], width, HEIGHT, left)
    parts = [area.horizontal(mark) for mark in marks]
    parts += area.days(times)
    if band is not None:
        parts.append(_band(area, times, band))
    parts += [_polyline(area, times, line.values, i) for i, line in enumerate(lines)]
    return _svg(parts, width, HEIGHT, title)


def over_count(counts: Sequence[float], lines: Sequence[Line], *, width: int, title: str) -> Markup:
    """Return lines over a count, with a dot at each value."""
    values = [v for line in lines for v in line.values if v is not None]
    if not values:
        return Markup("")
    marks, below = ticks(min(values), max(values)), ticks(0.0, counts[-1], 4)
    left = 10 + int(CHAR * max(len(number(mark)) for mark in marks))
    area = _Area(0.0, counts[-1] * 1.02, marks[0], marks[-1], width, HEIGHT, left)
    parts = [area.horizontal(mark) for mark in marks]
    parts += [area.vertical(mark) for mark in below if mark <= area.x1]
    for index, line in enumerate(lines):
        parts.append(_polyline(area, counts, line.values, index))
        parts += [
            f'<circle class="point-{index}" r="4" cx="{area.x(count):.1f}" '
            f'cy="{area.y(value):.1f}"/>'
            for count, value in zip(counts, line.values, strict=True)
            if value is not None
        ]
    return _svg(parts, width, HEIGHT, title)


def ranges(rows: Sequence[Range], *, width: int, title: str) -> Markup:
    """Return a dot and its interval in each row, and a line at zero."""
    if not rows:
        return Markup("")
    left = min(width // 3, 14 + int(CHAR * max(len(row.name) for row in rows)))
    height = TOP + 22 * len(rows) + BOTTOM
    dots = [row.value for row in rows]
    reach = 4 * (max(map(abs, dots)) or 1.0)
    ends = [v for row in rows for v in (row.lower, row.upper) if v is not None and abs(v) <= reach]
    marks = ticks(min([0.0, *dots, *ends]), max([0.0, *dots, *ends]), 4)
    area = _Area(marks[0], marks[-1], 0, 1, width, height, left)
    parts = [area.vertical(mark) for mark in marks]
    for index, row in enumerate(rows):
        parts.append(_row(area, row, TOP + 22 * index + 11))
    return _svg(parts, width, height, title)


@dataclass(frozen=True, slots=True)
class _Area:
    x0: float
    x1: float
    y0: float
    y1: float
    width: int
    height: int
    left: int

    def x(self, value: float) -> float:
        span = (self.x1 - self.x0) or 1.0
        return self.left + (value - self.x0) / span * (self.width - self.left - RIGHT)

    def y(self, value: float) -> float:
        value = min(max(value, self.y0), self.y1)
        bottom = self.height - BOTTOM
        return bottom - (value - self.y0) / ((self.y1 - self.y0) or 1.0) * (bottom - TOP)

    def horizontal(self, mark: float) -> str:
        y, name = self.y(mark), "zero" if mark == 0 else "axis"
        return (
            f'<line class="{name}" x1="{self.left}" x2="{self.width - RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text x="{self.left - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{number(mark)}</text>"
        )

    def vertical(self, mark: float) -> str:
        x, name = self.x(mark), "zero" if mark == 0 else "axis"
        return (
            f'<line class="{name}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" '
            f'y2="{self.height - BOTTOM}"/><text x="{x:.1f}" y="{self.height - 10}" '
            f'text-anchor="middle">{number(mark)}</text>'
        )

    def days(self, times: Sequence[float]) -> list[str]:
        """Return a few dates below the axis."""
        count = max(2, min(6, (self.width - self.left) // 100))
        step = (times[-1] - times[0]) / (count - 1) if len(times) > 1 else 1.0
        marks = [times[0] + step * i for i in range(count if len(times) > 1 else 1)]
        labels = []
        for index, mark in enumerate(marks):
            anchor = "start" if not index else "end" if index == count - 1 else "middle"
            date = datetime.fromtimestamp(mark, UTC)
            text = f"{date.day} {date:%b}" if step < 120 * 86_400 else f"{date:%b %Y}"
            labels.append(
                f'<text x="{self.x(mark):.1f}" y="{self.height - 8}" text-anchor="{anchor}">'
                f"{text}</text>"
            )
        return labels


def _polyline(area: _Area, times: Sequence[float], values: Sequence[Value], index: int) -> str:
    runs: list[list[str]] = [[]]
    for time, value in zip(times, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{area.x(time):.1f},{area.y(value):.1f}")
    return "".join(
        f'<polyline class="line line-{index}" points="{" ".join(run)}"/>' for run in runs if run
    )


def _band(
    area: _Area, times: Sequence[float], band: tuple[Sequence[Value], Sequence[Value]]
) -> str:
    inside = [
        (area.x(time), area.y(low if low is not None else area.y0), area.y(_or(high, area.y1)))
        for time, low, high in zip(times, *band, strict=True)
        if low is not None or high is not None
    ]
    if not inside:
        return ""
    points = [f"{x:.1f},{high:.1f}" for x, _, high in inside]
    points += [f"{x:.1f},{low:.1f}" for x, low, _ in reversed(inside)]
    return f'<polygon class="band" points="{" ".join(points)}"/>'


def _row(area: _Area, row: Range, y: float) -> str:
    low = area.x(max(_or(row.lower, area.x0), area.x0))
    high = area.x(min(_or(row.upper, area.x1), area.x1))
    open_ended = row.lower is None or row.upper is None
    style = "whisker open" if open_ended else "whisker"
    whisker = f'<line class="{style}" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
    known = row.lower is not None or row.upper is not None
    return (
        f'<text x="{area.left - 8}" y="{y + 4}" text-anchor="end">{escape(row.name[:24])}</text>'
        f"{whisker if known else ''}"
        f'<circle class="dot" cx="{area.x(row.value):.1f}" cy="{y}" r="4"/>'
    )


def _or(value: Value, otherwise: float) -> float:
    return otherwise if value is None else value


def _svg(parts: Sequence[str], width: int, height: int, title: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )
