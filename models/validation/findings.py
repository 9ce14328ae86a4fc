"""What the checks of a declaration share: collecting mistakes, and the questions they all ask."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from models.declaration.lines import Lines
from schemas.errors import Misdeclared


class Findings:
    """Mistakes as they are found, each at its line; `unsound` fields are of a wrong type.

    A check asks `sound(...)` before it reads a field, so that one wrong type is one mistake.
    """

    def __init__(self, lines: Lines) -> None:
        self.mistakes: list[Misdeclared] = []
        self.unsound: set[str] = set()
        self._lines = lines

    def add(self, place: Iterable[str], reason: str, mend: str) -> None:
        """One mistake at a place as in `Lines.of`; the same one twice is one."""
        mistake = Misdeclared(reason, mend=mend, line=self._lines.of(*place))
        if (mistake.reason, mistake.line) not in {(m.reason, m.line) for m in self.mistakes}:
            self.mistakes.append(mistake)

    def sound(self, *fields: str) -> bool:
        """True if all of these can be read."""
        return self.unsound.isdisjoint(fields)

    def in_order(self) -> list[Misdeclared]:
        """By line, those without one last."""
        return sorted(self.mistakes, key=lambda m: (m.line is None, m.line or 0))


def is_number(value: Any) -> bool:
    """A finite int or float; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def nearest(name: object, known: Iterable[str]) -> str:
    """The mend of an unknown name.

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
    """None if `function` can be called with these; else what it takes, in words."""
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
    """How a callable is to be written.

    >>> call("label", "event", "outcome")
    'Write it as `def label(event, outcome): ...`, or a lambda.'
    """
    return f"Write it as `def {name}({', '.join(arguments)}): ...`, or a lambda."
