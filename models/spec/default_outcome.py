"""The outcome that a passed horizon stands for, so that its label has a KPI like any other.

`UseCase.label_on_timeout` is either the fields of that outcome or only its label. From a label, an
outcome is made if one with that label exists: the declared defaults of all fields, or one field set
to the label. Fields that are required and not known stay unset, and a function that reads one
fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from models.spec.problem_types import KINDS
from models.spec.use_case import UseCase, fold_of
from schemas.errors import AUTHORS_FAULTS

OWN = ("event_id", "outcome_time")
"""Fields that are set for each event."""


class DefaultOutcome:
    """Makes the default outcome of an event, and its label; stateless.

    >>> from schemas.events import Event, Outcome
    >>> class Paid(Outcome):
    ...     fraud: bool
    >>> class Case:  # a UseCase, shortened
    ...     outcome, key, kind, horizon = Paid, "card", "binary", 60.0
    ...     label_on_timeout = False
    ...     label = staticmethod(lambda event, outcome: outcome.fraud)
    >>> time = "2024-03-01T08:00:00Z"
    >>> asked = Event.model_validate({"event_id": "e1", "event_time": time}, strict=False)
    >>> outcome, label = DefaultOutcome(Case).of(asked)
    >>> outcome.fraud, label, outcome.outcome_time.minute
    (False, False, 1)
    """

    def __init__(self, use_case: UseCase) -> None:
        self._use_case = use_case
        self._kind = KINDS[use_case.kind]
        self._horizon = timedelta(seconds=use_case.horizon)
        self._has_key = use_case.key in use_case.outcome.model_fields
        self._candidates = list(_candidates(use_case))

    def of(self, event: Any) -> tuple[Any, Any] | None:
        """Return (outcome, label); None if no outcome with the declared label can be made."""
        never = self._use_case.label_on_timeout
        for candidate in self._candidates:
            outcome = self._for_event(candidate, event)
            try:
                fold = fold_of(self._use_case)
                joined = outcome if fold is None else fold.joined(event, (outcome,))
                label = self._kind.label(self._use_case.label(event, joined))
            except AUTHORS_FAULTS:  # the author's function needs a field that is not known
                continue
            if isinstance(never, Mapping) or label == never:
                return joined, label
        return None

    def _for_event(self, candidate: Any, event: Any) -> Any:
        fields = {"event_id": event.event_id, "outcome_time": event.event_time + self._horizon}
        if self._has_key:
            fields[self._use_case.key] = getattr(event, self._use_case.key)
        outcome = candidate.model_copy(update=fields)
        outcome.__pydantic_fields_set__.clear()
        return outcome


def is_default(outcome: Any) -> bool:
    """Return whether an outcome stands for a passed horizon and came on no topic."""
    return not outcome.model_fields_set


def field_of(model: type[BaseModel], name: str, value: Any) -> Any:
    """Return the value as that field of the model; raises ValidationError if it cannot be one."""
    field = model.model_fields[name]
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    config = None if nested and not field.metadata else ConfigDict(arbitrary_types_allowed=True)
    return TypeAdapter(annotation, config=config).validate_python(value)


def _candidates(use_case: UseCase) -> Iterator[Any]:
    model, never = use_case.outcome, use_case.label_on_timeout
    if isinstance(never, Mapping):
        yield _made(model, {name: field_of(model, name, value) for name, value in never.items()})
        return
    names = [name for name in model.model_fields if name not in (*OWN, use_case.key)]
    for chosen in (None, *names):
        try:
            fields = {} if chosen is None else {chosen: field_of(model, chosen, never)}
            yield _made(model, fields)
        except (ValidationError, TypeError, ValueError):
            continue


def _made(model: type[BaseModel], fields: Mapping[str, Any]) -> Any:
    record = model.model_construct()
    record.__dict__.update(fields)
    return record
