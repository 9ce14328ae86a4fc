"""Control characters: refused in ids, and written as escapes wherever people see text.

A terminal executes ESC, OSC 52 and the C1 range (U+0080 to U+009F); a newline splits a log line; a
bidirectional override shows a text in another order. JSON keeps them: `json_text` only writes them
in JSON's own escapes.
"""

from __future__ import annotations

import re

_BEYOND_C0 = "\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069"
CONTROL = f"\\x00-\\x1f{_BEYOND_C0}"
"""Inside of a regular expression's brackets: C0, DEL, C1, line and paragraph separators, and
bidirectional controls."""

_SURROGATE = "\\ud800-\\udfff"  # no terminal prints half of a pair
_CONTROL = re.compile(f"[{CONTROL}{_SURROGATE}]")
_BUT_LINES = re.compile(f"[\\x00-\\x08\\x0b-\\x1f{_BEYOND_C0}{_SURROGATE}]")
_BEYOND_JSON = re.compile(f"[{_BEYOND_C0}{_SURROGATE}]")


def printable(text: str) -> str:
    """Return the text in one line that is safe to print: control characters as Python escapes.

    >>> print(printable("a\\nb\\x1b]52;c;cm0=\\x07"))
    a\\nb\\x1b]52;c;cm0=\\x07
    """
    return text if text.isprintable() else _CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the same for a text of several lines: line feeds and tabs stay."""
    return text if text.isprintable() else _BUT_LINES.sub(_escape, text)


def json_text(text: str) -> str:
    """Return a JSON document with ASCII escapes for the control characters that its serializer
    left.

    >>> json_text('{"key":"\\x9b2J"}')
    '{"key":"\\\\u009b2J"}'
    """
    return _BEYOND_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without_controls(text: str) -> str:
    """Return the text; raise `ValueError` that names the first control character in it."""
    if not text.isprintable() and (match := _CONTROL.search(text)):
        raise ValueError(
            f"it holds the control character U+{ord(match[0]):04X} at position {match.start()}; "
            "an id is printable text"
        )
    return text


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
