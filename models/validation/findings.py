"""The common part of the checks of a declaration: collecting mistakes, and their questions."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from models.validation.source_lines import Lines
from schemas.errors import ConfigError


class Findings:
    """The mistakes of a declaration, each at its line; `unsound` fields are of a wrong type.

    A check asks `sound(...)` before it reads a field, so that one wrong type is one mistake.
    """

    def __init__(self, lines: Lines) -> None:
        self.mistakes: list[ConfigError] = []
        self.unsound: set[str] = set()
        self._lines = lines

    def add(self, location: Iterable[str], reason: str, hint: str) -> None:
        """Add a mistake at a location as in `Lines.of`; the same one twice is one."""
        mistake = ConfigError(reason, hint=hint, line=self._lines.of(*location))
        if (mistake.reason, mistake.line) not in {(m.reason, m.line) for m in self.mistakes}:
            self.mistakes.append(mistake)

    def sound(self, *fields: str) -> bool:
        """Return True if all of these can be read."""
        return self.unsound.isdisjoint(fields)

    def in_order(self) -> list[ConfigError]:
        """Return the mistakes by line, those without one last."""
        return sorted(self.mistakes, key=lambda m: (m.line is None, m.line or 0))


def is_number(value: Any) -> bool:
    """Return True for an int or float that is finite as a float; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a hint for an unknown name.

    >>> nearest("orgin", ["origin", "dest"])
    'Did you mean "origin"?'
    >>> nearest("x", ["origin", "dest"])
    'Known are: origin, dest.'
    """
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known are: {', '.join(names)}." if names else "There are none to choose from."


def takes(function: Callable[..., Any], *arguments: str) -> str | None:
    """Return None if `function` can be called with these; else what it takes, in words."""
    if inspect.iscoroutinefunction(function):
        return "is async; the loop calls it as a plain function"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in callables may not tell
        return None
    try:
        signature.bind(*arguments)
    except TypeError:
        given = ", ".join(signature.parameters) or "nothing"
        return f"takes ({given})"
    return None


def call(name: str, *arguments: str) -> str:
    """Return a hint that says how to write the function.

    >>> call("label", "event", "outcome")
    'Write it as `def label(event, outcome): ...`, or a lambda.'
    """
    return f"Write it as `def {name}({', '.join(arguments)}): ...`, or a lambda."
