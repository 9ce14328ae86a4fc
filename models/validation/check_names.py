"""Names: of the use case, its owner, its records, its key and its topics; and types of fields."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from models.spec.source import Source
from models.spec.use_case import (
    Action,
    Contest,
    Freshness,
    Kpi,
    Learning,
    Price,
    Promotion,
    Segments,
    UseCase,
)
from models.validation.findings import Findings, is_number, nearest
from schemas.events import Event, Outcome
from schemas.records.prediction_schema import PredictionFormat
from schemas.topics import BY_KIND, topic_names

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")

Shape = tuple[Callable[[Any], bool], str]


def _one_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _maybe(shape: Shape) -> Shape:
    return (lambda value: value is None or shape[0](value)), f"{shape[1]}, or None"


def _model(of: type) -> Shape:
    def fits(value: Any) -> bool:
        return inspect.isclass(value) and issubclass(value, of)

    return fits, f"a class that inherits from {of.__name__}"


_TEXT: Shape = (_one_of(str), "text")
_NUMBER: Shape = (is_number, "a finite number")
_WHOLE: Shape = (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number")
_CALL: Shape = (callable, "a function")
_MAP: Shape = (_one_of(Mapping), "a dictionary")
_PAIR: Shape = (
    lambda v: isinstance(v, tuple) and len(v) == 2 and all(is_number(x) for x in v),
    "a pair of finite numbers (least, most)",
)


def _each(value: Any, fits: Callable[[Any], bool]) -> bool:
    # Of all models together, or of each by its name.
    return all(map(fits, value.values())) if isinstance(value, Mapping) else fits(value)


_NAMES: Shape = (_one_of(list, tuple), "a list of features' names")

SHAPES: Mapping[str, Shape] = {
    "name": _TEXT,
    "owner": _TEXT,
    "event": _model(Event),
    "outcome": _model(Outcome),
    "key": _TEXT,
    "label": _CALL,
    "features": _MAP,
    "models": _MAP,
    "champion": _TEXT,
    "baseline": _CALL,
    "metric": _TEXT,
    "kpi": (_one_of(Kpi), "a Kpi(...)"),
    "horizon": _NUMBER,
    "kind": _TEXT,
    "target": _TEXT,
    "limits": (
        lambda v: v is None or _each(v, _PAIR[0]),
        "a pair of finite numbers (least, most), one for each model by name, or None",
    ),
    "plausible": (
        lambda v: v is None or callable(v) or _PAIR[0](v),
        "a pair of finite numbers (least, most), a function, or None",
    ),
    "interval": _maybe(_NUMBER),
    "threshold": (
        lambda v: v is None or v == "kpi" or is_number(v),
        'a number, "kpi" or None',
    ),
    "weight": _maybe(_CALL),
    "warmup": (lambda v: _each(v, _WHOLE[0]), "a whole number, or one for each model by name"),
    "on_drift": (
        lambda v: _each(v, lambda action: action in get_args(Action)),
        f"one of {', '.join(get_args(Action))}, or one for each model by name",
    ),
    "segments": _maybe((_one_of(Segments), "a Segments(...)")),
    "slices": _MAP,
    "contest": (_one_of(Contest), "a Contest(...)"),
    "promotion": (_one_of(Promotion), "a Promotion(...)"),
    "targets": _MAP,
    "price": _maybe((_one_of(Price), "a Price(...)")),
    "topics": _MAP,
    "sources": (
        lambda v: isinstance(v, list | tuple) and all(isinstance(each, Source) for each in v),
        "a list of Source(...)",
    ),
    "partitions": _WHOLE,
    "learning": (
        lambda v: v is None or v in get_args(Learning),
        f"one of {', '.join(get_args(Learning))}, or None",
    ),
    "freshness": (_one_of(Freshness), "a Freshness(...)"),
    "window": _NUMBER,
    "internal_features": _NAMES,
    "drift_features": _maybe(_NAMES),
    "contributions": _WHOLE,
    "serve_features": (_one_of(bool, str), "True, False, or a feature's name"),
    "prediction_format": (
        lambda v: v in get_args(PredictionFormat),
        f"one of {', '.join(get_args(PredictionFormat))}",
    ),
    "breaker": (_one_of(bool), "True or False"),
    "id_retention": _maybe(_NUMBER),
    "waiting_limit": _WHOLE,
    "waiting_bytes": _WHOLE,
    "early_limit": _WHOLE,
    "early_bytes": _WHOLE,
    "max_jump": _maybe(_NUMBER),
    "confirm_jump_after": _WHOLE,
    "skip_after": _WHOLE,
    "recorded": _maybe(_CALL),
}


def check_shapes(use_case: UseCase, findings: Findings) -> None:
    """Check that every field is of the type that it is read as; others are `unsound` from here."""
    for field, (fits, wanted) in SHAPES.items():
        value = getattr(use_case, field)
        if not fits(value):
            findings.unsound.add(field)
            shown = repr(value) if len(repr(value)) <= 60 else type(value).__name__
            findings.add((field,), f"{field} is {shown}.", f"Give {wanted}.")


def check_names(use_case: UseCase, findings: Findings) -> None:
    """Report a name or owner that cannot be one."""
    name, owner = use_case.name, use_case.owner
    if findings.sound("name") and not NAME.fullmatch(name):
        mended = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_0123456789")
        findings.add(
            ("name",),
            f"name {name!r} cannot be part of a topic's name.",
            "Use lower-case letters, digits and underscores, beginning with a letter"
            + (f", for example {mended!r}." if mended else "."),
        )
    if findings.sound("owner") and not owner.strip():
        findings.add(
            ("owner",),
            "owner is empty.",
            "Name who is asked when this use case misbehaves, such as a team's mail address.",
        )


def check_key(use_case: UseCase, findings: Findings) -> None:
    """Report a key that is no field, may be None, or differs between languages as text."""
    if not findings.sound("event", "key"):
        return
    event, key = use_case.event, use_case.key
    field = event.model_fields.get(key)
    if field is None:
        findings.add(
            ("key",),
            f"key {key!r} is not a field of {event.__name__}.",
            nearest(key, event.model_fields),
        )
        return
    kinds = _kinds_of(field.annotation)
    if type(None) in kinds:
        findings.add(
            ("key",),
            f"key {key!r} may be None, and a record without a key has no partition.",
            f"Declare {key} in {event.__name__} without None, or choose another key.",
        )
    elif other := next((name for kind in kinds if (name := _of_no_one_text(kind))), None):
        findings.add(
            ("key",),
            f"key {key!r} is a {other}, whose text differs "
            "between languages; the Kafka key must equal it byte by byte.",
            "Use a field that is text or a whole number.",
        )


def _of_no_one_text(kind: Any) -> str | None:
    """Return the name of a type whose values are not the same text everywhere; None of others.

    >>> [_of_no_one_text(kind) for kind in (str, int, UUID, bool, float, Enum("Colour", "RED"))]
    [None, None, None, 'bool', 'float', 'Colour']
    """
    plain = isinstance(kind, type) and issubclass(kind, str | int) and kind is not bool
    enumerated = isinstance(kind, type) and issubclass(kind, Enum)
    if (plain and not enumerated) or get_origin(kind) is Literal or not isinstance(kind, type):
        return None
    same = enumerated and issubclass(kind, StrEnum | IntEnum)
    return None if same or kind is UUID else kind.__name__


def _kinds_of(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return set().union(*(_kinds_of(part) for part in get_args(annotation)))
    return {annotation}


def check_topics(use_case: UseCase, findings: Findings) -> None:
    """Report adopted topics of unknown kinds, with names that Kafka refuses, or named twice."""
    if not findings.sound("topics", "name"):
        return
    for kind, topic in use_case.topics.items():
        if kind not in BY_KIND:
            findings.add(
                ("topics", str(kind)),
                f"topics names {kind!r}, which no topic of a use case is.",
                nearest(kind, BY_KIND),
            )
        if not isinstance(topic, str) or not TOPIC.fullmatch(topic):
            findings.add(
                ("topics", str(kind)),
                f"topic {topic!r} for {kind} is no name that Kafka takes.",
                "Use up to 249 letters, digits, dots, underscores and dashes.",
            )
    taken: dict[str, str] = {}
    for kind, topic in topic_names(use_case.name, adopted=use_case.topics).items():
        other = taken.setdefault(topic, kind)
        if other != kind:
            findings.add(
                ("topics", kind if kind in use_case.topics else other),
                f"topic {topic!r} is named for both {other} and {kind}.",
                "Give each kind of record a topic of its own.",
            )
