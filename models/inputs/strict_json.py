"""Reads an author's record type from JSON, strictly, whatever validators it has.

pydantic calls a validator of mode "before" or "wrap" with the decoded JSON: text, numbers, lists,
dictionaries. What the validator returns no longer counts as JSON, so strict mode refuses a time as
text, a list for a tuple or the name of an enumeration. So the value that such a validator returns
is written as JSON again and read as JSON (pydantic-core's `json` schema).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, SchemaValidator, core_schema, to_json

_OPAQUE = ("cls", "config", "function", "metadata", "ref", "serialization")
"""Parts of a core schema in which there are no further schemas to validate by."""


class JsonReader(Protocol):
    """A reader of one record type; raises ValidationError, or whatever a validator of the author
    raises.
    """

    def validate_json(self, data: bytes, /) -> Any:
        """Return the record."""


@cache
def json_reader(model: type[BaseModel]) -> JsonReader:
    """Return a reader of this model: pydantic's own where the model has no validator that runs
    first.

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
    # Rebuilt throughout: nested models hold finished validators of their own.
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
