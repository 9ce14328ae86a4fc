"""Curves over a logarithmic axis as one SVG, by plain arithmetic: small multiples, one a curve."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import floor, log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 240, 56, 16, 34, 34
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.t{font-weight:600}line{stroke:#ddd}"
    "polyline{fill:none;stroke:#0b6e99;stroke-width:2}circle{fill:#0b6e99}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}line{stroke:#444}"
    "polyline{stroke:#6cc4ee}circle{fill:#6cc4ee}}"
)


@dataclass(frozen=True)
class Curve:
    """Points (x above 0, y) under a title that names x."""

    title: str
    points: list[tuple[float, float]]


def drawn(curves: list[Curve], unit: str) -> str:
    """All of them, two beside each other; `unit` names y."""
    rows = (len(curves) + 1) // 2
    panels = [
        f'<g transform="translate({i % 2 * WIDTH},{i // 2 * HEIGHT + 24})">{_panel(curve)}</g>'
        for i, curve in enumerate(curves)
    ]
    size = f"{2 * WIDTH} {rows * HEIGHT + 24}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img">'
        f"<style>{STYLE}</style><title>{escape(unit)}</title>"
        f'<text x="8" y="16" class="t">{escape(unit)}</text>{"".join(panels)}</svg>\n'
    )


def _panel(curve: Curve) -> str:
    xs, top = [x for x, _ in curve.points], _round_up(max(y for _, y in curve.points))
    low, high = log10(min(xs)), log10(max(xs))
    span = (high - low) or 1.0

    def pixel(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (log10(x) - low) / span * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    out = [f'<text x="{LEFT}" y="20" class="t">{escape(curve.title)}</text>']
    for part in range(5):
        value = top * part / 4
        _, y = pixel(xs[0], value)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    placed = [pixel(x, y) for x, y in curve.points]
    for (x, y), (across, up) in zip(curve.points, placed, strict=True):
        out.append(
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3">'
            f"<title>{x:,.0f}: {y:.1f}</title></circle>"
            f'<text x="{across:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{_short(x)}</text>'
        )
    line = " ".join(f"{across:.1f},{up:.1f}" for across, up in placed)
    return "".join(out) + f'<polyline points="{line}"/>'


def _round_up(value: float) -> float:
    size = 10.0 ** floor(log10(value))
    return next(size * step for step in (1, 2, 4, 5, 8, 10) if size * step >= value)


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
