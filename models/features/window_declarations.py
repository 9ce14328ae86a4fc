"""Aggregates over event time: what happened lately at this airport, to this customer.

A window runs over the events or over the outcomes of one partition, in the order in which the task
applies them, and reads the time of those records only. Two shapes:

- `last`: sliding. Value v counted at time t is part of it until t + last.
- `half_life`: decayed. It counts as v · 2^(-(now - t) / half_life).

A mean is shrunk: (S + weight · prior) / (W + weight), the posterior mean of a normal with `weight`
pseudo-observations at `prior`; where both are nothing it is `empty`. How each aggregate is kept,
how exact it is and how much memory it takes: see `models/windows/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from models.windows.corrected import CorrectedWindow
from models.windows.decayed import Decayed, DecayedDeviation, DecayedQuantile, DecayedTop
from models.windows.distinct import SlidingDistinct
from models.windows.newest import NewestValues, TimeSince
from models.windows.sliding import Sliding, SlidingDeviation, SlidingQuantile, SlidingTop

Aggregate = Literal[
    "count", "sum", "mean", "min", "max",
    "std", "quantile", "latest", "time_since", "distinct", "top",
]  # fmt: skip
ENDLESS = frozenset(("latest", "time_since"))
"""What needs neither `last` nor `half_life`: it holds a fixed number of values a key."""
UNDECAYED = frozenset(("min", "max", "latest", "time_since", "distinct"))
"""What cannot fade."""
OPTIONAL_EMPTY = frozenset(("std", "quantile", "latest", "time_since", "top"))
"""What is left out of the features where nothing was counted and no `empty` is declared."""
CATEGORIES = frozenset(("distinct", "top"))
"""What takes texts, whole numbers and bools as they are."""

Number = Callable[..., float | None]


class WindowState(Protocol):
    """What a window holds of each key; see `models/windows/`."""

    @property
    def cells(self) -> dict[Any, Any]:
        """The values it holds, by key."""

    def add(self, key: Any, time: float, value: Any) -> None:
        """Count `value` at `time`."""

    def set_back(self, time: float) -> None:
        """Let what was counted later than `time` count as of it."""

    def saved(self) -> Any:
        """Return the state as plain data."""

    def restore(self, saved: Any) -> None:
        """Take over what `saved` returned."""


@dataclass(frozen=True, slots=True)
class Window:
    """One declared aggregate. Made by `over_events(...)` or `over_outcomes(...)`.

    `value` takes (event, features) over events, and (event, outcome, features) over outcomes.
    Where it returns None, the record is not counted.
    """

    over: Literal["events", "outcomes"]
    by: tuple[str, ...]
    last: float | None
    half_life: float | None
    keys: int
    values: int | None = None
    aggregate: Aggregate | None = None
    value: Callable[..., Any] | None = None
    empty: Any = None
    prior: str | float | None = None
    weight: float = 0.0
    q: float = 0.5
    lag: int = 1
    sample: int = 512

    @property
    def may_be_text(self) -> bool:
        """Return True if it is as the author's function gives it, a number or a text."""
        return self.aggregate in ("latest", "top")

    def count(self) -> Window:
        """Count the records; in a decayed window each counts what is left of it."""
        return replace(self, aggregate="count", empty=0.0)

    def sum(self, value: Number) -> Window:
        """Sum `value`; nothing counted is 0."""
        return replace(self, aggregate="sum", value=value, empty=0.0)

    def mean(
        self,
        value: Number,
        *,
        empty: float | None = None,
        prior: str | float | None = None,
        weight: float = 0.0,
    ) -> Window:
        """Take the mean of `value`, shrunk to `prior` (an earlier feature's name, or a number).

        Without a prior, `empty` is what it shrinks to and the value where nothing was counted.
        """
        return replace(
            self, aggregate="mean", value=value, empty=empty, prior=prior, weight=float(weight)
        )

    def share(
        self,
        condition: Callable[..., bool | None],
        *,
        empty: float | None = None,
        prior: str | float | None = None,
        weight: float = 0.0,
    ) -> Window:
        """Take the share (0 to 1) of records for which `condition` is true, shrunk as `mean` is."""
        return self.mean(condition, empty=empty, prior=prior, weight=weight)

    def std(self, value: Number, *, empty: float | None = None) -> Window:
        """Take the standard deviation of `value` (of the records themselves: of one it is 0)."""
        return replace(self, aggregate="std", value=value, empty=empty)

    def quantile(self, value: Number, q: float, *, empty: float | None = None) -> Window:
        """Take the smallest `value` that a share `q` of the records is at or below.

        Exact in a sliding window; in a decayed one within 0.8 % of itself.
        """
        return replace(self, aggregate="quantile", value=value, q=q, empty=empty)

    def min(self, value: Number, *, empty: float) -> Window:
        """Take the smallest `value` (sliding windows only)."""
        return replace(self, aggregate="min", value=value, empty=empty)

    def max(self, value: Number, *, empty: float) -> Window:
        """Take the largest `value` (sliding windows only)."""
        return replace(self, aggregate="max", value=value, empty=empty)

    def latest(
        self, value: Callable[..., float | str | None], *, lag: int = 1, empty: Any = None
    ) -> Window:
        """Take `value`, a number or a text, of the newest record (`lag=1`), or `lag` records back.

        Needs no length; with `last` only of a record that is younger.
        """
        return replace(self, aggregate="latest", value=value, lag=lag, empty=empty)

    def time_since(
        self, value: Callable[..., Any] | None = None, *, empty: float | None = None
    ) -> Window:
        """Take the seconds since the newest record, with `value`: for which it is not None.

        Needs no length; with `last` only of a record that is younger.
        """
        return replace(self, aggregate="time_since", value=value, empty=empty)

    def distinct(self, value: Callable[..., str | float | None], *, sample: int = 512) -> Window:
        """Count the different values (sliding windows only).

        Exact up to `sample`; beyond, its standard error is at most √(2 / sample), 6.3 % for 512.
        """
        return replace(self, aggregate="distinct", value=value, sample=sample, empty=0.0)

    def top(
        self, value: Callable[..., str | int | None], *, empty: str | int | None = None
    ) -> Window:
        """Take the most frequent `value` (text or a whole number); of equals the first by its text.

        Exact in a sliding window; in a decayed one of the hundred heaviest (see `DecayedTop`).
        """
        return replace(self, aggregate="top", value=value, empty=empty)


def over_events(
    *,
    by: str | tuple[str, ...],
    last: float | None = None,
    half_life: float | None = None,
    keys: int = 100_000,
    values: int | None = None,
) -> Window:
    """Declare a window over the events before this one; durations in seconds, event time."""
    names = (by,) if isinstance(by, str) else tuple(by)
    return Window("events", names, last, half_life, keys, values)


def over_outcomes(
    *,
    by: str | tuple[str, ...],
    last: float | None = None,
    half_life: float | None = None,
    keys: int = 100_000,
    values: int | None = None,
) -> Window:
    """Declare a window over the outcomes known by now; durations in seconds, event time."""
    names = (by,) if isinstance(by, str) else tuple(by)
    return Window("outcomes", names, last, half_life, keys, values)


def keeps_no_values(window: Window) -> bool:
    """Return whether the window's state has no single values, of which one could be replaced."""
    unremovable = ("latest", "time_since", "distinct")
    return window.half_life is not None or window.aggregate in unremovable


def state_of(window: Window, corrected_s: float | None = None) -> WindowState:
    """Return the empty state of a declared window; `corrected_s`: for so long what outcomes have
    counted may be replaced; None: never.
    """
    if corrected_s is None or window.over == "events" or not keeps_no_values(window):
        return _state_of(window)
    states = _state_of(window), _state_of(window)
    return CorrectedWindow(*states, corrected_s, window.keys, window.values)


def _state_of(window: Window) -> WindowState:
    aggregate, keys = window.aggregate, window.keys
    if aggregate == "latest":
        return NewestValues(window.lag, window.last, keys)
    if aggregate == "time_since":
        return TimeSince(1, window.last, keys)
    if window.half_life is not None:
        return _decayed(window, window.half_life)
    assert window.last is not None
    if aggregate == "distinct":
        return SlidingDistinct(window.sample, window.last, keys)
    if aggregate == "quantile":
        return SlidingQuantile(window.q, window.last, keys, window.values)
    sliding = {"std": SlidingDeviation, "top": SlidingTop}.get(aggregate or "", Sliding)
    return sliding(window.last, keys, window.values)


def _decayed(window: Window, half_life: float) -> WindowState:
    if window.aggregate == "quantile":
        return DecayedQuantile(window.q, half_life, window.keys)
    decayed = {"std": DecayedDeviation, "top": DecayedTop}.get(window.aggregate or "", Decayed)
    return decayed(half_life, window.keys)


def read(window: Window, state: Any, key: Any, now: float, prior: Any) -> Any:
    """Return the window's value for `key` at `now`; `prior` is already looked up."""
    aggregate = window.aggregate
    if aggregate == "mean":
        total, weight = state.sums(key, now)
        weighted = weight + window.weight
        return (total + window.weight * prior) / weighted if weighted > 0.0 else prior
    if aggregate == "count":
        return state.sums(key, now)[1]
    if aggregate == "sum":
        return state.sums(key, now)[0]
    if aggregate in ("min", "max"):
        values = state.values(key, now)
        if not values:
            return prior
        return min(values) if aggregate == "min" else max(values)
    value = state.read(key, now)
    return prior if value is None else value
