"""Features and windows: they name what exists, in an order in which it is known.

The rule that surprises: a window's `by` must contain the use case's key. A partition task sees the
records of its partition only. Grouped by anything that lacks the key, a window would count a part
of its records, a different part with each number of partitions, and nobody would see it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from models.declaration.finding import Findings, is_number, nearest, takes
from models.usecase import UseCase
from models.windows import Window
from schemas.inputs import Column

_ARGUMENTS = {"events": ("event", "features"), "outcomes": ("event", "outcome", "features")}


def check_features(use_case: UseCase, found: Findings) -> None:
    """Every feature, in order."""
    if not found.sound("features", "event"):
        return
    if not use_case.features:
        found.add(
            ("features",),
            "there are no features, so the models see nothing.",
            f"Begin with the event's own fields: {use_case.event.__name__}.fields(...).",
        )
    earlier: list[str] = []
    for name, feature in use_case.features.items():
        _Feature(use_case, found, str(name), earlier).check(feature)
        earlier.append(str(name))


class _Feature:
    """One feature, and the names of those before it."""

    def __init__(self, use_case: UseCase, found: Findings, name: str, earlier: list[str]) -> None:
        self._use_case = use_case
        self._fields = tuple(use_case.event.model_fields)
        self._found = found
        self._name = name
        self._earlier = earlier

    def _add(self, reason: str, mend: str, *place: str) -> None:
        self._found.add(("features", self._name, *place), f"feature {self._name!r} {reason}", mend)

    def check(self, feature: Any) -> None:
        if isinstance(feature, Window):
            self._window(feature)
        elif isinstance(feature, Column):
            self._column(feature)
        elif callable(feature):
            self._derived(feature)
        else:
            self._add(
                f"is {feature!r}, which is neither a field, a window nor a function.",
                f"A field as it is: {self._use_case.event.__name__}.fields({self._name!r}).",
            )
        if self._name == self._use_case.key and feature != Column(self._name):
            self._add(
                "has the name of the key but is something else, so windows by it would mix keys.",
                "Give it another name.",
            )

    def _column(self, column: Column) -> None:
        if column.name not in self._fields:
            self._add(
                f"takes {column.name!r}, which is not a field of {self._use_case.event.__name__}.",
                nearest(column.name, self._fields),
            )

    def _derived(self, function: Any) -> None:
        """One or two positional arguments without defaults: the task counts them."""
        fault = takes(function, "event") and takes(function, "event", "features")
        if fault is None:
            try:
                parameters = list(inspect.signature(function).parameters.values())
            except (TypeError, ValueError):  # a built-in callable may not tell
                return
            plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            odd = [
                p.name
                for p in parameters
                if p.kind not in plain or p.default is not inspect.Parameter.empty
            ]
            if not odd:
                return
            fault = f"has {', '.join(odd)} beside its plain arguments, which would be mistaken"
        self._add(
            f"is a function that {fault}.",
            "A derived feature is `lambda event: ...` or `lambda event, features: ...`, "
            "without defaults.",
        )

    # Windows.

    def _window(self, window: Window) -> None:
        self._lengths(window)
        self._by(window)
        if window.aggregate is None:
            self._add(
                f"says which {window.over} it runs over, and not what of them it takes.",
                f"Add the aggregate: over_{window.over}(...).count(), or .mean, .sum, .min, .max.",
            )
            return
        self._value(window)
        if window.aggregate == "mean":
            self._mean(window)
        if window.aggregate in ("min", "max"):
            self._extreme(window)

    def _lengths(self, window: Window) -> None:
        lengths = {"last": window.last, "half_life": window.half_life}
        given = {name: value for name, value in lengths.items() if value is not None}
        if len(given) != 1:
            self._add(
                f"has {'both' if given else 'neither'} last and half_life.",
                "Give one: last=hours(2) slides, half_life=days(20) decays.",
            )
        for name, value in given.items():
            if not is_number(value) or value <= 0:
                self._add(
                    f"has {name}={value!r}.", "Give a positive length, such as hours(2).", name
                )
        if not isinstance(window.keys, int) or window.keys < 1:
            self._add(f"has keys={window.keys!r}.", "Give at least 1.", "keys")

    def _by(self, window: Window) -> None:
        event, key = self._use_case.event.__name__, self._use_case.key
        features: Mapping[str, Any] = self._use_case.features
        for name in window.by:
            is_field = name in self._fields
            if name in self._earlier or (is_field and name not in features):
                continue
            if is_field and features[name] == Column(name):
                continue
            if name in features:
                self._add(
                    f"is by {name!r}, a feature that is computed later.",
                    f"Move {name!r} above {self._name!r}.",
                    "by",
                )
            else:
                self._add(
                    f"is by {name!r}, which is neither a field of {event} nor an earlier feature.",
                    nearest(name, [*self._fields, *self._earlier]),
                    "by",
                )
        if key not in window.by and self._found.sound("key"):
            self._lacks_key(window, key)

    def _lacks_key(self, window: Window, key: str) -> None:
        given = " and ".join(window.by) or "everything"
        both = ", ".join(f'"{name}"' for name in (key, *window.by))
        mend = f"Write by=({both})" if window.by else f'Write by="{key}"'
        other = next((name for name in window.by if name in self._fields), None)
        self._add(
            f"is by {given} without the key {key!r}. A window sees its own partition only, and "
            f"records with the same {given} are spread over all of them, so it would hold a part "
            "of them that changes with the number of partitions.",
            f"{mend}, or make {other!r} the use case's key." if other else f"{mend}.",
            "by",
        )

    def _value(self, window: Window) -> None:
        if window.aggregate == "count":
            return
        wanted = _ARGUMENTS[window.over]
        fault = takes(window.value, *wanted) if callable(window.value) else "is no function"
        if fault is not None:
            self._add(
                f"has a value that {fault}; over {window.over} it is given ({', '.join(wanted)}).",
                f"Write `lambda {', '.join(wanted)}: ...`.",
            )

    def _mean(self, window: Window) -> None:
        prior, empty = window.prior, window.empty
        if prior is None and not is_number(empty):
            self._add(
                "is a mean that says nothing of what it is while nothing was counted.",
                "Add empty=0.0, or a prior: an earlier feature's name, or a number.",
            )
        if isinstance(prior, str):
            self._prior(prior)
        elif prior is not None and not is_number(prior):
            self._add(f"has prior={prior!r}.", "Give a feature's name or a number.", "prior")
        if not is_number(window.weight) or window.weight < 0:
            self._add(f"has weight={window.weight!r}.", "Give 0 or more examples.", "weight")

    def _prior(self, prior: str) -> None:
        if prior in self._earlier:
            self._number(prior)
        elif prior in self._use_case.features:
            self._add(
                f"has the prior {prior!r}, which is computed later.",
                f"Move {prior!r} above {self._name!r}.",
                "prior",
            )
        else:
            self._add(
                f"has the prior {prior!r}, which is no feature.",
                nearest(prior, self._earlier),
                "prior",
            )

    def _number(self, prior: str) -> None:
        feature = self._use_case.features[prior]
        if not isinstance(feature, Column) or feature.name not in self._fields:
            return
        kind = self._use_case.event.model_fields[feature.name].annotation
        if kind not in (int, float, int | float):
            self._add(
                f"has the prior {prior!r}, which may be something else than a number.",
                "Take a window or a field that is always a number.",
                "prior",
            )

    def _extreme(self, window: Window) -> None:
        if window.half_life is not None:
            self._add(
                f"is a {window.aggregate} that decays; a smallest or largest value cannot fade.",
                "Use last=... instead of half_life.",
                "half_life",
            )
        if not is_number(window.empty):
            self._add(f"has empty={window.empty!r}.", "Give a number, such as 0.0.", "empty")
