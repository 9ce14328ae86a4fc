"""Personal data: how a field is marked, and how its values are masked.

    class Order(Event):
        customer: Annotated[str, Personal]

The records on the topics hold what was sent. Whatever shows them (page, command line, dead letters,
Parquet) shows `MASK` instead of a marked value. The JSON Schema says `"x-personal": true`, so
that readers in other languages know, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import AliasChoices, BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

MASK = "***"
"""The text that replaces a personal value, whatever its type."""

Path = tuple[str, ...]
"""Names that lead from a record to a value; lists on the way are passed through."""


class _Personal:
    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core_schema), "x-personal": True}

    def __repr__(self) -> str:
        return "Personal"


Personal = _Personal()
"""The mark of a field with personal data."""


@cache
def personal_paths(model: type[BaseModel]) -> tuple[Path, ...]:
    """Return the paths of all marked values in a record of this model, in field order."""
    return tuple(_paths(model, ()))


def _paths(model: type[BaseModel], above: tuple[type[BaseModel], ...]) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        marked, inner = _looked_into(field.annotation)
        # A record has a field under its alias, the author's code under its name.
        names = dict.fromkeys((name, wire_name(name, field)))
        if marked or _is_marked(field.metadata):
            yield from ((each,) for each in names)
            continue
        for part in inner:
            if part not in above:  # a model may hold others of its own kind
                for path in _paths(part, (*above, model)):
                    yield from ((each, *path) for each in names)


def wire_name(name: str, field: FieldInfo) -> str:
    """Return the name of a field in a record: its alias, or its own name.

    >>> wire_name("depot", FieldInfo(alias="depot-id", annotation=str))
    'depot-id'
    """
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), None)
    return alias if isinstance(alias, str) else name


def _looked_into(annotation: Any) -> tuple[bool, list[type[BaseModel]]]:
    """Return whether an annotation contains a mark at any depth, and the models in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return False, [annotation]
    marked = _is_marked(getattr(annotation, "__metadata__", ()))
    models: list[type[BaseModel]] = []
    for part in get_args(annotation):
        is_marked, inner_models = _looked_into(part)
        marked, models = marked or is_marked, models + inner_models
    return marked, models


def _is_marked(metadata: Iterable[Any]) -> bool:
    return any(isinstance(mark, _Personal) for mark in metadata)


def masked(value: Any, paths: Iterable[Path]) -> Any:
    """Return `value` (decoded JSON) with `MASK` at the paths that exist in it.

    A path that does not begin at the top is looked for below: the record may be in an envelope.

    >>> masked({"op": "c", "row": {"who": {"name": "Ann"}}}, [("who", "name")])
    {'op': 'c', 'row': {'who': {'name': '***'}}}
    >>> masked({"id": 1, "who": {"name": "Ann", "age": 40}}, [("who", "name")])
    {'id': 1, 'who': {'name': '***', 'age': 40}}
    """
    for path in paths:
        value = _masked_at(value, path)
    return value


def _masked_at(value: Any, path: Path) -> Any:
    if value is None:
        return None
    if not path:
        return MASK
    if isinstance(value, list):
        return [_masked_at(item, path) for item in value]
    if not isinstance(value, dict):
        return MASK  # not the declared shape, so no part is known to be harmless
    name, *rest = path
    if name in value:
        return value | {name: _masked_at(value[name], tuple(rest))}
    return {key: _masked_below(part, path) for key, part in value.items()}


def _masked_below(value: Any, path: Path) -> Any:
    if isinstance(value, list):
        return [_masked_below(item, path) for item in value]
    return _masked_at(value, path) if isinstance(value, dict) else value


def values_at(value: Any, path: Path) -> Iterator[Any]:
    """Return the plain values at a path, or below it."""
    if isinstance(value, list):
        for item in value:
            yield from values_at(item, path)
    elif isinstance(value, dict):
        if path and path[0] not in value:
            inside = [part for part in value.values() if isinstance(part, dict | list)]
            for part in inside:
                yield from _values_below(part, path)
            return
        for item in [value[path[0]]] if path else value.values():
            yield from values_at(item, path[1:])
    elif value is not None:
        yield value


def _values_below(value: dict[str, Any] | list[Any], path: Path) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from values_at(value, path)
        return
    for item in value:
        if isinstance(item, dict | list):
            yield from _values_below(item, path)
