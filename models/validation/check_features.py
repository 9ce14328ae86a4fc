"""Features and windows: they name what exists, in an order in which it is known.

The rule that surprises: a window whose `by` lacks the use case's key is shared. Its records are on
all partitions, so each counts them once the learner has put them in order: a little later.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AwareDatetime, FutureDatetime, NaiveDatetime, PastDatetime

from models.features.reference_tables import Lookup
from models.features.window_declarations import ENDLESS, OPTIONAL_EMPTY, UNDECAYED, Window
from models.spec.use_case import UseCase
from models.validation.check_tables import check_lookup
from models.validation.findings import Findings, is_number, nearest, takes
from models.values.durations import LONGEST_S, SHORTEST_S
from models.values.local_time import LocalTime
from schemas.events import Column

_ARGUMENTS = {"events": ("event", "features"), "outcomes": ("event", "outcome", "features")}

LAG_MAX = 1_000
SAMPLE_LEAST = 16

_NAMED = {
    "min": "a smallest value",
    "max": "a largest value",
    "latest": "a single value",
    "time_since": "a time",
    "distinct": "a count of different values",
}


def _is_time(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_time(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_is_time, get_args(annotation)))
    if annotation in (AwareDatetime, NaiveDatetime, PastDatetime, FutureDatetime):
        return True
    return isinstance(annotation, type) and issubclass(annotation, datetime)


def check_features(use_case: UseCase, findings: Findings) -> None:
    """Report the mistakes of every feature, in order."""
    if not findings.sound("features", "event"):
        return
    if not use_case.features:
        findings.add(
            ("features",),
            "there are no features, so the models see nothing.",
            f"Begin with the event's own fields: {use_case.event.__name__}.fields(...).",
        )
    earlier: list[str] = []
    for name, feature in use_case.features.items():
        _Feature(use_case, findings, str(name), earlier).check(feature)
        earlier.append(str(name))


class _Feature:
    """One feature, and the names of those before it."""

    def __init__(
        self, use_case: UseCase, findings: Findings, name: str, earlier: list[str]
    ) -> None:
        self._use_case = use_case
        self._fields = tuple(use_case.event.model_fields)
        self._findings = findings
        self._name = name
        self._earlier = earlier

    def _add(self, reason: str, hint: str, *location: str) -> None:
        self._findings.add(
            ("features", self._name, *location), f"feature {self._name!r} {reason}", hint
        )

    def check(self, feature: Any) -> None:
        if isinstance(feature, Window):
            self._window(feature)
        elif isinstance(feature, Lookup):
            check_lookup(self._use_case, self._add, feature, (*self._fields, *self._earlier))
        elif isinstance(feature, Column):
            self._column(feature)
        elif isinstance(feature, LocalTime):
            self._local_time(feature)
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

    def _local_time(self, feature: LocalTime) -> None:
        for name in feature.fields:
            if name not in self._fields:
                self._add(
                    f"reads {name!r}, which is not a field of {self._use_case.event.__name__}.",
                    nearest(name, self._fields),
                )
        time = self._use_case.event.model_fields.get(feature.time_field)
        if time is not None and not _is_time(time.annotation):
            self._add(
                f"takes the time from {feature.time_field!r}, which is no time.",
                "Declare that field as `datetime`, or leave time_field out: it is event_time.",
            )

    def _derived(self, function: Any) -> None:
        """Report a function that takes other than one or two plain arguments, which are counted."""
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
                f"Add the aggregate: over_{window.over}(...).count(), or .mean, .latest, .quantile "
                "and others.",
            )
            return
        self._value(window)
        self._decay(window)
        self._numbers(window)
        if window.aggregate == "mean":
            self._mean(window)
        else:
            self._empty(window)

    def _lengths(self, window: Window) -> None:
        lengths = {"last": window.last, "half_life": window.half_life}
        given = {name: value for name, value in lengths.items() if value is not None}
        if len(given) == 2 or (not given and window.aggregate not in ENDLESS):
            self._add(
                f"has {'both' if given else 'neither'} last and half_life.",
                "Give one: last=hours(2) slides, half_life=days(20) decays.",
            )
        for name, value in given.items():
            if not is_number(value) or not SHORTEST_S <= value <= LONGEST_S:
                self._add(
                    f"has {name}={value!r}.",
                    f"Give a length, such as hours(2): {SHORTEST_S:g} to {LONGEST_S:g} s.",
                    name,
                )
        if not isinstance(window.keys, int) or window.keys < 1:
            self._add(f"has keys={window.keys!r}.", "Give at least 1.", "keys")
        if window.values is None:
            return
        if type(window.values) is not int or window.values < 1:
            self._add(f"has values={window.values!r}.", "Give at least 1, or None.", "values")
        elif window.last is None or window.aggregate in (*ENDLESS, "distinct"):
            self._add(
                "has values=..., which bounds how many values a key holds, and holds none.",
                "Leave it out: it is for sliding windows, and neither for latest, time_since nor "
                "distinct.",
                "values",
            )

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
        sound = self._findings.sound("key", "learning")
        if sound and key not in window.by and self._use_case.learning == "partition":
            self._lacks_key(window, key)

    def _lacks_key(self, window: Window, key: str) -> None:
        given = " and ".join(window.by) or "everything"
        both = ", ".join(f'"{name}"' for name in (key, *window.by))
        self._add(
            f'is by {given} without the key {key!r}, and learning is "partition". Records with '
            f"the same {given} are spread over all partitions, and only where these share a "
            "learner do they learn of each other's.",
            f'Remove learning="partition", or write by=({both}).',
            "by",
        )

    def _value(self, window: Window) -> None:
        if window.aggregate == "count" or (window.aggregate, window.value) == ("time_since", None):
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
        if isinstance(feature, Window) and feature.aggregate in OPTIONAL_EMPTY:
            if feature.may_be_text or feature.empty is None:
                self._add(
                    f"has the prior {prior!r}, which may be missing or no number.",
                    "Take a feature that is always a number, or give that one an `empty`.",
                    "prior",
                )
            return
        if not isinstance(feature, Column) or feature.name not in self._fields:
            return
        kind = self._use_case.event.model_fields[feature.name].annotation
        if kind not in (int, float, int | float):
            self._add(
                f"has the prior {prior!r}, which may be something else than a number.",
                "Take a window or a field that is always a number.",
                "prior",
            )

    def _decay(self, window: Window) -> None:
        if window.half_life is not None and window.aggregate in UNDECAYED:
            self._add(
                f"is {_NAMED[window.aggregate or '']}, which cannot fade, and decays.",
                "Use last=... instead of half_life.",
                "half_life",
            )

    def _numbers(self, window: Window) -> None:
        if not is_number(window.q) or not 0.0 <= window.q <= 1.0:
            self._add(
                f"has q={window.q!r}.", "Give a share of the records: 0.5 is the median.", "q"
            )
        if type(window.lag) is not int or not 1 <= window.lag <= LAG_MAX:
            self._add(
                f"has lag={window.lag!r}.", f"1 is the newest record; {LAG_MAX:,} at most.", "lag"
            )
        if type(window.sample) is not int or window.sample < SAMPLE_LEAST:
            self._add(
                f"has sample={window.sample!r}.",
                f"Give at least {SAMPLE_LEAST}: so many different values are counted exactly.",
                "sample",
            )

    def _empty(self, window: Window) -> None:
        empty = window.empty
        if empty is None and window.aggregate in OPTIONAL_EMPTY:
            return
        if window.may_be_text and isinstance(empty, str):
            return
        if not is_number(empty):
            self._add(f"has empty={empty!r}.", "Give a number, such as 0.0.", "empty")
