"""Times as records have them, as seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def moment(value: Any) -> float | None:
    """A time (ISO 8601 text, or a datetime) as seconds UTC; None if it is none.

    >>> moment("1970-01-01T00:01:00Z"), moment("soon")
    (60.0, None)
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value.timestamp() if isinstance(value, datetime) else None
