"""The personal data in a use case's records, and the one masking that everything shown goes
through.

Authors mark fields of the event and the outcome (`schemas.personal_data`). What is computed from a
marked field is personal, too: a feature, or the label, whose code reads a marked field or a
personal feature by its name. The code is searched, on the safe side: naming a field is enough. What
a function hides from the search (a `getattr` with a computed name, another module's code) is
missed.
"""

from __future__ import annotations

import re
import types
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from models.features.reference_tables import Lookup
from models.features.window_declarations import Window
from models.spec.label_fold import label_functions
from models.spec.use_case import UseCase
from models.values.local_time import LocalTime
from schemas.events import Column
from schemas.personal_data import MASK, Path, masked, personal_paths, values_at

SHOWN_MIN = 3
"""A personal text or number shorter than this is looked for as a whole word in an error's words."""

SHOWN_HEADERS = frozenset(
    (
        "riverrun_attempt",
        "riverrun_letter",
        "riverrun_kind",
        "content-type",
        "traceparent",
        "ce_specversion",
        "ce_id",
        "ce_time",
        "ce_type",
    )
)
"""Headers of a producer's record whose values are of a form that holds no personal data."""
KEYED = ("events", "outcomes", "history", "features", "predictions", "examples", "dead-letter")
"""Kinds whose Kafka key is the use case's key."""
SHARED_COUNTS = {"window-entries": "entries", "models": "windows"}
"""Where what shared windows count is found: keys and values of any fields."""


@dataclass(frozen=True, slots=True)
class Masking:
    """What is masked in each kind of record; false where nothing is."""

    event: tuple[Path, ...] = ()
    outcome: tuple[Path, ...] = ()
    features: frozenset[str] = frozenset()
    label: bool = False
    key: bool = False

    def __bool__(self) -> bool:
        return bool(self.event or self.outcome)

    @property
    def fields(self) -> list[str]:
        """Return the names of everything that is personal."""
        paths = [".".join(path) for path in (*self.event, *self.outcome)]
        return [*dict.fromkeys(paths), *(f"features.{name}" for name in sorted(self.features))]

    def value(self, kind: str, value: Any) -> Any:
        """Return the value (decoded JSON) of a record of that kind, masked."""
        if not self:
            return value
        return masked(self._special(kind, value), self.paths(kind))

    def paths(self, kind: str) -> tuple[Path, ...]:
        """Return the paths of personal values in a record of this kind."""
        features = tuple(("features", name) for name in sorted(self.features))
        return {
            "events": self.event,
            "outcomes": self.outcome,
            "history": (*self.event, *self.outcome),
            "features": features,
            "examples": (*features, ("label",)) if self.label else features,
            "dead-letter": (("value_base64",), *((("key_base64",),) if self.key else ())),
        }.get(kind, ())

    def _special(self, kind: str, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if kind == "drift" and self._tells(str(value.get("subject"))):
            hidden = dict.fromkeys(("edges", "names", "then", "now_shares"))
            return value | {"was": MASK, "now": MASK} | hidden
        if kind == "dead-letter":
            return value | {"error": self.words(value["error"], _original(value))}
        if kind == "predictions" and isinstance(value.get("contributions"), dict):
            named = {self.name(n): v for n, v in value["contributions"].items()}
            return value | {"contributions": named}
        if kind in SHARED_COUNTS and value.get(SHARED_COUNTS[kind]):
            return value | {SHARED_COUNTS[kind]: MASK}
        return value

    def _tells(self, subject: str) -> bool:
        """Return True if a drift record of that subject holds personal values."""
        kind, _, name = subject.rpartition(":")
        return kind != "missing" and name in self.features

    def headers(self, headers: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return a producer's headers; values that may hold personal data are masked."""
        if not self:
            return list(headers)
        return [(name, value if name in SHOWN_HEADERS else MASK) for name, value in headers]

    def name(self, name: str) -> str:
        """Return a model input's name, masked where it holds a value, as one-hot inputs do."""
        for feature in self.features:
            if name.startswith(f"{feature}_"):
                return f"{feature}_{MASK}"
        return name

    def key_of(self, kind: str, key: Any) -> Any:
        """Return a record's Kafka key, masked where it is a personal field."""
        return MASK if self.key and key is not None and kind in KEYED else key

    def letter(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dead letter with `value`, `key` and `error` as text, masked."""
        if not self:
            return dict(shown)
        body = _decoded(shown["value"])
        paths = (*self.event, *self.outcome)
        # A record that does not have the declared shape may hold anything anywhere.
        text = orjson.dumps(masked(body, paths)).decode() if isinstance(body, dict) else MASK
        hidden = [n for n in ("key", "key_base64") if self.key and shown.get(n) is not None]
        words = self.words(shown["error"], body)
        headers = self.headers(shown.get("headers", ()))
        changed = {"value": text, "error": words, "headers": headers}
        return {**shown, **dict.fromkeys(hidden, MASK), **changed}

    def words_about(self, value: bytes | None, text: str) -> str:
        """Return an error's text about a raw record, without the record's personal values."""
        return self.words(text, _decoded(value or b""))

    def words(self, text: str, body: Any) -> str:
        """Return an error's text about a decoded record, without the record's personal values."""
        personal = {str(v) for path in (*self.event, *self.outcome) for v in values_at(body, path)}
        for value in sorted(filter(None, personal), key=len, reverse=True):
            if len(value) >= SHOWN_MIN:
                text = text.replace(value, MASK)
                continue
            # A part of another word does not count; a single character counts only where it is
            # quoted.
            before, after = ("(?<=')", "(?=')") if len(value) == 1 else (r"(?<!\w)", r"(?!\w)")
            text = re.sub(before + re.escape(value) + after, MASK, text)
        return text


def _original(letter: Mapping[str, Any]) -> Any:
    return _decoded(b64decode(letter["value_base64"] or ""))


def _decoded(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


NOTHING = Masking()
"""Masks nothing: for what an operator reveals with a reason."""


def masking_of(use_case: UseCase) -> Masking:
    """Return what is masked in the records of a use case."""
    event, outcome = personal_paths(use_case.event), personal_paths(use_case.outcome)
    if not event and not outcome:
        return NOTHING
    names = {path[0] for path in (*event, *outcome)}
    features: set[str] = set()
    for name, feature in use_case.features.items():
        if _reads(feature, frozenset(names | features)):
            features.add(name)
    return Masking(
        event,
        outcome,
        frozenset(features),
        label=any(_mentions(f, frozenset(names)) for f in label_functions(use_case.label)),
        key=(use_case.key,) in event,
    )


def _reads(feature: Any, names: frozenset[str]) -> bool:
    if isinstance(feature, Column):
        return feature.name in names
    if isinstance(feature, LocalTime):
        return bool(names.intersection(feature.fields))
    if isinstance(feature, Window):
        named = isinstance(feature.prior, str) and feature.prior in names
        return named or (feature.value is not None and _mentions(feature.value, names))
    if isinstance(feature, Lookup):
        return feature.by in names
    return _mentions(feature, names)


def _mentions(function: Callable[..., Any], names: frozenset[str]) -> bool:
    """Return True if a function's code, or a helper's in its module, names one of these."""
    module = getattr(function, "__module__", None)
    return any(names & _names_in(code) for code in _codes(function, module, set()))


def _codes(function: Any, module: str | None, seen: set[int]) -> Iterator[types.CodeType]:
    function = getattr(function, "func", function)  # functools.partial
    code = getattr(function, "__code__", None)
    if code is None or id(code) in seen or getattr(function, "__module__", None) != module:
        return
    seen.add(id(code))
    yield code
    for name in _names_in(code):
        yield from _codes(function.__globals__.get(name), module, seen)


@cache
def _names_in(code: types.CodeType) -> frozenset[str]:
    """Return attributes, keys and global names in a piece of code and its inner functions."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, str):
            names.add(constant)
        elif isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return frozenset(names)
