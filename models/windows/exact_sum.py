"""Sums of floats without rounding, so that nothing drifts as values come and go.

Shewchuk 1997, Adaptive Precision Floating-Point Arithmetic: a sum is a list of partial sums that do
not overlap. Dekker 1971, A floating-point technique for extending the available precision: a
product is two floats. Products are exact while they are larger than 1e-290.
"""

from __future__ import annotations

import math

_SPLITTER = 2.0**27 + 1.0


def add_exactly(partials: list[float], value: float) -> None:
    """Add to a sum that is kept as numbers which do not overlap; `math.fsum` of them is exact.

    >>> partials = []
    >>> for value in (1e16, 1.0, -1e16):
    ...     add_exactly(partials, value)
    >>> math.fsum(partials)
    1.0
    """
    count = 0
    for partial in partials:
        if abs(value) < abs(partial):
            value, partial = partial, value
        high = value + partial
        low = partial - (high - value)
        if low:
            partials[count] = low
            count += 1
        value = high
    partials[count:] = [value]


def product(a: float, b: float) -> tuple[float, float]:
    """Return a · b as two floats whose exact sum it is.

    >>> product(0.1, 0.1)
    (0.010000000000000002, -8.326672684688674e-19)
    """
    high = a * b
    a_high = _SPLITTER * a
    a_high -= a_high - a
    b_high = _SPLITTER * b
    b_high -= b_high - b
    a_low, b_low = a - a_high, b - b_high
    return high, a_low * b_low - (((high - a_high * b_high) - a_low * b_high) - a_high * b_low)


def squared_deviations(count: int, sums: list[float], squares: list[float]) -> float:
    """Return Σ(x - mean)² from the partial sums of x and of x², rounded once."""
    mean = math.fsum(sums) / count
    terms = list(squares)
    for partial in sums:
        terms += product(-2.0 * mean, partial)
    for part in product(mean, mean):
        terms += product(float(count), part)
    return max(0.0, math.fsum(terms))
