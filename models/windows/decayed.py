"""Decayed windows: a value counts as 2^(-(now - t) / half_life) of itself.

Exponential forgetting in continuous time. Sums and moments are kept as of each key's newest record
and multiplied when time passes (West 1979, Updating Mean and Variance Estimates, with weights).
Where only the weights' proportions matter, they are not touched: a record's weight grows with its
time (Cormode et al. 2009, Forward Decay), by powers of two that are taken out before they overflow.
"""

from __future__ import annotations

import math
from typing import Any

from models.windows.sliding import heaviest

BUCKETS_MAX = 1_024
"""Buckets of a quantile that a key holds at most: beyond, those nearest to 0 become one."""
CATEGORIES_MAX = 100
"""Categories that a key holds at most."""
_GROWTH_MAX = 256.0
"""Half-lives after which powers of two are taken out of a key's weights."""
_LEAST_WEIGHT = 2.0**-64
"""What is left of a record that no longer counts, relative to a new one."""


class DecayedWindow:
    """Cells of a decayed window, by key; what a cell is, subclasses say."""

    __slots__ = ("cells", "half_life", "keys")

    def __init__(self, half_life: float, keys: int) -> None:
        self.half_life = half_life
        self.keys = keys
        self.cells: dict[Any, Any] = {}

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`, which may be behind the newest."""
        raise NotImplementedError

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        raise NotImplementedError

    def _make_room(self) -> None:
        if len(self.cells) >= self.keys:
            del self.cells[next(iter(self.cells))]

    def saved(self) -> Any:
        """Return the state as plain data."""
        return self.cells

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""
        self.cells = saved


class Decayed(DecayedWindow):
    """A decayed sum: key → (sum, weight, time of both)."""

    __slots__ = ()

    def add(self, key: Any, time: float, value: float) -> None:
        """Count `value` at `time`, which may be a little behind the cell's own."""
        cell = self.cells.pop(key, None)
        if cell is None:
            self._make_room()
            self.cells[key] = (value, 1.0, time)
            return
        total, weight, at = cell
        if time >= at:
            # Here and below exponents are 0 or less: a power never overflows, only becomes 0.
            left = 2.0 ** ((at - time) / self.half_life)
            self.cells[key] = (total * left + value, weight * left + 1.0, time)
        else:
            share = 2.0 ** ((time - at) / self.half_life)
            self.cells[key] = (total + value * share, weight + share, at)

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        for key, (total, weight, at) in self.cells.items():
            if at > time:
                self.cells[key] = (total, weight, time)

    def sums(self, key: Any, now: float) -> tuple[float, float]:
        """Return sum and weight as they are at `now`."""
        cell = self.cells.get(key)
        if cell is None:
            return 0.0, 0.0
        total, weight, at = cell
        if now <= at:
            return total, weight
        left = 2.0 ** ((at - now) / self.half_life)
        return total * left, weight * left

    def values(self, key: Any, now: float) -> list[float]:
        """Raise: `check` refuses a smallest or largest value that decays."""
        raise AssertionError("a decayed window keeps no single values")


class DecayedDeviation(DecayedWindow):
    """A decayed standard deviation: key → (mean, weighted squared deviations, weight, time)."""

    __slots__ = ()

    def add(self, key: Any, time: float, value: float) -> None:
        """Count `value` at `time`, which may be a little behind the cell's own."""
        cell = self.cells.pop(key, None)
        if cell is None:
            self._make_room()
            self.cells[key] = (value, 0.0, 1.0, time)
            return
        mean, deviations, weight, at = cell
        share = 1.0
        if time >= at:
            left = 2.0 ** ((at - time) / self.half_life)
            deviations, weight, at = deviations * left, weight * left, time
        else:
            share = 2.0 ** ((time - at) / self.half_life)
        weight += share
        delta = value - mean
        mean += delta * (share / weight)
        self.cells[key] = (mean, deviations + share * delta * (value - mean), weight, at)

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""
        for key, (mean, deviations, weight, at) in self.cells.items():
            if at > time:
                self.cells[key] = (mean, deviations, weight, time)

    def read(self, key: Any, now: float) -> float | None:
        """Return the weighted standard deviation; time alone does not change it."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        _, deviations, weight, _ = cell
        return math.sqrt(max(0.0, deviations) / weight)


class _ForwardDecayed(DecayedWindow):
    """Weights of buckets by forward decay: key → ({bucket: weight}, landmark, newest time).

    A record at t weighs 2^((t - landmark) / half_life), so that proportions need no update. What is
    lighter than 2^-64 of a new record is dropped when powers are taken out.
    """

    __slots__ = ()

    limit: int

    def _bucket(self, value: Any) -> Any:
        raise NotImplementedError

    def _make_one_less(self, weights: dict[Any, float]) -> float:
        """Make room for a further bucket, and return the weight that it begins with."""
        raise NotImplementedError

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`, which may be behind the newest."""
        cell = self.cells.pop(key, None)
        if cell is None:
            self._make_room()
            cell = ({}, time, time)
        weights, landmark, newest = cell
        growth = (time - landmark) / self.half_life
        if growth > _GROWTH_MAX:
            powers = math.floor(growth)
            factor = 2.0**-powers
            weights = {b: w * factor for b, w in weights.items() if w * factor >= _LEAST_WEIGHT}
            landmark += powers * self.half_life
            growth = (time - landmark) / self.half_life
        bucket = self._bucket(value)
        weight = weights.get(bucket)
        if weight is None:
            weight = self._make_one_less(weights) if len(weights) >= self.limit else 0.0
        weights[bucket] = weight + 2.0**growth
        self.cells[key] = (weights, landmark, max(newest, time))

    def set_back(self, time: float) -> None:
        """Let the newest record count as of `time`, and all others as much earlier."""
        for key, (weights, landmark, newest) in self.cells.items():
            if newest > time:
                self.cells[key] = (weights, landmark - (newest - time), time)


class DecayedQuantile(_ForwardDecayed):
    """A decayed quantile from buckets of equal relative width.

    Each power of two has 64 buckets, so the value is within 1/128 (0.8 %) of one that has this
    rank exactly (as DDSketch, Masson et al. 2019, but for the logarithm, which differs between
    platforms). It is the smallest bucket such that a share of at least `q` of the weight is at or
    below it.
    """

    __slots__ = ("q",)

    limit = BUCKETS_MAX

    def __init__(self, q: float, half_life: float, keys: int) -> None:
        super().__init__(half_life, keys)
        self.q = q

    def _bucket(self, value: float) -> int:
        return bucket_of(value)

    def _make_one_less(self, weights: dict[int, float]) -> float:
        smallest, second = sorted(weights, key=lambda bucket: (abs(bucket), bucket))[:2]
        weights[second] += weights.pop(smallest)
        return 0.0

    def read(self, key: Any, now: float) -> float | None:
        """Return the weighted quantile; time alone does not change it."""
        cell = self.cells.get(key)
        if cell is None:
            return None
        buckets = sorted(cell[0].items())
        rank = self.q * math.fsum(weight for _, weight in buckets) * (1.0 - 1e-12)
        below = 0.0
        for bucket, weight in buckets:
            below += weight
            if below >= rank:
                return middle_of(bucket)
        return middle_of(buckets[-1][0])


class DecayedTop(_ForwardDecayed):
    """A decayed top category, of the hundred heaviest.

    Metwally et al. 2005, Space-Saving: a new category takes the place and the weight of the
    lightest, so a weight is too large by at most a hundredth of all weight.
    """

    __slots__ = ()

    limit = CATEGORIES_MAX

    def _bucket(self, value: Any) -> Any:
        return value

    def _make_one_less(self, weights: dict[Any, float]) -> float:
        return weights.pop(min(weights, key=lambda name: (weights[name], str(name))))

    def read(self, key: Any, now: float) -> Any:
        """Return the heaviest category; of equals the first by its text."""
        cell = self.cells.get(key)
        return None if cell is None else heaviest(cell[0])


def bucket_of(value: float) -> int:
    """Return the number of the bucket that holds `value`: 64 for each power of two.

    >>> bucket_of(0.0), bucket_of(-3.0) == -bucket_of(3.0), bucket_of(3.0) < bucket_of(3.1)
    (0, True, True)
    """
    if value == 0.0:
        return 0
    mantissa, exponent = math.frexp(abs(value))
    bucket = (exponent + 1_100) * 64 + int((mantissa - 0.5) * 128)
    return bucket if value > 0.0 else -bucket


def middle_of(bucket: int) -> float:
    """Return the middle of a bucket.

    >>> middle_of(bucket_of(100.0)), middle_of(bucket_of(-0.37)), middle_of(0)
    (100.5, -0.369140625, 0.0)
    """
    if bucket == 0:
        return 0.0
    powers, part = divmod(abs(bucket), 64)
    return math.copysign(math.ldexp(0.5 + (part + 0.5) / 128, powers - 1_100), bucket)
