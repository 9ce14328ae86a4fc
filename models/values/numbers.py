"""Which numbers are taken: finite, far from where their sums and squares overflow."""

from __future__ import annotations

import math
from typing import Any

AMOUNT_MAX = 1e100
INT_LEAST, INT_MOST = -(2**63), 2**64 - 1
"""What JSON's readers agree on for whole numbers."""


def amount(value: Any, name: str) -> float:
    """Return `value` as a float; raise ValueError that names it where it is none, or a bool."""
    if type(value) is float and -AMOUNT_MAX <= value <= AMOUNT_MAX:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the {name} is {value!r}; it must be a number")
    if not (math.isfinite(value) and abs(value) <= AMOUNT_MAX):
        raise ValueError(f"the {name} is {value}; it must be finite and at most {AMOUNT_MAX:g}")
    return float(value)
