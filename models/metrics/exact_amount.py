"""Amounts whose sums are exact, so that what was added can be taken out again.

Every float is a whole number of units of 2^-1074. A sum keeps that number; as a float it is the
exact sum, rounded once, so it depends neither on the order of what was added nor on what came and
went in between.
"""

from __future__ import annotations

import copyreg
from typing import Any

_UNITS = 2**1074


class ExactAmount(float):
    """A float that knows its exact value; sums with floats and whole numbers are exact.

    >>> float(ExactAmount(0) + 0.1 + 1e100 - 1e100)
    0.1
    """

    __slots__ = ("units",)
    units: int

    def __new__(cls, units: int | str) -> ExactAmount:
        """Return the amount of so many units of 2^-1074, also given as their decimal digits."""
        whole = int(units)
        amount = super().__new__(cls, whole / _UNITS)
        amount.units = whole
        return amount

    def __add__(self, other: Any) -> ExactAmount:
        return ExactAmount(self.units + _units_of(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> ExactAmount:
        return ExactAmount(self.units - _units_of(other))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As the protocol makes any object: without the float, and without a state to be set. As
        # digits, since the rehearsal of a snapshot makes a plain float of what it is given.
        return copyreg.__newobj__, (type(self), str(self.units))  # type: ignore[attr-defined]


def _units_of(value: float) -> int:
    if isinstance(value, ExactAmount):
        return value.units
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_UNITS // denominator)
