"""From a cell to the JSON value that a producer would have sent.

The field's type decides. Text stays text: "NA" in a text field is Namibia. In any other field the
texts of `ABSENT` mean that there is nothing, which a field may only lack if it is optional. What
could be understood in two ways (1,234 or 03/04/2024) is refused with an example of a right value.
"""

from __future__ import annotations

import enum
import math
import re
import types
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from pydantic import BaseModel

from models.values.absent_texts import ABSENT
from schemas.errors import ConfigError
from schemas.timestamps import unix_seconds
from streams.recordings.report import Unusable

TRUE = frozenset(("true", "t", "yes", "y", "on", "1"))
FALSE = frozenset(("false", "f", "no", "n", "off", "0"))
TIME_EXAMPLE = "2024-03-01T18:30:00+00:00"

INTEGER = re.compile(r"[+-]?[0-9]+(\.0+)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
COMMA_NUMBER = re.compile(r"[+-]?([0-9]+,?[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?")
GROUPED_BY_DOTS = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?")
GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_DAY_MONTH = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b")

_PLAIN = {str: "text", int: "int", float: "float", bool: "bool", datetime: "time", Any: "text"}


def kind_of(annotation: Any) -> str:
    """Return what a field holds: text, int, float, number, bool, time, decimal, json or other.

    >>> kind_of(float | None), kind_of(Literal["a"]), kind_of(dict[str, int]), kind_of(int | str)
    ('float', 'text', 'json', 'text')
    """
    annotation = getattr(annotation, "__value__", annotation)
    annotation = getattr(annotation, "__supertype__", annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(parts[0])
    if origin in (Union, types.UnionType):
        kinds = {kind_of(part) for part in parts if part is not type(None)}
        if "text" in kinds or not kinds:
            return "text"
        if kinds == {"int", "float"}:
            return "number"
        return kinds.pop() if len(kinds) == 1 else "other"
    if origin is Literal:
        return _of_values(parts)
    if origin is not None:
        return "json"
    if isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return _of_values([member.value for member in annotation])
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        for base, kind in ((Decimal, "decimal"), (BaseModel, "json"), (datetime, "time")):
            if issubclass(annotation, base):
                return kind
        if issubclass(annotation, list | dict | tuple | set | frozenset):
            return "json"
        if "Datetime" in annotation.__name__:  # pydantic's AwareDatetime and its like
            return "time"
    return _PLAIN.get(annotation, "other")


def _of_values(values: Any) -> str:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) != 1:
        return "text" if str in kinds else "other"
    return {str: "text", int: "int", bool: "bool", float: "float"}.get(kinds.pop(), "other")


class Times:
    """How times are read: `zone` for those without one, `pattern` (strptime) if not ISO 8601."""

    def __init__(self, zone: str | None, pattern: str | None) -> None:
        self._zone = None if zone is None else _zone(zone)
        self._name = zone
        self._pattern = pattern

    @property
    def changes_text(self) -> bool:
        """Return whether an option says how to read times that are text."""
        return self._zone is not None or self._pattern is not None

    def read(self, value: Any, *, aware: bool = True) -> str:
        """Return the time as a producer sends it: ISO 8601 with its zone."""
        if isinstance(value, str):
            text = value.strip()
            if self._pattern is None and NUMBER.fullmatch(text):
                return self._unix(float(text) if "." in text or "e" in text.lower() else int(text))
            return self._aware(self._parsed(text), text, aware=aware)
        if isinstance(value, datetime):
            return self._aware(value, str(value), aware=aware)
        if isinstance(value, date):
            return self._aware(datetime.combine(value, time()), str(value), aware=aware)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._unix(value)
        raise Unusable(f"{value!r} is not a time", f"Write {TIME_EXAMPLE}.")

    @staticmethod
    def _unix(number: float) -> str:
        seconds = unix_seconds(number)
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC).isoformat()
        why = f"{number!r} is not a time"
        if 20_000 <= number < 80_000:
            day = datetime(1899, 12, 30) + timedelta(days=number)
            why += f" (a date of Excel's, {day:%Y-%m-%d %H:%M}?)"
        elif len(str(number)) in (8, 10, 12, 14):
            why += " (a calendar date without separators?)"
        else:
            for unit, factor in (("micro", 10**6), ("nano", 10**9)):
                if 10**8 <= number // factor < 7.26e9:
                    day = datetime.fromtimestamp(number // factor, UTC)
                    why += f" (a Unix time in {unit}seconds, {day:%Y-%m-%d %H:%M}?)"
        raise Unusable(why, f"Write {TIME_EXAMPLE}, or a Unix time such as 1709317800.")

    def _parsed(self, text: str) -> datetime:
        if self._pattern is not None:
            try:
                return datetime.strptime(text, self._pattern)
            except ValueError:
                raise Unusable(
                    f"{text!r} does not fit {self._pattern!r}",
                    f"Write it as {datetime(2024, 3, 1, 18, 30).strftime(self._pattern)}.",
                ) from None
        try:
            utc = text.endswith(" UTC")
            return datetime.fromisoformat((text.removesuffix(" UTC") + "Z" * utc).upper())
        except ValueError:
            pass
        if _DAY_MONTH.match(text):
            raise Unusable(
                f"{text!r} is not ISO 8601: which number is the day and which the month",
                f"Write {TIME_EXAMPLE}, or say what it is with --time-format '%d.%m.%Y %H:%M'.",
            )
        raise Unusable(
            f"{text!r} is not a time of ISO 8601",
            f"Write {TIME_EXAMPLE}, or say what it is with --time-format.",
        )

    def _aware(self, moment: datetime, text: str, *, aware: bool) -> str:
        if moment.tzinfo is None and aware:
            if self._zone is None:
                raise Unusable(
                    f"{text!r} has no time zone",
                    f"Write {TIME_EXAMPLE}, or say which zone is meant: --zone UTC, "
                    "--zone Europe/Berlin.",
                )
            moment = moment.replace(tzinfo=self._zone)
            if moment.utcoffset() != moment.replace(fold=1).utcoffset():
                raise Unusable(
                    f"{text!r} comes twice or never in {self._name}, where clocks are changed",
                    f"Write it with its offset, such as {TIME_EXAMPLE}.",
                )
        return moment.isoformat()


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        offset = datetime.strptime(name, "%z").tzinfo
        assert offset is not None
        return offset
    except ValueError:
        pass
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"There is no time zone {name!r} here.",
            hint="Say UTC, +01:00 or a name such as Europe/Berlin (pip install tzdata has them).",
        ) from None


def reader_of(kind: str, times: Times, decimal: str, *, aware: bool) -> Callable[[str], Any]:
    """Return the function from a text to the JSON value of a field; it raises `Unusable`."""
    plain: dict[str, Callable[[str], Any]] = {
        "int": _integer,
        "bool": _truth,
        "json": _json,
        "time": lambda text: times.read(text, aware=aware),
        "float": lambda text: float(_number(text, decimal)),
        "decimal": lambda text: _number(text, decimal),
        "number": lambda text: _whole_or_not(_number(text, decimal)),
    }
    return plain.get(kind, str)


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise Unusable(f"{text!r} is not a whole number", _in_place_of(text, "12"))
    return int(text.partition(".")[0])


def _number(text: str, decimal: str) -> str:
    if decimal == ",":
        if COMMA_NUMBER.fullmatch(text):
            return text.replace(",", ".")
        why = f"{text!r} is not a number with a decimal comma"
        bare = re.sub(r"[ \u00a0\u202f'_]", "", text)
        if GROUPED_BY_DOTS.fullmatch(bare) or (bare != text and COMMA_NUMBER.fullmatch(bare)):
            raise Unusable(why, f"Write {bare.replace('.', '')}, without separators of thousands.")
        raise Unusable(why, "Write 7,5 (or say --decimal .).")
    if not NUMBER.fullmatch(text):
        raise Unusable(f"{text!r} is not a number", _in_place_of(text, "7.5"))
    if not math.isfinite(float(text)):
        raise Unusable(f"{text!r} is beyond what a number can be", "Write a finite number.")
    return text


def _in_place_of(text: str, example: str) -> str:
    """Return what to write: the text mended if it can be read in one way only, else an example."""
    bare = re.sub(r"[ \u00a0\u202f'_]", "", text)
    if GROUPED.fullmatch(bare) and ("." in bare or bare.count(",") > 1 or example == "12"):
        return f"Write {bare.replace(',', '')}, without separators of thousands."
    if "," in bare and COMMA_NUMBER.fullmatch(bare) and example != "12":
        return f"Write {bare.replace(',', '.')} (or say --decimal , if that is meant everywhere)."
    if bare != text and NUMBER.fullmatch(bare):
        return f"Write {bare}, without separators of thousands."
    kind = "a whole number" if example == "12" else "a number"
    return f"Write {kind} such as {example}."


def _whole_or_not(text: str) -> int | float:
    return int(text) if INTEGER.fullmatch(text) and "." not in text else float(text)


def _truth(text: str) -> bool:
    word = text.lower()
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise Unusable(f"{text!r} is neither true nor false", "Write true or false.")


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Unusable(f"{text!r} is not JSON", 'Write JSON, such as ["a", "b"].') from None


def jsonable(value: Any, kind: str, times: Times, *, aware: bool = True) -> Any:
    """Return a value of a column of Parquet or Arrow as JSON has it, without loss."""
    if kind == "time" and value is not None:
        return times.read(value, aware=aware)
    if isinstance(value, Decimal):
        if kind in ("float", "number"):
            return float(value)
        return int(value) if kind == "int" and value == int(value) else str(value)
    if isinstance(value, float) and kind == "int" and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if kind == "text" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(name): jsonable(item, "other", times) for name, item in value}
        return [jsonable(item, "other", times) for item in value]
    if isinstance(value, dict):
        return {name: jsonable(item, "other", times) for name, item in value.items()}
    return value


def guessed(text: str, decimal: str = ".") -> Any:
    """Return what a cell stands for without a use case; a number with leading zeros is a name.

    >>> guessed("12"), guessed("007"), guessed("1.5"), guessed(""), guessed("NA")
    (12, '007', 1.5, None, 'NA')
    """
    if not text.strip():
        return None
    number = COMMA_NUMBER if decimal == "," else NUMBER
    if number.fullmatch(text) and not re.match(r"[+-]?0\d", text):
        return _whole_or_not(text.replace(",", "."))
    return {"true": True, "false": False}.get(text.lower(), text)


__all__ = ["ABSENT", "NUMBER", "Times", "guessed", "jsonable", "kind_of", "reader_of"]
