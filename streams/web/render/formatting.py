"""Number formats of the page, and its templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from time import time
from typing import Any

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from streams.config.naming import number_of, title_of

TEMPLATES = Path(__file__).parents[1] / "templates"
NONE = "–"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")


def number(value: Any, digits: int = 3) -> str:
    """Return a figure with this many significant digits.

    >>> [number(n) for n in (2.3142, 12840, -0.5, None)]
    ['2.31', '12,840', '−0.500', '–']
    """
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return NONE
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{round(value):,}".replace("-", "−")
    text = f"{value:#.{digits}g}".rstrip(".") if value else "0"
    return text.replace("-", "−")


def money(value: Any, unit: str = "") -> str:
    """Return an amount in its unit, with two decimals below 1,000.

    >>> money(2.306, "USD"), money(-1715172.2, "USD")
    ('2.31 USD', '−1,715,172 USD')
    """
    if value is None:
        return NONE
    text = f"{value:,.2f}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{text} {unit}".rstrip().replace("-", "−")


def percent(value: Any, digits: int = 1) -> str:
    """Return a share as a percentage.

    >>> percent(0.9312), percent(None)
    ('93.1 %', '–')
    """
    return NONE if value is None else f"{100 * value:.{digits}f} %".replace("-", "−")


def span(seconds: Any) -> str:
    """Return a duration in a unit of suitable size.

    >>> [span(s) for s in (0.0423, 12.4, 190, 7300, 400000)]
    ['42 ms', '12 s', '3 min', '2 h', '4.6 days']
    """
    if seconds is None:
        return NONE
    if seconds < 0:
        return f"−{span(-seconds)}"
    for limit, size, unit in ((1, 0.001, "ms"), (120, 1, "s"), (7_200, 60, "min")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    if seconds < 172_800:
        return f"{seconds / 3_600:.0f} h"
    return f"{seconds / 86_400:.1f} days"


def ago(moment: Any) -> str:
    """Return how long ago a time was; ISO 8601 or seconds since 1970."""
    at = seconds_of(moment)
    return NONE if at is None else f"{span(max(time() - at, 1.0))} ago"


def clock(moment: Any) -> str:
    """Return a time as date and time in UTC."""
    at = seconds_of(moment)
    return NONE if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def seconds_of(moment: Any) -> float | None:
    """Return the seconds since 1970 of a time in any form that records have."""
    if isinstance(moment, str):
        try:
            return datetime.fromisoformat(moment).timestamp()
        except ValueError:
            return None
    if isinstance(moment, datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int | float) else None


def pretty(value: Any) -> str:
    """Return any value as indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def plain(value: Any) -> str:
    """Return a field's value in one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no"}.get(value, NONE)  # type: ignore[arg-type]
    if isinstance(value, float):
        return f"{value:,.6g}".replace("-", "−")
    if isinstance(value, str):
        return _moment(value) if MOMENT.match(value) else value
    return orjson.dumps(value, default=str).decode()


def _moment(text: str) -> str:
    """Return an ISO 8601 time in UTC in readable form; with another zone unchanged."""
    return text.replace("T", " ").removesuffix("Z").removesuffix("+00:00")


ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
for _filter in (number, money, percent, span, ago, clock, pretty, plain, number_of, title_of):
    ENVIRONMENT.filters[_filter.__name__] = _filter


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Return a rendered template; all values are escaped."""
    return ENVIRONMENT.get_template(template).render(variables)
