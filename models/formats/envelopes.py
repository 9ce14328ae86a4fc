"""Envelopes: what a value is wrapped in by who moves it. Each unwraps another format's value."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.formats.json_format import Json
from models.formats.payload import Format, Schemas
from schemas.errors import Malformed


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A wrapper of values that are written in `format`."""

    format: Format = field(default_factory=Json)

    @property
    def uses_registry(self) -> bool:
        """Return whether the wrapped values name their schema."""
        return self.format.uses_registry

    @property
    def packages(self) -> tuple[str, ...]:
        """Return the modules that decoding needs."""
        return self.format.packages


@dataclass(frozen=True, slots=True)
class Connect(_Envelope):
    """Kafka Connect's JSON converter with schemas: `{"schema": …, "payload": …}`.

    Values are as Connect writes them, a timestamp in milliseconds.

    >>> Connect().decode(b'{"schema": {"type": "struct"}, "payload": {"id": 7}}', {})
    {'id': 7}
    """

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the payload; raise `Malformed` if there is none."""
        envelope = self.format.decode(value, schemas)
        if not isinstance(envelope, Mapping) or "payload" not in envelope:
            raise Malformed("the value is no Connect envelope: it has no payload.")
        return envelope["payload"]


@dataclass(frozen=True, slots=True)
class Debezium(_Envelope):
    """A change event of Debezium: the row after the change.

    As its own ExtractNewRecordState does, the row is given `__op` ("c" created, "r" snapshot read,
    "u" updated, "d" deleted), `__source_ts_ms` and `__ts_ms`. A deletion is passed over unless
    `deletes`; it is then the row before it. Truncations and messages are passed over.

    >>> row = b'{"before": null, "after": {"id": 7}, "op": "c", "source": {"ts_ms": 5}, "ts_ms": 6}'
    >>> Debezium().decode(row, {})
    {'id': 7, '__op': 'c', '__source_ts_ms': 5, '__ts_ms': 6}
    """

    deletes: bool = False

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the row, or None if it is passed over; raise `Malformed` if it is no change."""
        change = self.format.decode(value, schemas)
        if isinstance(change, Mapping) and "payload" in change and "op" not in change:
            change = change["payload"]
        if change is None:
            return None
        if not isinstance(change, Mapping) or "op" not in change:
            raise Malformed("the value is no change event of Debezium: it has no op.")
        op, source = change["op"], change.get("source") or {}
        if op in ("t", "m") or (op == "d" and not self.deletes):
            return None
        row = change.get("before" if op == "d" else "after")
        if not isinstance(row, Mapping):
            raise Malformed(f"the change event (op {op!r}) has no row.")
        return {
            **row,
            "__op": op,
            "__source_ts_ms": source.get("ts_ms"),
            "__ts_ms": change.get("ts_ms"),
        }


@dataclass(frozen=True, slots=True)
class CloudEvents(_Envelope):
    """A CloudEvent in structured mode: its attributes, and its data as `data`.

    `data_base64` is decoded as JSON where `datacontenttype` says so, and is bytes otherwise.

    >>> event = b'{"specversion": "1.0", "id": "a", "type": "t", "source": "s", "data": {"n": 1}}'
    >>> CloudEvents().decode(event, {})["data"]
    {'n': 1}
    """

    def decode(self, value: bytes, schemas: Schemas) -> Any:
        """Return the event; raise `Malformed` if it is none."""
        event = self.format.decode(value, schemas)
        missing = [
            name
            for name in ("specversion", "id", "source", "type")
            if not isinstance(event, Mapping) or name not in event
        ]
        if missing:
            raise Malformed(f"the value is no structured CloudEvent: {missing[0]} is missing.")
        if "data_base64" not in event:
            return event
        content = str(event.get("datacontenttype", ""))
        try:
            data: Any = b64decode(event["data_base64"], validate=True)
            if content.partition(";")[0].endswith(("/json", "+json")):
                data = orjson.loads(data)
        except (ValueError, TypeError) as error:
            raise Malformed(f"data_base64 of the CloudEvent cannot be read: {error}") from None
        return {**event, "data": data}
