"""JSON: one object a line, or documents that hold objects.

Lines are read one at a time. A file that begins with `[`, or whose first object goes over several
lines, is read whole (memory: its text), its records with their lines. NaN and infinity, which
Python's json writes and JSON does not have, are read as they are and judged as cells.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

import orjson

from streams.recordings.encodings import is_readable
from streams.recordings.report import Report, Unusable

LONG_INTEGER = re.compile(r"\d{19}")
"""orjson makes a float of an integer beyond 64 bits; Python's json does not."""
NEXT_OBJECT = re.compile(r"(?<=\})\s*,?\s*(?=\{)|\n\s*(?=\{)")
SPACE = re.compile(r"[\s,]*")
JSON_TYPES = {
    bool: "a truth value",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
}
MEND = "Write one JSON object a line, or a list of objects."

DECODER = json.JSONDecoder()
NESTED_MAX = 500
"""How deep a value may be nested, about. The command line lifts Python's own limit of
recursion, beyond which its parser would overrun the stack."""

Read = Iterator[tuple[int, Any]]
"""Line number and an object, or the `Unusable` instead of it."""


def is_document(head: str) -> bool:
    """Return True if a text's beginning is a list, or an object over several lines."""
    start = head.lstrip()
    if start.startswith("["):
        first = start.partition("\n")[0].rstrip().removesuffix(",")
        return not _is_json(first) or "\n" not in start.strip()
    first, ends, _ = start.partition("\n")
    return (
        bool(ends) and not _is_json(first) and re.fullmatch(r"\{\s*(\"[^{}]*)?", first) is not None
    )


def _is_json(text: str) -> bool:
    try:
        _, end = _value_at(text, 0)
    except (ValueError, RecursionError):
        return False
    return not text[end:].strip()


def _value_at(text: str, position: int) -> tuple[Any, int]:
    """Return a JSON value and where it ends; `RecursionError` if it is nested too deeply."""
    frame: FrameType | None = sys._getframe()
    depth = 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, depth + NESTED_MAX))
    try:
        return DECODER.raw_decode(text, position)
    finally:
        sys.setrecursionlimit(limit)


def lines_of(text: TextIO, report: Report) -> Read:
    """Yield the objects of JSON lines."""
    for number, line in enumerate(text, 1):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            if line.strip():
                yield from _several(line, number, report)
            continue
        if type(value) is not dict:
            yield from ((number, each) for each in _opened(value))
        elif LONG_INTEGER.search(line):
            yield number, json.loads(line)
        else:
            yield number, value


def object_in(value: bytes, report: Report) -> Iterator[Any]:
    """Yield the object in a record's value, or an `Unusable` instead; nothing of an empty one."""
    try:
        text = value.decode().replace("\n", " ").replace("\r", " ")
    except UnicodeDecodeError:
        yield Unusable("it is not UTF-8", "Send JSON in UTF-8.")
        return
    yield from (row for _, row in itertools.islice(lines_of(io.StringIO(text), report), 1))


def _several(line: str, number: int, report: Report) -> Read:
    """Yield what is on a line that is not one JSON value: several, or NaN in it, or broken."""
    if not is_readable(line):
        yield number, Unusable("it has bytes that are not of this encoding", "Say --encoding.")
        return
    values = list(_scanned(line, number))
    if len(values) > 1:
        report.note("several JSON objects on a line, each was read")
    yield from values


def document_of(text: TextIO) -> Read:
    """Return the objects of a document: its own list, or values one after another."""
    whole = text.read()
    body = whole.rstrip()
    start = len(body) - len(body.lstrip())
    listed = body.startswith("[", start)
    if listed and body.endswith("]"):
        body = body[:-1]
    return _scanned(body, 1, start + listed)


def _scanned(text: str, line: int, position: int = 0) -> Read:
    """Yield the values in a text; what follows a broken one is read, too."""
    counted = 0
    while True:
        space = SPACE.match(text, position)
        assert space is not None
        position = space.end()
        if position >= len(text):
            return
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = _value_at(text, position)
        except (ValueError, RecursionError) as error:
            reason = _why(error)
            at = line + text.count("\n", counted, getattr(error, "pos", position))
            yield at, Unusable(f"it is not JSON: {reason.lower()}", MEND)
            following = NEXT_OBJECT.search(text, position + 1)
            if following is None:
                return
            position = following.end()
            continue
        yield from ((line, each) for each in _opened(value))


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "it is nested too deeply" if isinstance(error, RecursionError) else "number out of range"


def _opened(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        yield from value
    else:
        kind = next((word for base, word in JSON_TYPES.items() if isinstance(value, base)), "null")
        yield Unusable(f"it is {kind}, not an object", MEND)
