"""Conditions on records, as people type them: `value > 30 and segment = UA`.

    condition  := both ("or" both)*           both := one ("and" one)*
    one        := "not" one | "(" condition ")" | path test?
    test       := ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "contains") literal
    literal    := number | "text" | 'text' | word | true | false | null | "[" literal, ... "]"

A path leads through a record by dots (`features.carrier`, `shadows.[UA]`); `key` is the Kafka key.
A path alone asks whether it has a value other than null and false. What cannot be compared (text
with a number, a missing value) is simply not so. `=` takes a number, true and false by their text,
too. Nothing is ever executed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from schemas.errors import ConfigError

Test = Callable[[Any], bool]
"""Takes a row as `streams.inspection.tail.row_of` makes it."""

LENGTH_MAX = 1_000
DEPTH_MAX = 50
_TOKEN = re.compile(
    r"""\s*(?: (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.:-]))
             | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
             | (?P<sign>==|!=|<=|>=|[=<>(),])
             | (?P<open>\[(?=[^\]]*,|\s*["'\d-]|\s*\]))
             | (?P<close>\](?!\w))
             | (?P<word>[\w@:/#+*-]+(?:\.?\[[^\]\s]*\]|[.\w@:/#+*-])*)
           )""",
    re.VERBOSE,
)
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONSTANTS = {"true": True, "false": False, "null": None}
HINT = "Example: value > 30 and name = 'Ann Miller'. See `riverrun tail --help`."


def filter_of(text: str) -> Test:
    """Return the filter that a condition describes.

    Raise a `ConfigError` that names what cannot be parsed.

    >>> filter_of("features.carrier=UA")({"value": {"features": {"carrier": "UA"}}})
    True
    >>> filter_of("value > 3 and not learnt")({"value": {"value": 4, "learnt": False}})
    True
    >>> filter_of("value > 3")({"value": {"value": "many"}})
    False
    """
    if len(text) > LENGTH_MAX:
        raise ConfigError(f"--where has {len(text)} characters.", hint=f"At most {LENGTH_MAX}.")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> Test:
        test = self._either()
        if self._at < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._at][1]!r} is unexpected")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._accept("word", "or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._accept("word", "and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong("it is nested too deeply")
        try:
            return self._inner()
        finally:
            self._depth -= 1

    def _inner(self) -> Test:
        if self._accept("word", "not"):
            refused = self._one()
            return lambda row: not refused(row)
        if self._accept("sign", "("):
            test = self._either()
            if not self._accept("sign", ")"):
                raise self._wrong("a ) is missing")
            return test
        kind, path = self._next("a field's name")
        if kind != "word":
            raise self._wrong(f"{path!r} is not a field's name")
        sign = self._sign()
        if sign is None:
            return lambda row: value_at(row, path) not in (None, False)
        return _compared(path, sign, self._literal())

    def _sign(self) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if (kind == "sign" and text not in "(),") or text in ("in", "contains"):
                self._at += 1
                return text
        return None

    def _literal(self) -> Any:
        kind, text = self._next("a value")
        if kind == "number":
            return orjson.loads(text)
        if kind == "text":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "word":
            return _CONSTANTS.get(text, text)
        if kind != "open":
            raise self._wrong(f"{text!r} is not a value")
        items: list[Any] = []
        while not self._accept("close", "]"):
            items.append(self._literal())
            self._accept("sign", ",")
        return items

    def _next(self, wanted: str) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise self._wrong(f"it ends where {wanted} is expected")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, kind: str, text: str) -> bool:
        is_next = self._at < len(self._tokens) and self._tokens[self._at] == (kind, text)
        self._at += is_next
        return is_next

    def _wrong(self, why: str) -> ConfigError:
        return ConfigError(f"--where {self._text!r} cannot be read: {why}.", hint=HINT)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConfigError(f"--where {text!r} cannot be read at {text[at:]!r}.", hint=HINT)
        at = match.end()
        yield str(match.lastgroup), match[str(match.lastgroup)]


def _compared(path: str, sign: str, wanted: Any) -> Test:
    if sign in ("=", "=="):
        return lambda row: _same(value_at(row, path), wanted)
    if sign == "!=":
        return lambda row: not _same(value_at(row, path), wanted)
    if sign == "in":
        items = wanted if isinstance(wanted, list) else [wanted]
        return lambda row: any(_same(value_at(row, path), item) for item in items)
    if sign == "contains":
        return lambda row: _contains(value_at(row, path), wanted)
    order = _ORDERS[sign]
    return lambda row: _ordered(order, value_at(row, path), wanted)


def value_at(row: Any, path: str) -> Any:
    """Return the value at a path in a row; None if there is none."""
    if path == "key":
        return row["key"]
    value = row["value"]
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _same(value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return value is wanted
    plain = type(value) is type(wanted) or not (isinstance(value, bool) or isinstance(wanted, bool))
    return (plain and value == wanted) or _written(value) == _written(wanted)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return str(wanted) in value
    return isinstance(value, list | dict) and wanted in value


def _ordered(order: Callable[[Any, Any], bool], value: Any, wanted: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (value, wanted))
    texts = isinstance(value, str) and isinstance(wanted, str)
    return (numbers or texts) and order(value, wanted)
