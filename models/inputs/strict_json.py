"""Reads an author's record type from JSON, strictly, whatever validators it has.

pydantic hands a validator of mode "before" or "wrap" what it made of the JSON: text, numbers,
lists, dictionaries. What lies behind the validator is then no JSON for it any more, and in strict
mode a time as text, a list for a tuple or the name of an enumeration is refused. So what such a
validator passes on is written as JSON again and read as such (pydantic-core's `json` schema).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, SchemaValidator, core_schema, to_json

_OPAQUE = ("cls", "config", "function", "metadata", "ref", "serialization")
"""Parts of a core schema in which there are no further schemas to validate by."""


class JsonReader(Protocol):
    """Reads a record; raises ValidationError, or whatever a validator of the author's raises."""

    def validate_json(self, data: bytes, /) -> Any:
        """Return the record."""


@cache
def json_reader(model: type[BaseModel]) -> JsonReader:
    """Return what reads this model from JSON: pydantic's own where no validator stands before.

    >>> from pydantic import model_validator
    >>> from schemas.events import Event
    >>> class Row(Event):
    ...     size: float
    ...     @model_validator(mode="before")
    ...     @classmethod
    ...     def opened(cls, value):
    ...         return value["after"]
    >>> row = b'{"after": {"event_id": "a", "event_time": "2024-03-01T08:00:00Z", "size": 2}}'
    >>> json_reader(Row).validate_json(row).event_time.hour
    8
    """
    rewritten, changed = _rewritten(model.__pydantic_core_schema__)
    if not changed:
        return model.__pydantic_validator__
    # Built again all through: nested models have validators of their own, ready as they were.
    return SchemaValidator(rewritten, _use_prebuilt=False)


def _rewritten(schema: Any) -> tuple[Any, bool]:
    """Return a core schema whose "before" and "wrap" validators pass on JSON; and whether there was
    any.
    """
    if isinstance(schema, list | tuple):
        parts = [_rewritten(part) for part in schema]
        return type(schema)(part for part, _ in parts), any(changed for _, changed in parts)
    if not isinstance(schema, dict):
        return schema, False
    new_schema, changed = {}, False
    for name, part in schema.items():
        if name in _OPAQUE:
            new_schema[name] = part
            continue
        new_schema[name], inner = _rewritten(part)
        changed = changed or inner
    if new_schema.get("type") in ("function-before", "function-wrap") and "schema" in new_schema:
        new_schema["schema"] = _as_json(new_schema["schema"])
        return new_schema, True
    return new_schema, changed


def _as_json(schema: Any) -> Any:
    return core_schema.no_info_before_validator_function(_written, core_schema.json_schema(schema))


def _written(value: Any) -> bytes:
    try:
        return to_json(value)
    except PydanticSerializationError as error:
        raise ValueError(f"its validator gave what is no JSON: {error}") from None
