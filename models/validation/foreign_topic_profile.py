"""What the values of a foreign topic look like, and the source that would adopt it. Pure.

The format is seen from the bytes, then each field from the decoded values: which is unique (an id),
which is a time and in what unit, which groups records (a key), which are numbers sent as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from models.formats.avro import Avro
from models.formats.envelopes import CloudEvents, Connect, Debezium
from models.formats.json_format import Json
from models.formats.json_schema import JsonSchema
from models.formats.payload import Format, Schemas
from models.formats.protobuf import Protobuf
from models.formats.wire_format import HEADER_BYTES, find_schema_id
from schemas.errors import ConfigError, Malformed

DEPTH = 3
UNITS = (("epoch_s", 1.0), ("epoch_ms", 1e3), ("epoch_us", 1e6), ("epoch_ns", 1e9))
SINCE, UNTIL = 946_684_800.0, 4_102_444_800.0
"""Times from 2000 to 2100 are believed to be times."""
KINDS: Mapping[type, str] = {bool: "bool", str: "str", Decimal: "decimal", UUID: "uuid"}
TIMES: Mapping[str, str] = {
    "…": "a time",
    "epoch_s(…)": "seconds since 1970",
    "epoch_ms(…)": "milliseconds since 1970",
    "epoch_us(…)": "microseconds since 1970",
    "epoch_ns(…)": "nanoseconds since 1970",
    "local_time(…)": "text with a zone",
    'local_time(…, "UTC")': "without a zone: put in the right one for UTC",
}
"""How a time is read → in words."""
REGISTERED: Mapping[str, Format] = {"AVRO": Avro(), "PROTOBUF": Protobuf(), "JSON": JsonSchema()}


@dataclass(slots=True)
class FieldProfile:
    """One scalar field. `path`: dots lead into what is nested; `time`: how to read it as one."""

    path: str
    values: list[Any] = field(default_factory=list)
    missing: int = 0
    time: str | None = None

    @property
    def type(self) -> str:
        """Return `bool`, `int`, `float`, `decimal`, `number as text`, `str`, `uuid` or `other`."""
        kinds = {type(value) for value in self.values}
        if kinds <= {int, float} and kinds:
            return "int" if kinds == {int} else "float"
        if kinds == {str} and all(map(_is_number, self.values)):
            return "number as text"
        return KINDS.get(kinds.pop(), "other") if len(kinds) == 1 else "other"

    @property
    def distinct(self) -> int:
        """Return the number of different values."""
        return len(set(map(str, self.values)))


@dataclass(slots=True)
class SourceProfile:
    """A topic's format and fields. `id`, `time` and `key` are paths; None where none is seen.

    `rows`: the records, flat, by their paths. `unread`: paths of what is no scalar, or too deep.
    """

    format: str
    records: int
    refused: int
    fields: dict[str, FieldProfile]
    id: str | None = None
    time: str | None = None
    key: str | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def shown_time(self) -> str:
        """Return the time's field, and how it is read, in words."""
        if self.time is None:
            return "none"
        return f"{self.time} ({TIMES[self.fields[self.time].time or '…']})"


def profile_of(values: Sequence[bytes], schemas: Schemas) -> SourceProfile:
    """Return the profile of a topic's values; raise `ConfigError` if they have no known format."""
    format = format_of(values, schemas)
    rows, refused, unread = [], 0, dict[str, None]()
    for value in values:
        try:
            row = format.decode(value, schemas)
        except Malformed:
            refused += 1
            continue
        if isinstance(row, Mapping):
            rows.append(dict(_scalars(row, "", DEPTH, unread)))
    if not rows:
        raise ConfigError("None of the values is an object.", hint="Name another topic or file.")
    fields: dict[str, FieldProfile] = {}
    for row in rows:
        for path in row:
            fields.setdefault(path, FieldProfile(path))
    for profile in fields.values():
        profile.values = [row[profile.path] for row in rows if row.get(profile.path) is not None]
        profile.missing = len(rows) - len(profile.values)
        profile.time = _time_of(profile)
    plain = [{path: _plain(value) for path, value in row.items()} for row in rows]
    source_profile = SourceProfile(
        text_of(format), len(rows), refused, fields, rows=plain, unread=list(unread)
    )
    _choose(source_profile)
    return source_profile


def format_of(values: Sequence[bytes], schemas: Schemas) -> Format:
    """Return the format of most of the values."""
    for value in values:
        if (id := find_schema_id(value)) is not None:
            schema = schemas.get(id)
            if schema is not None:
                return _wrapped(REGISTERED[schema.type], value, schemas)
            if value[HEADER_BYTES:].lstrip().startswith(b"{"):
                return JsonSchema()
            raise ConfigError(
                "The values name a schema that is not known.", hint="Set SCHEMA_REGISTRY_URL."
            )
        try:
            row = orjson.loads(value)
        except orjson.JSONDecodeError:
            continue
        if isinstance(row, Mapping):
            return _envelope_of(row, Json())
    raise ConfigError(
        "The values are neither JSON nor behind the id of a schema.",
        hint="Declare their format by hand: Avro(schema=…) or Protobuf(message=…).",
    )


def _wrapped(format: Format, value: bytes, schemas: Schemas) -> Format:
    """Return the envelope that the format's value is, or the format."""
    try:
        row = format.decode(value, schemas)
    except Malformed:
        return format
    return _envelope_of(row, format) if isinstance(row, Mapping) else format


def _envelope_of(row: Mapping[str, Any], format: Format) -> Format:
    payload = row.get("payload") if "schema" in row else row
    if isinstance(payload, Mapping) and "op" in payload and {"before", "after"} & set(payload):
        return Debezium(format)
    if "schema" in row and "payload" in row:
        return Connect(format)
    return CloudEvents(format) if {"specversion", "source", "type"} <= set(row) else format


def text_of(format: Format) -> str:
    """Return the code of a format that was seen.

    >>> text_of(Debezium(Avro())), text_of(Debezium())
    ('Debezium(Avro())', 'Debezium()')
    """
    inner = getattr(format, "format", None)
    within = "" if inner is None or isinstance(inner, Json) else text_of(inner)
    return f"{type(format).__name__}({within})"


def _scalars(
    row: Mapping[str, Any], before: str, depth: int, unread: dict[str, None]
) -> Iterator[tuple[str, Any]]:
    """Yield the scalars by their paths; add what is none to `unread`."""
    for name, value in row.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping) and depth > 1 and "." not in str(name):
            yield from _scalars(value, f"{path}.", depth - 1, unread)
        elif isinstance(value, Mapping | list) or "." in str(name):
            unread[path] = None
        else:
            yield path, value


def _plain(value: Any) -> Any:
    """Return a value as JSON would have it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf") and "_" not in text
    except ValueError:
        return False


def _time_of(profile: FieldProfile) -> str | None:
    """Return how all values of a field are read as times, as code with `…` for the value."""
    values = profile.values
    if not values or any(isinstance(value, bool) for value in values):
        return None
    if all(isinstance(value, datetime) for value in values):
        return "…" if all(value.tzinfo for value in values) else 'local_time(…, "UTC")'
    if profile.type in ("decimal", "uuid"):
        return None
    if profile.type in ("int", "float", "number as text"):
        for name, per_second in UNITS:
            if all(SINCE <= float(value) / per_second < UNTIL for value in values):
                return f"{name}(…)"
        return None
    try:
        times = [datetime.fromisoformat(value) for value in values]
    except (ValueError, TypeError):
        return None
    return "local_time(…)" if all(time.tzinfo for time in times) else 'local_time(…, "UTC")'


def _choose(profile: SourceProfile) -> None:
    whole = [each for each in profile.fields.values() if not each.missing]
    whole = [each for each in whole if not each.path.startswith("__")]
    times = [each for each in whole if each.time is not None]
    profile.time = _likeliest(times, ("event_time", "time", "created", "_at", "ts", "date"))
    texts = ("str", "uuid")
    plain = [e for e in whole if e.time is None and e.type in (*texts, "int", "number as text")]
    unique = [each for each in plain if each.distinct == profile.records]
    profile.id = _likeliest(unique, ("event_id", "id", "uuid", "number"))
    groups = [
        each
        for each in plain
        if each.type in (*texts, "int") and 1 < each.distinct <= profile.records / 2
    ]
    if groups := [each for each in groups if each.type in texts] or groups:
        profile.key = max(groups, key=lambda each: each.distinct).path


def _likeliest(fields: Sequence[FieldProfile], names: Sequence[str]) -> str | None:
    """Return the field whose name is, or contains, the first of `names`; else the first."""
    for exact in (True, False):
        for name in names:
            for each in fields:
                last = each.path.rpartition(".")[2].lower()
                if last == name if exact else name in last:
                    return each.path
    return fields[0].path if fields else None
