"""Features: named values computed from one event and what the windows know at its time.

Computing them changes no state; only after a record is accepted does it enter the windows. A value
of None is absent from what the models see. A value must be a bool, an int, a finite float or a
string, else the record is rejected by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models import windows
from models.amounts import AMOUNT_MAX, INT_LEAST, INT_MOST
from models.windows import Decayed, Sliding, Window
from schemas.errors import Malformed
from schemas.inputs import Column

Feature = Column | Window | Callable[..., Any]
Vector = dict[str, Any]
Entries = list[tuple[Decayed | Sliding, Any, float]]
"""What is to be added to which window: (state, key, value)."""


def arguments(function: Callable[..., Any]) -> int:
    """How many positional arguments a declared function must be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.kind in positional and parameter.default is parameter.empty
        for parameter in inspect.signature(function).parameters.values()
    )


class Featurizer:
    """The declared features with the state of their windows, for one partition.

    Call order: `compute` at the event, then `enter_event`; `outcome_entries` and `enter` at its
    outcome. Memory: what the windows hold, see `models.windows`.
    """

    def __init__(self, features: Mapping[str, Feature], hidden: Sequence[str] = ()) -> None:
        self._hidden = frozenset(hidden)
        self.states: dict[str, Decayed | Sliding] = {}
        # (name, field, None) takes a column as it is; (name, None, step) computes.
        self._steps: list[tuple[str, str | None, Any]] = []
        self._event_windows: list[tuple[str, Window]] = []
        self._outcome_windows: list[tuple[str, Window]] = []
        for name, feature in features.items():
            if isinstance(feature, Column):
                self._steps.append((name, feature.name, None))
            else:
                self._steps.append((name, None, self._step(name, feature)))

    def _step(
        self, name: str, feature: Window | Callable[..., Any]
    ) -> Callable[[Any, Vector, float], Any]:
        if isinstance(feature, Window):
            return self._window_step(name, feature)
        function = feature
        if arguments(function) == 1:
            return lambda event, _x, _now: function(event)
        return lambda event, x, _now: function(event, x)

    def _window_step(self, name: str, window: Window) -> Callable[[Any, Vector, float], Any]:
        state = self.states[name] = windows.state_of(window)
        place = self._event_windows if window.over == "events" else self._outcome_windows
        place.append((name, window))
        by, prior = window.by, window.prior
        fixed = float(prior) if isinstance(prior, int | float) else (window.empty or 0.0)

        def step(event: Any, x: Vector, now: float) -> float:
            shrunk_to = x[prior] if isinstance(prior, str) else fixed
            return windows.read(window, state, _key(by, event, x), now, shrunk_to)

        return step

    def compute(self, event: Any, now: float) -> Vector:
        """The feature vector of `event` at `now` (seconds UTC).

        Raises `Malformed` if a declared function fails on it or gives no usable value.
        """
        x: Vector = {}
        for name, field, step in self._steps:
            try:
                value = step(event, x, now) if field is None else getattr(event, field)
            except Exception as error:  # the author's function met data that it cannot take
                raise Malformed(
                    f"feature {name!r} failed on this event: {type(error).__name__}: {error}. "
                    "Mend the event, or the feature's function."
                ) from error
            if value is None:
                continue
            kind = type(value)
            if kind is float:
                if not -AMOUNT_MAX <= value <= AMOUNT_MAX:
                    raise Malformed(
                        f"feature {name!r} is {value}; it must be finite and at most {AMOUNT_MAX:g}"
                    )
            elif kind is int:
                if not INT_LEAST <= value <= INT_MOST:
                    raise Malformed(f"feature {name!r} is {value}; a whole number has 64 bits")
            elif kind is str:
                if not value.isascii():
                    _check_text(name, value)
            elif kind is not bool:
                raise Malformed(
                    f"feature {name!r} is a {kind.__name__}; return a bool, int, float or str"
                )
            x[name] = value
        return x

    def shown(self, x: Vector) -> Vector:
        """What the models see: all but what only feeds other features."""
        hidden = self._hidden
        return {name: value for name, value in x.items() if name not in hidden} if hidden else x

    def event_entries(self, event: Any, x: Vector) -> Entries:
        """What `event` adds to the windows over events."""
        return [
            (self.states[name], key, value)
            for name, window in self._event_windows
            for key, value in _entry(name, window, event, x, (event, x))
        ]

    def outcome_entries(self, event: Any, outcome: Any, x: Vector) -> Entries:
        """What `outcome` adds to the windows over outcomes; `x` as it was predicted from."""
        return [
            (self.states[name], key, value)
            for name, window in self._outcome_windows
            for key, value in _entry(name, window, event, x, (event, outcome, x))
        ]

    @staticmethod
    def enter(entries: Entries, time: float) -> None:
        """Add what was computed, at its own time."""
        for state, key, value in entries:
            state.add(key, time, value)


def _entry(
    name: str, window: Window, event: Any, x: Vector, given: tuple[Any, ...]
) -> list[tuple[Any, float]]:
    if window.value is None:
        return [(_key(window.by, event, x), 1.0)]
    try:
        value = window.value(*given)
        usable = value is None or abs(value) <= AMOUNT_MAX
    except Exception as error:  # the author's function met data that it cannot take
        raise Malformed(
            f"the value of window {name!r} failed on this record: {type(error).__name__}: {error}"
        ) from error
    if value is None:
        return []
    if not usable:
        raise Malformed(f"the value of window {name!r} is {value}; it must be a number to 1e100")
    return [(_key(window.by, event, x), float(value))]


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"feature {name!r} is no text: {error.reason}") from None


def _key(by: tuple[str, ...], event: Any, x: Vector) -> Any:
    if len(by) == 1:
        name = by[0]
        return x[name] if name in x else getattr(event, name, None)
    return tuple([x[name] if name in x else getattr(event, name, None) for name in by])
