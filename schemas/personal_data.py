"""Personal data: how a field is marked, and how what is marked is masked.

    class Order(Event):
        customer: Annotated[str, Personal]

The records on the topics hold what was sent. Whatever shows them (page, command line, dead letters,
Parquet) shows `MASK` in the place of a marked value. The JSON Schema says `"x-personal": true`, so
that readers in other languages know, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

MASK = "***"
"""What stands where a personal value was, whatever its type."""

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
"""The mark of a field that says something about a person."""


@cache
def personal_paths(model: type[BaseModel]) -> tuple[Path, ...]:
    """The paths of all marked values in a record of this model, in the order of its fields."""
    return tuple(_paths(model, ()))


def _paths(model: type[BaseModel], above: tuple[type[BaseModel], ...]) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        marked, inner = _looked_into(field.annotation)
        if marked or _is_marked(field.metadata):
            yield (name,)
            continue
        for part in inner:
            if part not in above:  # a model may hold others of its own kind
                yield from ((name, *path) for path in _paths(part, (*above, model)))


def _looked_into(annotation: Any) -> tuple[bool, list[type[BaseModel]]]:
    """Whether an annotation is marked anywhere within, and the models that it holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return False, [annotation]
    marked = _is_marked(getattr(annotation, "__metadata__", ()))
    models: list[type[BaseModel]] = []
    for part in get_args(annotation):
        within, found = _looked_into(part)
        marked, models = marked or within, models + found
    return marked, models


def _is_marked(metadata: Iterable[Any]) -> bool:
    return any(isinstance(mark, _Personal) for mark in metadata)


def masked(value: Any, paths: Iterable[Path]) -> Any:
    """`value` (decoded JSON) with `MASK` at the paths that it has; what is absent stays absent.

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
        return MASK  # not the shape that was declared, so nothing is known to be harmless
    name, *rest = path
    return value | {name: _masked_at(value[name], tuple(rest))} if name in value else value


def values_at(value: Any, path: Path) -> Iterator[Any]:
    """The plain values that are at a path, or below it."""
    if isinstance(value, list):
        for item in value:
            yield from values_at(item, path)
    elif isinstance(value, dict):
        for item in [value.get(path[0])] if path else value.values():
            yield from values_at(item, path[1:])
    elif value is not None:
        yield value
