"""An event's JSON without what is known of it anyway, which gives back the same bytes.

The names of its fields come from the schema, id and time from whoever keeps the event; what is left
are the texts of its values. It is done only where it gives back every byte, for JSON as most write
it: fields in any order, some left out, a space after names and values or none, times as RFC 3339
has them; values without others in them, texts without escapes. Other events stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

Order = int | bytes
"""Which fields there are: those whose bits are set, as declared; or the places of all."""
Short = tuple[bytes, Order | None, bool]
"""Values, their order, whether a space follows names and values. Without an order, the event."""
SHAPES_MAX = 100
"""Shapes that are remembered; others cost more."""
_VALUE = rb'("[^"\\]*"|[^",]*)'
_BETWEEN = b"\0"


class Shape(NamedTuple):
    """What events have in common but for their values: made of order and spacing."""

    order: Order
    spaced: bool
    form: bytes
    match: Callable[[bytes], Any]
    id_at: int
    time_at: int


class Shortening:
    """Of one class of events. Its only state is which shape was last, which is tried first."""

    def __init__(self, event: type[BaseModel]) -> None:
        fields = event.model_fields.items()
        names = {name: field.alias or name for name, field in fields}
        self._names = [*names.values()]
        self._own = names["event_id"], names["event_time"]
        self._indices = {name: index for index, name in enumerate(self._names[:256])}
        self._shape = lru_cache(SHAPES_MAX)(self._made)
        self._last = self._made((1 << len(names)) - 1, False)

    def short(self, event_id: str, time: float, event: bytes) -> Short:
        """Return the event in short; as it is where that is all that gives it back."""
        shape = self._last
        match = shape.match(event)
        if match is None:
            try:
                shape = self._last = self._shape_of(event)
            except (ValueError, LookupError, TypeError):
                return event, None, False
            match = shape.match(event)
        if match is None or _BETWEEN in event:
            return event, None, False
        values = [*match.groups()]
        if values[shape.id_at] != _quoted(event_id):
            return event, None, False
        values[shape.id_at] = b""
        told = values[shape.time_at]
        code = b"" if told[-7:] == b'+00:00"' else b"Z" if len(told) != 26 else b"m"
        if _written(time, code) == told:
            values[shape.time_at] = code
        elif told[:1] != b'"':
            return event, None, False
        return _BETWEEN.join(values), shape.order, shape.spaced

    def full(self, event_id: str, time: float, short: Short) -> bytes:
        """Return the event as it was."""
        text, order, spaced = short
        if order is None:
            return text
        shape = self._shape(order, spaced)
        values = text.split(_BETWEEN)
        values[shape.id_at] = _quoted(event_id)
        told = values[shape.time_at]
        if told[:1] != b'"':
            values[shape.time_at] = _written(time, told)
        return shape.form % tuple(values)

    def _shape_of(self, event: bytes) -> Shape:
        order = [self._indices[name] for name in orjson.loads(event)]
        ordered = order == sorted(order)
        mask = sum(1 << index for index in order)
        return self._shape(mask if ordered else bytes(order), b'": ' in event)

    def _made(self, order: Order, spaced: bool) -> Shape:
        if isinstance(order, bytes):
            names = [self._names[index] for index in order]
        else:
            names = [name for index, name in enumerate(self._names) if order >> index & 1]
        named = b'"%b": %b' if spaced else b'"%b":%b'
        texts = [named % (name.encode().replace(b"%", b"%%"), b"%b") for name in names]
        form = b"{" + (b", " if spaced else b",").join(texts) + b"}"
        pattern = re.escape(form.replace(b"%%", b"%")).replace(b"%b", _VALUE)
        own = [names.index(name) for name in self._own]
        return Shape(order, spaced, form, re.compile(pattern).fullmatch, *own)


def _quoted(event_id: str) -> bytes:
    return b'"%b"' % event_id.encode()


def _written(time: float, code: bytes) -> bytes:
    """Return a time as most write it, in quotes: with its zone, or `Z`, or to the millisecond."""
    moment = datetime.fromtimestamp(time, UTC)
    if code == b"m":
        return b'"%bZ"' % moment.isoformat(timespec="milliseconds")[:-6].encode()
    text = orjson.dumps(moment)
    return text if not code else text[:-7] + b'Z"'
