"""Records as columns: a flat, stable schema for pandas, polars, DuckDB and scikit-learn.

One column a field of the record's model, `features.<name>` one a feature, and four of Kafka's own.
What has no fixed shape (a dictionary, a list of models) is JSON text. What has no column, or does
not fit the type of its column, is in `other` as JSON, so nothing is ever left out or refused.

A feature that is a field of the event has that field's type, a window is a number; of a function's
the type is seen from values: numbers are float64, and it is fixed with the first file.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
from pydantic import AwareDatetime, BaseModel

from models.features.window_declarations import Window
from models.spec.personal_data import Masking
from models.spec.use_case import UseCase
from schemas.errors import Unavailable
from schemas.events import Column
from schemas.personal_data import MASK, wire_name
from schemas.topics import BY_KIND

KAFKA = {"kafka_offset": "int", "kafka_time": "time", "kafka_key": "text"}
OTHER = "other"
FEATURES = "features"
BOUNDS = {"interval": ("interval_lower", "interval_upper")}
"""Pairs that are two columns."""

Types = dict[str, str]
"""Column → `text`, `int`, `float`, `bool`, `time`, `floats`, `ints`, `texts` or `json`."""

_PLAIN: dict[Any, str] = {
    str: "text",
    int: "int",
    float: "float",
    bool: "bool",
    datetime: "time",
    AwareDatetime: "time",
}


def arrow(feature: str) -> Any:
    """Return the package pyarrow; raise `Unavailable` that tells how to install it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise Unavailable(f"{feature} needs pyarrow: pip install 'riverrun[data]'") from error
    return pyarrow


def types_of(use_case: UseCase, kind: str, sample: Iterable[Any] = ()) -> Types:
    """Return the columns of a kind of topic, in their order.

    `sample`: decoded values that show the features' types.
    """
    types: Types = dict(KAFKA)
    for model in _models(use_case, kind):
        for name, field in model.model_fields.items():
            if name == FEATURES:
                types |= _features(use_case, sample)
            elif name in BOUNDS:
                types |= dict.fromkeys(BOUNDS[name], "float")
            elif name in ("label", "prediction", "baseline", "value"):
                types[name] = _answer(use_case)
            else:
                types.setdefault(name, type_of(field.annotation))
    return types | {OTHER: "json"}


def _models(use_case: UseCase, kind: str) -> Sequence[type[BaseModel]]:
    own = {
        "events": (use_case.event,),
        "outcomes": (use_case.outcome,),
        "history": (use_case.event, use_case.outcome),
    }
    return own.get(kind, (BY_KIND[kind].record,))


def _answer(use_case: UseCase) -> str:
    return {"regression": "float", "binary": "bool"}.get(use_case.kind, "text")


def type_of(annotation: Any) -> str:
    """Return the column type of a field.

    >>> type_of(float | None), type_of(list[int]), type_of(dict[str, float])
    ('float', 'ints', 'json')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(parts[0])
    if origin is Literal:
        return "text" if all(isinstance(part, str) for part in parts) else "json"
    if origin in (Union, types.UnionType):
        kinds = {type_of(part) for part in parts if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else "float" if kinds == {"int", "float"} else "json"
    if origin is list and parts and (plain := type_of(parts[0])) in ("int", "float", "text"):
        return f"{plain}s"
    if not isinstance(annotation, type):
        return "json"
    return next((name for base, name in _PLAIN.items() if annotation is base), "json")


def _features(use_case: UseCase, sample: Iterable[Any]) -> Types:
    seen: dict[str, set[str]] = {}
    for value in sample:
        features = value.get(FEATURES)
        for name, feature in features.items() if isinstance(features, dict) else ():
            seen.setdefault(name, set()).add(_seen(feature))
    types: Types = {}
    for name, feature in use_case.features.items():
        kinds = seen.get(name, set())
        declared = None
        if isinstance(feature, Window):
            declared = None if feature.may_be_text else "float"
        elif isinstance(feature, Column):
            field = use_case.event.model_fields[feature.name]
            declared = type_of(field.annotation)
        one = kinds.pop() if len(kinds) == 1 else "float" if not kinds else "json"
        plain = declared is not None and declared in _PLAIN.values()
        types[f"{FEATURES}.{name}"] = declared if declared and plain else one
    return types


def _seen(value: Any) -> str:
    return "bool" if isinstance(value, bool) else "text" if isinstance(value, str) else "float"


def schema(kinds: Types, metadata: Mapping[str, str]) -> Any:
    """Return the Arrow schema; its metadata holds the types' names, to be read again."""
    pa = arrow("Parquet")
    plain = {
        "text": pa.string(),
        "json": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
        "ints": pa.list_(pa.int64()),
        "floats": pa.list_(pa.float64()),
        "texts": pa.list_(pa.string()),
    }
    fields = [pa.field(name, plain[kind]) for name, kind in kinds.items()]
    written = {"riverrun.types": orjson.dumps(kinds).decode(), **metadata}
    return pa.schema(fields, metadata=written)


def types_in(schema: Any) -> Types:
    """Return the types that a file's Arrow schema was made of."""
    types: Types = orjson.loads(schema.metadata[b"riverrun.types"])
    return types


def aliases_of(use_case: UseCase, kind: str) -> dict[str, str]:
    """Return alias → column, the field's own name, for fields with an alias."""
    return {
        wire: name
        for model in _models(use_case, kind)
        for name, field in model.model_fields.items()
        if (wire := wire_name(name, field)) != name
    }


class Rows:
    """Rows of one kind of topic, column by column, until they are a table.

    `aliases`: see `aliases_of`.
    """

    def __init__(
        self, kind: str, kinds: Types, masking: Masking, aliases: Mapping[str, str] | None = None
    ) -> None:
        self._kind, self._kinds, self._masking = kind, kinds, masking
        self._aliases = aliases or {}
        self.columns: dict[str, list[Any]] = {name: [] for name in kinds}

    def __len__(self) -> int:
        return len(self.columns["kafka_offset"])

    def add(self, record: Any, value: Any) -> None:
        """Add one record with its decoded value (any JSON, None for a tombstone)."""
        shown = self._masking.value(self._kind, value)
        flat, left = self._flat(shown)
        flat["kafka_offset"] = record.offset
        flat["kafka_time"] = record.timestamp * 1_000
        key = None if record.key is None else record.key.decode("utf-8", "replace")
        flat["kafka_key"] = self._masking.key_of(self._kind, key)
        flat[OTHER] = orjson.dumps(left).decode() if left else None
        for name, column in self.columns.items():
            column.append(flat.get(name))

    def _flat(self, value: Any) -> tuple[dict[str, Any], Any]:
        """Return the values that have a column, and the rest."""
        if not isinstance(value, dict):
            return {}, None if value is None else {"value": value}
        flat: dict[str, Any] = {}
        left: dict[str, Any] = {}
        for called, each in _opened(value):
            name = self._aliases.get(called, called)
            kind = self._kinds.get(name)
            if each is None:
                continue
            if each == MASK:
                flat[name] = MASK if kind in ("text", "json") else None
                continue
            fitted = None if kind is None or name in KAFKA else fit(each, kind)
            if fitted is None:
                left[called] = each
            else:
                flat[name] = fitted
        return flat, left

    def table(self, schema: Any) -> Any:
        """Return all rows as an Arrow table of that schema, and begin again with none."""
        pa = arrow("Parquet")
        arrays = [pa.array(self.columns[field.name], type=field.type) for field in schema]
        self.columns = {name: [] for name in self._kinds}
        return pa.Table.from_arrays(arrays, schema=schema)


def _opened(value: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, each in value.items():
        if name == FEATURES and isinstance(each, dict):
            yield from ((f"{FEATURES}.{feature}", one) for feature, one in each.items())
        elif name in BOUNDS and isinstance(each, list) and len(each) == 2:
            yield from zip(BOUNDS[name], each, strict=True)
        else:
            yield name, each


def fit(value: Any, kind: str) -> Any:
    """Return the value as its column has it; None if it does not fit there.

    >>> fit(3, "float"), fit(3.5, "int"), fit(True, "float"), fit({"a": 1}, "json")
    (3.0, None, None, '{"a":1}')
    """
    if kind == "json":
        return orjson.dumps(value).decode()
    if kind == "time":
        return _microseconds(value)
    if kind.endswith("s"):
        items = [fit(item, kind[:-1]) for item in value] if isinstance(value, list) else [None]
        return None if None in items else items
    if isinstance(value, bool) or kind == "bool":
        return value if kind == "bool" and isinstance(value, bool) else None
    if kind == "float":
        return float(value) if isinstance(value, int | float) else None
    if kind == "int":
        fits = isinstance(value, int) and -(2**63) <= value < 2**63
        return value if fits else None
    return value if isinstance(value, str) else None


def _microseconds(value: Any) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
        return None if moment.tzinfo is None else round(moment.timestamp() * 1_000_000)
    except (TypeError, ValueError):
        return None
