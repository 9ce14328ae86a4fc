"""One foreign record, decoded and mapped: the same code in a relay, a backtest and a batch.

Whatever an author's function does with a record that it does not expect, the record is refused
with the reason. Nothing here keeps state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from models.formats.payload import Schemas
from models.inputs.decoder import KEY_BYTES_MAX, RECORD_BYTES_MAX, in_words, validated
from models.inputs.json_bytes import encoded
from models.spec.source import Mapper, Source
from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS, Malformed, RiverrunError
from schemas.personal_data import personal_paths


class MappedRecord(NamedTuple):
    """An event or an outcome as it goes onto its topic. `time`: seconds, UTC.

    `key` is None where it is that of the event whose id the outcome names.
    """

    kind: str
    key: bytes | None
    value: bytes
    time: float
    event_id: str


class RecordMapper:
    """What a source makes of the values of its topic."""

    def __init__(self, use_case: UseCase, source: Source) -> None:
        self._format = source.format
        personal = personal_paths(use_case.event) or personal_paths(use_case.outcome)
        self._discreet = bool(personal)
        self._models = (use_case.event, use_case.outcome)
        self._sides = [
            _Side(use_case, source, kind, mapper)
            for kind, mapper in (("outcomes", source.outcome), ("events", source.event))
            if mapper is not None
        ]

    def records(self, value: bytes | None, schemas: Schemas) -> list[MappedRecord]:
        """Return the records in a value: none, an event, an outcome, or both.

        Raises `Malformed` if it cannot be decoded or mapped.
        """
        if value is None:
            return []
        try:
            decoded = self._format.decode(value, schemas)
            if decoded is None:
                return []
            mapped_value = [side.record(decoded) for side in self._sides]
        except RiverrunError:
            raise
        except ValidationError as error:  # the author's function made a record of wrong fields
            model = next((m for m in self._models if m.__name__ == error.title), self._models[0])
            raise Malformed(in_words(error, model)) from None
        except AUTHORS_FAULTS as error:  # the author's function met data that it cannot take
            words = type(error).__name__ if self._discreet else f"{type(error).__name__}: {error}"
            raise Malformed(
                f"the source cannot map it: {words}. Correct the source's function, or the record."
            ) from error
        return [record for record in mapped_value if record is not None]


class _Side:
    """The event or the outcome that a source makes."""

    def __init__(self, use_case: UseCase, source: Source, kind: str, mapper: Mapper) -> None:
        self._kind = kind
        self._map = _function_of(mapper)
        self._is_event = kind == "events"
        self._model: type[BaseModel] = use_case.event if self._is_event else use_case.outcome
        self._write = self._model.__pydantic_serializer__.to_json
        self._key_field = use_case.key
        self._key = None if self._is_event else _key_of(source)
        self._by_id = source.by_id and not self._is_event

    def record(self, decoded: Any) -> MappedRecord | None:
        """Return the record of a decoded value, or None if it has none."""
        mapped_value = self._map(decoded)
        if mapped_value is None:
            return None
        if isinstance(mapped_value, self._model):
            body: Any = mapped_value
            value = self._write(mapped_value, by_alias=True)
        elif isinstance(mapped_value, Mapping):
            value = _coded(mapped_value)
            body = self._validated(value)
        else:
            raise Malformed(
                f"the source gave a {type(mapped_value).__name__}; return a "
                f"{self._model.__name__}, its fields in a dictionary, or None."
            )
        if len(value) > RECORD_BYTES_MAX:
            raise Malformed(
                f"its record has {len(value)} bytes; at most {RECORD_BYTES_MAX} are read."
            )
        time = body.event_time if self._is_event else body.outcome_time
        key = None if self._by_id else self._key_in(body, decoded)
        return MappedRecord(self._kind, key, value, time.timestamp(), body.event_id)

    def _validated(self, value: bytes) -> Any:
        try:
            return validated(self._model, value)
        except ValidationError as error:
            raise Malformed(in_words(error, self._model)) from None

    def _key_in(self, body: Any, decoded: Any) -> bytes:
        key = getattr(body, self._key_field) if self._key is None else self._key(decoded)
        if key is None:
            raise Malformed(f"its key, {self._key_field!r}, is missing.")
        coded = str(key).encode()
        if len(coded) > KEY_BYTES_MAX:
            raise Malformed(f"its key has {len(coded)} bytes; at most {KEY_BYTES_MAX} are read.")
        return coded


def _coded(fields: Mapping[str, Any]) -> bytes:
    """Return fields as JSON; an exact decimal, as Avro has them, is a number."""
    decimals = {name: float(value) for name, value in fields.items() if type(value) is Decimal}
    return encoded({**fields, **decimals} if decimals else fields)


def _key_of(source: Source) -> Callable[[Any], Any] | None:
    key = source.key
    return field_at(key) if isinstance(key, str) else key


def _function_of(mapper: Mapper) -> Callable[[Any], Any]:
    if not isinstance(mapper, Mapping):
        return mapper
    fields = {
        name: field_at(where) if isinstance(where, str) else where for name, where in mapper.items()
    }

    def mapped(value: Any) -> dict[str, Any]:
        return {name: field(value) for name, field in fields.items()}

    return mapped


def field_at(path: str) -> Callable[[Any], Any]:
    """Return what reads a field of a decoded value; dots lead into what is nested.

    >>> field_at("order.id")({"order": {"id": 7}})
    7
    """
    names = path.split(".")

    def field(value: Any) -> Any:
        for name in names:
            value = value[name]
        return value

    return field
