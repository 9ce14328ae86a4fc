"""Times as records have them, as seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

_COMPACT = re.compile(
    r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"([01]\d|2[0-3])([0-5]\d([0-5]\d)?)?"
)
"""A calendar date and an hour written as one number, such as 2024030118 or 202403011830."""


def moment(value: Any) -> float | None:
    """Return a time as seconds UTC, or None if it is not a time.

    A time is ISO 8601 text or a datetime; without a zone it is UTC.

    >>> moment("1970-01-01T00:01:00Z"), moment("soon")
    (60.0, None)
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()


def unix_seconds(number: float) -> float | None:
    """Return a Unix time in seconds or milliseconds, from 1973 to 2199, as seconds, else None.

    A number that could as well be a calendar date (20240301, 2024030118) or a date of Excel's
    (45352.3) is none: read as a Unix time it would be an ordinary day of another year.

    >>> unix_seconds(1709251200), unix_seconds(1709251200123)
    (1709251200, 1709251200.123)
    >>> unix_seconds(20240301), unix_seconds(202403011830), unix_seconds(45352.3)
    (None, None, None)
    """
    if not (1e8 <= number < 7.26e9 or 1e11 <= number < 7.26e12):
        return None
    if number == int(number) and _COMPACT.fullmatch(str(int(number))):
        return None
    return number if number < 1e11 else number / 1000.0
