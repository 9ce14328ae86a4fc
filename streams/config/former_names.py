"""Suggestions where a use case's file names something that riverrun does not have.

Files written before the front door (ADR 0063) import internal modules and use the former names of
fields. They are not translated, since the definition would then not say what runs. The error names
the correction.
"""

from __future__ import annotations

import dataclasses
import difflib
import re

import riverrun
from models.spec.use_case import UseCase

INTERNAL = ("models", "schemas", "streams")
FORMER_FIELDS = {
    "explain": "contributions",
    "hidden": "internal_features",
    "jump_agree": "confirm_jump_after",
    "learns": "target",
    "memory": "id_retention",
    "never": "label_on_timeout",
    "watch": "drift_features",
}
OTHERWISE = "Fix the line that is named."


def hint_of(error: BaseException, line: str | None = None) -> str:
    """Return what to write instead, for the error that a use case's file raised.

    `line` is the source line that raised it.
    """
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] in INTERNAL:
        return _import_of(line or "")
    unknown = re.match(
        r"UseCase\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error)
    )
    return _field_for(unknown[1]) if isinstance(error, TypeError) and unknown else OTHERWISE


def _import_of(line: str) -> str:
    names = re.findall(r"\w+", line.partition(" import ")[2].partition("#")[0])
    public = ", ".join(name for name in names if name in riverrun.__all__)
    example = public or "Event, Outcome, UseCase"
    return f"Use cases import from riverrun alone: `from riverrun import {example}`."


def _field_for(field: str) -> str:
    fields = [each.name for each in dataclasses.fields(UseCase)]
    near = FORMER_FIELDS.get(field) or next(iter(difflib.get_close_matches(field, fields, 1)), None)
    meant = f"Write {near!r}. " if near else ""
    return f"{meant}Every field of a use case is in docs/reference/USECASE.md."
