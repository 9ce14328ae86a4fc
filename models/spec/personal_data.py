"""What of a use case's records is personal, and the one masking that everything shown goes through.

Marked are fields of the event and the outcome (`schemas.personal`). Personal, too, is what is made
of them: a feature, or the label, whose code reads a marked field or a personal feature by its name.
That is read from the code, on the safe side: naming is enough. What a function hides from this (a
`getattr` with a name made up, another module's code) is not found.
"""

from __future__ import annotations

import types
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from models.usecase import UseCase
from models.windows import Window
from schemas.inputs import Column
from schemas.personal import MASK, Path, masked, personal_paths, values_at

SHOWN_MIN = 3
"""A personal text or number shorter than this is not looked for in an error's words."""
KEYED = ("events", "outcomes", "history", "features", "predictions", "examples", "dead-letter")
"""Kinds whose Kafka key is the use case's key."""


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
        """All that is personal, by its name, for people."""
        paths = [".".join(path) for path in (*self.event, *self.outcome)]
        return [*dict.fromkeys(paths), *(f"features.{name}" for name in sorted(self.features))]

    def value(self, kind: str, value: Any) -> Any:
        """A record's value (decoded JSON) of a kind of topic, masked."""
        if not self:
            return value
        return masked(self._special(kind, value), self.paths(kind))

    def paths(self, kind: str) -> tuple[Path, ...]:
        """Where personal values are in a record of this kind."""
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
        if kind == "drift" and value.get("subject") in self.features:
            return value | {"was": MASK, "now": MASK}
        if kind == "dead-letter":
            return value | {"error": self.words(value["error"], _original(value))}
        if kind == "predictions" and isinstance(value.get("contributions"), dict):
            named = {self.name(n): v for n, v in value["contributions"].items()}
            return value | {"contributions": named}
        return value

    def name(self, name: str) -> str:
        """A model input's name without the value in it: one-hot inputs are `feature_value`."""
        for feature in self.features:
            if name.startswith(f"{feature}_"):
                return f"{feature}_{MASK}"
        return name

    def key_of(self, kind: str, key: Any) -> Any:
        """A record's Kafka key, masked where it is a personal field."""
        return MASK if self.key and key is not None and kind in KEYED else key

    def letter(self, shown: Mapping[str, Any]) -> dict[str, Any]:
        """A dead letter as it is shown: `value`, `key` and `error` as text, masked."""
        if not self:
            return dict(shown)
        body = _decoded(shown["value"])
        paths = (*self.event, *self.outcome)
        # What is no record of the declared shape may hold anything anywhere.
        text = orjson.dumps(masked(body, paths)).decode() if isinstance(body, dict) else MASK
        hidden = [n for n in ("key", "key_base64") if self.key and shown.get(n) is not None]
        words = self.words(shown["error"], body)
        return {**shown, **dict.fromkeys(hidden, MASK), "value": text, "error": words}

    def words_about(self, value: bytes | None, text: str) -> str:
        """An error's words about a record's raw value, without that record's personal values."""
        return self.words(text, _decoded(value or b""))

    def words(self, text: str, body: Any) -> str:
        """An error's words about a record, without the personal values of that record."""
        found = {str(v) for path in (*self.event, *self.outcome) for v in values_at(body, path)}
        for value in sorted(found, key=len, reverse=True):
            if len(value) >= SHOWN_MIN:
                text = text.replace(value, MASK)
        return text


def _original(letter: Mapping[str, Any]) -> Any:
    return _decoded(b64decode(letter["value_base64"] or ""))


def _decoded(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


NOTHING = Masking()
"""Masks nothing: what was asked for with a reason."""


def masking_of(use_case: UseCase) -> Masking:
    """What is masked of a use case's records."""
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
        label=_mentions(use_case.label, frozenset(names)),
        key=(use_case.key,) in event,
    )


def _reads(feature: Any, names: frozenset[str]) -> bool:
    if isinstance(feature, Column):
        return feature.name in names
    if isinstance(feature, Window):
        named = isinstance(feature.prior, str) and feature.prior in names
        return named or (feature.value is not None and _mentions(feature.value, names))
    return _mentions(feature, names)


def _mentions(function: Callable[..., Any], names: frozenset[str]) -> bool:
    """Whether a function's code, or its helpers' in the same module, names one of these."""
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
    """Attributes, keys and global names that a piece of code mentions, inner functions too."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, str):
            names.add(constant)
        elif isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return frozenset(names)
