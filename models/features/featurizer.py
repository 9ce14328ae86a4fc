"""Features: named values computed from one event and what the windows know at its time.

Computing them changes no state; only after a record is accepted does it enter the windows. A value
of None is absent from what the models see. A value must be a bool, an int, a finite float or a
string, else the record is rejected by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from models.features import window_declarations as windows
from models.features.reference_tables import Lookup, TableState
from models.features.shared_entries import SharedEntry, SharedSink, plain_key
from models.features.window_declarations import CATEGORIES, OPTIONAL_EMPTY, Window, WindowState
from models.values.bounded_text import CHARACTERS_MAX, shortened
from models.values.numbers import AMOUNT_MAX, INT_LEAST, INT_MOST
from schemas.errors import AUTHORS_FAULTS, Malformed
from schemas.events import Column

Feature = Column | Window | Lookup | Callable[..., Any]
Vector = dict[str, Any]


class Sink(Protocol):
    """What counts a value: a window's state, or what sends it to all partitions."""

    def add(self, key: Any, time: float, value: Any) -> None: ...  # noqa: D102


Entries = list[tuple[Sink, Any, Any]]
"""What is to be added to which window: (sink, key, value)."""


def arguments(function: Callable[..., Any]) -> int:
    """Return how many positional arguments a declared function must be given."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(
        parameter.kind in positional and parameter.default is parameter.empty
        for parameter in inspect.signature(function).parameters.values()
    )


def with_features(function: Callable[..., Any]) -> Callable[[Any, Vector], Any]:
    """Return a function of (event) or (event, features) as one that is given both.

    >>> with_features(lambda event: event)(1, {"a": 2})
    1
    >>> with_features(lambda event, features: features["a"])(1, {"a": 2})
    2
    """
    try:
        takes_both = arguments(function) == 2
    except (TypeError, ValueError):  # a built-in callable may not tell
        takes_both = False
    return function if takes_both else lambda event, _x: function(event)


class Featurizer:
    """The declared features with the state of their windows, for one partition.

    Call order: `compute` at the event, then `enter_event`; `outcome_entries` and `enter` at its
    outcome. `corrected_s`: how long what an outcome counted may be replaced; None: never.
    Memory: what the windows hold, see `models.features.window_declarations`.
    """

    def __init__(
        self,
        features: Mapping[str, Feature],
        hidden: Sequence[str] = (),
        shared: Collection[str] = (),
        corrected_s: float | None = None,
    ) -> None:
        self._corrected_s = corrected_s
        self._hidden = frozenset(hidden)
        self.states: dict[str, WindowState] = {}
        # Where what is counted goes: into the window's state, or out to all partitions.
        self._sinks: dict[str, Sink] = {}
        self.outgoing: list[SharedEntry] = []
        self._shared = frozenset(shared)
        # The rows of the tables that features look up, by the table's identity.
        self.tables: dict[str, TableState] = {}
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
        self, name: str, feature: Window | Lookup | Callable[..., Any]
    ) -> Callable[[Any, Vector, float], Any]:
        if isinstance(feature, Window):
            return self._window_step(name, feature)
        if isinstance(feature, Lookup):
            return self._lookup_step(feature)
        function = feature
        if arguments(function) == 1:
            return lambda event, _x, _now: function(event)
        return lambda event, x, _now: function(event, x)

    def _window_step(self, name: str, window: Window) -> Callable[[Any, Vector, float], Any]:
        state = self.states[name] = windows.state_of(window, self._corrected_s)
        shared = name in self._shared
        self._sinks[name] = SharedSink(name, self.outgoing) if shared else state
        key_of = shared_key if shared else _key
        windows_over = self._event_windows if window.over == "events" else self._outcome_windows
        windows_over.append((name, window))
        by, prior, states = window.by, window.prior, self.states
        if window.aggregate in OPTIONAL_EMPTY:
            fixed = window.empty
        else:
            fixed = float(prior) if isinstance(prior, int | float) else (window.empty or 0.0)

        def step(event: Any, x: Vector, now: float) -> Any:
            shrunk_to = x[prior] if isinstance(prior, str) else fixed
            # Windows that partitions share are put in its place (models/training/window_folds.py).
            return windows.read(window, states[name], key_of(by, event, x), now, shrunk_to)

        return step

    def _lookup_step(self, lookup: Lookup) -> Callable[[Any, Vector, float], Any]:
        table = lookup.table
        state = self.tables.setdefault(table.identity, TableState(table.rows))
        by = (lookup.by,)

        def step(event: Any, x: Vector, now: float) -> Any:
            key = _key(by, event, x)
            return lookup.of(None if key is None else state.get(str(key), now))

        return step

    def compute(self, event: Any, now: float) -> Vector:
        """Return the feature vector of `event` at `now` (seconds UTC).

        Raises `Malformed` if a declared function fails on it or gives no usable value.
        """
        x: Vector = {}
        for name, field, step in self._steps:
            try:
                value = step(event, x, now) if field is None else getattr(event, field)
            except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
                raise Malformed(
                    f"feature {name!r} failed on this event: {type(error).__name__}: {error}. "
                    "Fix the event, or the feature's function."
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
        """Return the features that models see: all but the internal ones."""
        hidden = self._hidden
        return {name: value for name, value in x.items() if name not in hidden} if hidden else x

    def event_entries(self, event: Any, x: Vector) -> Entries:
        """Return what `event` adds to the windows over events."""
        return [
            (self._sinks[name], key, value)
            for name, window in self._event_windows
            for key, value in self._entry(name, window, event, x, (event, x))
        ]

    def outcome_entries(self, event: Any, outcome: Any, x: Vector) -> Entries:
        """Return what `outcome` adds to the windows over outcomes.

        `x`: the features that its event was predicted from.
        """
        return [
            (self._sinks[name], key, value)
            for name, window in self._outcome_windows
            for key, value in self._entry(name, window, event, x, (event, outcome, x))
        ]

    @staticmethod
    def enter(entries: Entries, time: float) -> None:
        """Add the computed entries to their windows at `time`."""
        for sink, key, value in entries:
            sink.add(key, time, value)

    def _entry(
        self, name: str, window: Window, event: Any, x: Vector, arguments: tuple[Any, ...]
    ) -> list[tuple[Any, Any]]:
        key_of = shared_key if name in self._shared else _key
        if window.value is None:
            return [(key_of(window.by, event, x), 1.0)]
        try:
            value = window.value(*arguments)
            if value is None:
                return []
            counted = _counted(window.aggregate, value)
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            raise Malformed(
                f"the value of window {name!r} failed on this record: "
                f"{type(error).__name__}: {error}"
            ) from error
        if counted is None:
            allowed = _ALLOWED.get(window.aggregate or "", "a number to 1e100")
            raise Malformed(f"the value of window {name!r} is {value!r}; it must be {allowed}")
        return [(key_of(window.by, event, x), counted)]

    @staticmethod
    def replace(before: Entries, after: Entries, time: float) -> None:
        """Put entries in the places of others with the same keys, which were added at `time`."""
        known = {id(sink): value for sink, _, value in before}
        sink: Any
        for sink, key, value in after:
            sink.replace(key, time, known.pop(id(sink), None), value)
        for sink, key, value in before:
            if id(sink) in known:
                sink.replace(key, time, value, None)


_ALLOWED = {
    "latest": "a number to 1e100 or a text",
    "top": "a text or a whole number of 64 bits",
    "distinct": "a text or a number to 1e100",
}


def _counted(aggregate: str | None, value: Any) -> Any:
    """Return the value as a window takes it; None where it cannot."""
    if aggregate == "time_since":
        return 1.0
    if type(value) is str and (aggregate in CATEGORIES or aggregate == "latest"):
        value.encode()  # half a surrogate pair is no text
        return shortened(value)
    if aggregate == "top":
        whole = isinstance(value, int) and INT_LEAST <= value <= INT_MOST
        return value if whole else None
    return float(value) if abs(value) <= AMOUNT_MAX else None


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Malformed(f"feature {name!r} is no text: {error.reason}") from None


def _key(by: tuple[str, ...], event: Any, x: Vector) -> Any:
    if len(by) == 1:
        name = by[0]
        value = x[name] if name in x else getattr(event, name, None)
        long = type(value) is str and len(value) > CHARACTERS_MAX
        return shortened(value) if long else value
    key = tuple([x[name] if name in x else getattr(event, name, None) for name in by])
    for value in key:
        if type(value) is str and len(value) > CHARACTERS_MAX:
            return tuple(map(shortened, key))
    return key


def shared_key(by: tuple[str, ...], event: Any, x: Vector) -> Any:
    """Return the key of a window that all partitions share: what JSON gives back as it is."""
    key = _key(by, event, x)
    return key if type(key) is str else plain_key(key)
