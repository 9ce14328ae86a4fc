"""From a row to the event and the outcome in it, as a producer would have sent them.

Columns are matched by the field's alias or its name. A row with a time of an event is an event, one
with a time of an outcome an outcome, one with both is both; no other column decides, whatever it is
called. Of a row that is both, the event gets all columns but those that only the outcome declares,
and the other way round, so that no label gets into an event.

Each is checked as a worker would: what is refused here would be a dead letter there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from models.inputs.decoder import RECORD_BYTES_MAX, in_words, validated
from models.inputs.json_bytes import encoded
from models.spec.use_case import UseCase
from schemas.errors import AUTHORS_FAULTS
from schemas.personal_data import MASK, personal_paths, wire_name
from streams.recordings.cells import (
    ABSENT,
    NUMBER,
    TIME_EXAMPLE,
    Times,
    jsonable,
    kind_of,
    reader_of,
)
from streams.recordings.report import Report, Unusable

EXAMPLES = {
    "text": 'Write text, in JSON with quotes: "north".',
    "int": "Write a whole number such as 12.",
    "float": "Write a number such as 7.5.",
    "number": "Write a number such as 7.5.",
    "decimal": 'Write a number such as "7.5".',
    "bool": "Write true or false.",
    "time": f"Write {TIME_EXAMPLE}.",
}
REFUSED_NUMBER = "NaN and infinity are no numbers of JSON"


class RecordedEntry(NamedTuple):
    """One event or outcome. `rank` puts outcomes first on equal times."""

    time: float
    rank: int
    kind: str
    fields: dict[str, Any]
    event_id: str

    @property
    def sort_key(self) -> tuple[float, int]:
        """Return what records are ordered by."""
        return self.time, self.rank


class Field:
    """One declared field: its columns, and how a cell of it is read."""

    __slots__ = ("aware", "column", "kind", "name", "names", "nullable", "personal", "required")

    def __init__(self, name: str, info: FieldInfo, *, personal: bool) -> None:
        self.column = wire_name(name, info)
        self.name = name
        self.names = _names(name, info)
        self.kind = kind_of(info.annotation)
        self.aware = "naive" not in repr(info.annotation).lower() and (
            name in ("event_time", "outcome_time") or "Aware" in repr(info)
        )
        self.nullable = type(None) in getattr(info.annotation, "__args__", ())
        self.required = info.is_required()
        self.personal = personal


def _names(name: str, info: FieldInfo) -> set[str]:
    alias = info.validation_alias or info.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return {name, *(choice for choice in choices if isinstance(choice, str))}


def is_plain(model: type[BaseModel]) -> bool:
    """Return True if a model's columns are its fields, and no validator of the author's decides."""
    deep = any(is_deep(info) for info in model.model_fields.values())
    return not deep and not model.__pydantic_decorators__.model_validators


def is_deep(info: FieldInfo) -> bool:
    """Return True for a field that may be within another of the record, so that it is no column."""
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return any(isinstance(choice, AliasPath) for choice in choices)


def _is_there(value: Any) -> bool:
    return not (value is None or value == "" or (isinstance(value, str) and value in ABSENT))


class Side:
    """The event or the outcome of a use case, as rows of one file are read for it."""

    def __init__(
        self, kind: str, use_case: UseCase, times: Times, decimal: str, report: Report
    ) -> None:
        self.kind = kind
        self.model: type[BaseModel] = use_case.event if kind == "event" else use_case.outcome
        personal = {path[0] for path in personal_paths(self.model)}
        self.declared = [
            Field(name, info, personal=name in personal)
            for name, info in self.model.model_fields.items()
        ]
        self.by_column = {name: field for field in self.declared for name in field.names}
        self.time = f"{kind}_time"
        self.time_columns = next(f.names for f in self.declared if f.name == self.time)
        self.forbids = self.model.model_config.get("extra") == "forbid"
        self.plain = is_plain(self.model)
        self.foreign: frozenset[str] = frozenset()
        self._rank = 0 if kind == "outcome" else 1
        self._times, self._report = times, report
        self._readers: dict[str, tuple[Field, Callable[[str], Any]]] = {
            name: (field, reader_of(field.kind, times, decimal, aware=field.aware))
            for name, field in self.by_column.items()
        }

    def has_time(self, row: Mapping[str, Any]) -> bool:
        """Return True if the row has its time."""
        return any(_is_there(row.get(name)) for name in self.time_columns)

    def entry(self, fields: dict[str, Any]) -> RecordedEntry:
        """Return the record with its time if the model accepts it; else raise `Unusable`."""
        try:
            value = encoded(fields)
        except (TypeError, ValueError) as error:
            raise Unusable(f"it cannot be written as JSON: {error}", "") from None
        if len(value) > RECORD_BYTES_MAX:
            raise Unusable(f"it has {len(value)} bytes; at most {RECORD_BYTES_MAX} are read", "")
        try:
            body: Any = validated(self.model, value)
        except ValidationError as error:
            raise self._refusal(error) from None
        except (
            AUTHORS_FAULTS
        ) as error:  # a validator of the author's own met data that it cannot take
            name = f"{type(error).__name__}: {error}"
            raise Unusable(f"a validator of {self.model.__name__} failed: {name}", "") from error
        time = getattr(body, self.time).timestamp()
        return RecordedEntry(time, self._rank, self.kind, fields, body.event_id)

    def _refusal(self, error: ValidationError) -> Unusable:
        first = error.errors(include_url=False, include_context=False)[0]
        column = str(first["loc"][0]) if first["loc"] else None
        field = self.by_column.get(column or "")
        hint = EXAMPLES.get(field.kind, "") if field is not None else ""
        if first["type"] == "missing":
            hint = f"Give it a value. {hint}".strip()
        elif field is not None and field.kind == "time" and "timezone" in first["type"]:
            hint = f"Write {TIME_EXAMPLE}, or say which zone is meant: --zone UTC."
        return Unusable(in_words(error, self.model), hint, column)

    # From a row of text, of values, and of JSON.

    def of_texts(self, row: Mapping[str, str], *, split: bool = False) -> dict[str, Any]:
        """Return the record in a row of text."""
        fields: dict[str, Any] = {}
        wrong: list[tuple[str, Unusable]] = []
        readers, foreign = self._readers, self.foreign if split else frozenset()
        for column, text in row.items():
            pair = readers.get(column)
            if pair is None:
                if text and not self.forbids and column not in foreign:
                    fields[column] = text
                continue
            field, read = pair
            if field.kind == "text":
                if text:
                    fields[field.column] = text
                    if text in ABSENT:
                        self._report.note(f"column {column}: {text!r} is text there, and kept")
                    continue
            else:
                text = text.strip()
                if text in ABSENT:
                    self._report.note(f"column {column}: {text!r} is read as nothing")
                    text = ""
            try:
                if text:
                    fields[field.column] = read(text)
                elif field.required:
                    fields[field.column] = self._nothing(field)
            except Unusable as error:
                wrong.append((column, self._masked(error, field)))
        if wrong:
            raise _together(wrong)
        return fields

    def _nothing(self, field: Field) -> str | None:
        if field.nullable:
            return None
        if field.kind == "text":
            return ""
        raise Unusable(
            "it has no value",
            f"Only an optional field may lack one. {EXAMPLES.get(field.kind, '')}",
        )

    @staticmethod
    def _masked(error: Unusable, field: Field) -> Unusable:
        if not field.personal:
            return error
        return Unusable(f"{MASK} cannot be used here", EXAMPLES.get(field.kind, ""))

    def of_values(self, row: Mapping[str, Any], *, split: bool = False) -> dict[str, Any]:
        """Return the record in a row of a table."""
        fields: dict[str, Any] = {}
        wrong: list[tuple[str, Unusable]] = []
        foreign = self.foreign if split else frozenset()
        for column, value in row.items():
            field = self.by_column.get(column)
            if field is None:
                if not self.forbids and column not in foreign:
                    fields[column] = jsonable(value, "other", self._times)
                continue
            try:
                if isinstance(value, float) and not math.isfinite(value):
                    if math.isnan(value) and (field.nullable or not field.required):
                        self._report.note(f"column {column}: NaN is read as nothing")
                        if field.required:
                            fields[field.column] = None
                        continue
                    raise Unusable(f"{value} is not a number", EXAMPLES["float"])
                fields[field.column] = jsonable(value, field.kind, self._times, aware=field.aware)
            except Unusable as error:
                wrong.append((column, self._masked(error, field)))
        if wrong:
            raise _together(wrong)
        for field in self.declared:
            if field.required and field.nullable and field.column not in fields:
                fields[field.column] = None
        return fields

    def of_json(self, row: Mapping[str, Any], *, split: bool = False) -> dict[str, Any]:
        """Return the record in an object of JSON: as it is, but for misleading times and NaN."""
        fields: dict[str, Any] = {}
        wrong: list[tuple[str, Unusable]] = []
        foreign = self.foreign if split else frozenset()
        for column, value in row.items():
            field = self.by_column.get(column)
            if field is None:
                if column not in foreign and not (split and self.forbids):
                    fields[column] = value
                    if type(value) is float and not math.isfinite(value):
                        self._report.note(f"column {column}: {value} is read as null")
                continue
            try:
                if field.kind == "time":
                    value = self._time(column, value, field)
                elif type(value) is float and not math.isfinite(value):
                    raise Unusable(
                        f"{value} is not a number: {REFUSED_NUMBER}",
                        "Write null, or leave the field out.",
                    )
            except Unusable as error:
                wrong.append((column, self._masked(error, field)))
            fields[field.column] = value
        if wrong:
            raise _together(wrong)
        return fields

    def _time(self, column: str, value: Any, field: Field) -> Any:
        if isinstance(value, str) and not NUMBER.fullmatch(value) and not self._times.changes_text:
            return value
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            if not isinstance(value, str) or NUMBER.fullmatch(value):
                self._report.note(f"column {column}: Unix times were read (live, send ISO 8601)")
            return self._times.read(value, aware=field.aware)
        return value

    def of_topic(self, row: Mapping[str, Any], *, split: bool = False) -> dict[str, Any]:
        """Return the record as it is on a topic; a worker judges it in the same way."""
        for column, value in row.items():
            field = self.by_column.get(column)
            if field is not None and type(value) is float and not math.isfinite(value):
                raise Unusable(f"{value} is not a number: {REFUSED_NUMBER}", "Send null.", column)
        if not split:
            return dict(row)
        return {name: value for name, value in row.items() if name not in self.foreign}


def _together(wrong: Iterable[tuple[str, Unusable]]) -> Unusable:
    (column, first), *others = wrong
    more = "".join(f"; column {name}: {error.why}" for name, error in others)
    return Unusable(first.why + more, first.hint, column)


class RowMapping:
    """Rows of one file, as events, outcomes or both; `role` is which, if that is specified."""

    def __init__(
        self, use_case: UseCase, role: str | None, times: Times, decimal: str, report: Report
    ) -> None:
        self.event, self.outcome = (
            Side(kind, use_case, times, decimal, report) for kind in ("event", "outcome")
        )
        self.sides = [s for s in (self.event, self.outcome) if role in (None, s.kind)]
        self._report = report
        if role != "outcome":
            key = next(f.names for f in self.event.declared if f.name == use_case.key)
            event_columns, outcome_columns = set(self.event.by_column), set(self.outcome.by_column)
            self.event.foreign = frozenset(outcome_columns - event_columns)
            self.outcome.foreign = frozenset(event_columns - outcome_columns - key)

    def entries(self, row: Mapping[str, Any], read: str) -> Iterator[RecordedEntry | Unusable]:
        """Yield the event and the outcome in a row, `Unusable` for an outcome that cannot be used.

        Raises `Unusable` if nothing of the row can be. `read`: of_texts, of_values or of_json.
        """
        if len(self.sides) == 1:
            (side,) = self.sides
            split = side is self.event and self.outcome.has_time(row)
            if split:
                self._report.note("labels in the source were not read: --outcomes has them")
            yield side.entry(getattr(side, read)(row, split=split))
            return
        has_event, has_outcome = self.event.has_time(row), self.outcome.has_time(row)
        if has_outcome and not has_event:
            yield self.outcome.entry(getattr(self.outcome, read)(row))
            return
        if not has_event and not (self.event.plain and self.outcome.plain):
            yield from self._tried(row, read)
            return
        yield self.event.entry(getattr(self.event, read)(row, split=has_outcome))
        if has_outcome:
            try:
                yield self.outcome.entry(getattr(self.outcome, read)(row, split=True))
            except Unusable as error:
                yield error
        elif any(_is_there(row.get(name)) for name in self.event.foreign):
            self._report.note("rows with fields of an outcome but no time of it are events only")

    def _tried(self, row: Mapping[str, Any], read: str) -> Iterator[RecordedEntry]:
        """Yield what the author's validators find in a row: an event, an outcome or both."""
        refusals = []
        for side in (self.event, self.outcome):
            try:
                yield side.entry(getattr(side, read)(row))
            except Unusable as error:
                refusals.append(error)
        if len(refusals) == 2:
            as_event, as_outcome = refusals
            if self.event.plain:
                raise as_outcome
            likely = as_outcome if as_event.column in self.event.time_columns else as_event
            raise Unusable(
                f"as an event: {as_event.why}; as an outcome: {as_outcome.why}",
                likely.hint,
                likely.column,
            )
