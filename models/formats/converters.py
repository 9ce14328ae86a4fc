"""Times and numbers as others write them, for the functions of a source.

All raise `ValueError` for what they do not read, which makes the record a dead letter.
"""

from __future__ import annotations

import math
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_s(value: Any) -> datetime:
    """Return the time of seconds since 1970 (a number, or one as text), to the microsecond.

    >>> epoch_s("1.5").isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    """
    return _since_epoch(value, 1_000_000)


def epoch_ms(value: Any) -> datetime:
    """Return the time of milliseconds since 1970.

    >>> epoch_ms(1709280000123).isoformat()
    '2024-03-01T08:00:00.123000+00:00'
    """
    return _since_epoch(value, 1_000)


def epoch_us(value: Any) -> datetime:
    """Return the time of microseconds since 1970."""
    return _since_epoch(value, 1)


def epoch_ns(value: Any) -> datetime:
    """Return the time of nanoseconds since 1970, cut to the microsecond.

    >>> epoch_ns(1709280000123456789).microsecond
    123456
    """
    return _EPOCH + timedelta(microseconds=int(_exact(value) // 1_000))


def _since_epoch(value: Any, micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(_exact(value) * micros))


def _exact(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"{value!r} is no time since 1970")
    try:
        exact = Decimal(str(value))
    except ArithmeticError:
        exact = Decimal("NaN")
    if not exact.is_finite():
        raise ValueError(f"{value!r} is no time since 1970")
    return exact


def local_time(value: Any, zone: str | None = None, form: str | None = None) -> datetime:
    """Return the time that a text says, in UTC; also of a time without a zone, as Avro has them.

    `zone` (an IANA name) is that of one without; of two times that it may be when clocks are set
    back, it is the first. `form`: as in `datetime.strptime`, default ISO 8601.

    >>> local_time("2024-03-01T09:00:00", "Europe/Berlin").isoformat()
    '2024-03-01T08:00:00+00:00'
    >>> local_time("01.03.2024 09:00", "Europe/Berlin", "%d.%m.%Y %H:%M").isoformat()
    '2024-03-01T08:00:00+00:00'
    """
    if isinstance(value, datetime):
        time = value
    elif not isinstance(value, str):
        raise ValueError(f"{value!r} is no time as text")
    else:
        time = datetime.fromisoformat(value) if form is None else datetime.strptime(value, form)
    if time.tzinfo is None:
        if zone is None:
            raise ValueError(f"{value!r} has no zone; say which is meant: local_time(…, zone)")
        time = time.replace(tzinfo=ZoneInfo(zone))
    return time.astimezone(UTC)


def epoch_days(value: Any, zone: str = "UTC") -> datetime:
    """Return the time at which a day begins in a zone, of days since 1970-01-01 (a whole number).

    As Debezium and Connect write a date.

    >>> epoch_days(19783, "Europe/Berlin").isoformat()
    '2024-02-29T23:00:00+00:00'
    """
    day = _EPOCH + timedelta(days=int(_exact(value)))
    return day.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def unscaled(value: Any, scale: int) -> float:
    """Return the decimal whose digits are a whole number of bytes, two's complement, big-endian.

    As Connect, and so Debezium by default, writes decimals: bytes, in JSON as base64; `scale` is
    the number of digits after the point, which the schema says.

    >>> unscaled("BNI=", 2)
    12.34
    """
    try:
        digits = b64decode(value, validate=True) if isinstance(value, str) else bytes(value)
    except (ValueError, TypeError):
        raise ValueError(f"{value!r} is no decimal as bytes") from None
    return float(Decimal(int.from_bytes(digits, "big", signed=True)).scaleb(-scale))


def number(value: Any, decimal: str = ".") -> float:
    """Return a number that was sent as text, as a Decimal or as a number, as a float.

    `decimal` is what stands before the fraction.

    >>> number("12.50"), number("1.234,5", decimal=",")
    (12.5, 1234.5)
    """
    if isinstance(value, str):
        if decimal == ",":
            value = value.replace(".", "").replace(",", ".")
        elif "_" in value:
            raise ValueError(f"{value!r} is no number")
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{value!r} is no number")
    amount = float(value)
    if not math.isfinite(amount):
        raise ValueError(f"{value!r} is no finite number")
    return amount
