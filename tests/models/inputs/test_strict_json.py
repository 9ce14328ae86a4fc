"""Record types with validators of their own: what is valid as JSON is taken behind any."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import orjson
import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    RootModel,
    Tag,
    ValidationError,
    WrapValidator,
    computed_field,
    field_validator,
    model_validator,
)

from models.inputs.decoder import EVENTS, parsed_input
from models.inputs.strict_json import json_reader
from models.replay.backtest import run
from models.spec.use_case import Kpi
from schemas.events import Event, Outcome
from tests.support.one_partition import use_case

TIME = "2023-07-01T10:00:00Z"
BODY: dict[str, Any] = {"event_id": "t1", "event_time": TIME, "gate": "A"}


def unwrapped(value: Any) -> Any:
    """The row of a change event."""
    return value["row"] if isinstance(value, dict) and "row" in value else value


class Size(Enum):
    """Of a bag."""

    SMALL = "small"


class Inner(BaseModel, strict=True):
    """Strict itself, and recursive."""

    at: datetime
    next: Inner | None = None

    @model_validator(mode="wrap")
    @classmethod
    def through(cls, value: Any, handler: Any) -> Any:
        """Change nothing."""
        return handler(value)


class Bag(BaseModel, strict=True):
    """One kind of luggage."""

    kind: Literal["bag"]
    packed: date


class Box(BaseModel, strict=True):
    """Another."""

    kind: Literal["box"]
    packed: date


class Names(RootModel[tuple[str, ...]]):
    """A root of its own."""


def kind_of(value: Any) -> str:
    """The tag of a union that is told apart by a function."""
    return value["kind"] if isinstance(value, dict) else value.kind


class Row(Event):
    """All of a change event's row."""

    gate: str

    @model_validator(mode="before")
    @classmethod
    def row(cls, value: Any) -> Any:
        """Take it out of its envelope."""
        return unwrapped(value)


class Landed(Outcome):
    """In the same envelope."""

    minutes: float

    @model_validator(mode="before")
    @classmethod
    def row(cls, value: Any) -> Any:
        """Take it out of its envelope."""
        return unwrapped(value)


class FieldBefore(Event):
    """A validator of one field."""

    gate: str
    seen: datetime

    @field_validator("seen", mode="before")
    @classmethod
    def same(cls, value: Any) -> Any:
        """Change nothing."""
        return value


class Everything(Row):
    """Whatever strict mode takes from JSON only, behind an envelope."""

    gate: str = Field(validation_alias=AliasPath("place", "gate"))
    terminal: str = Field(validation_alias=AliasChoices("terminal", "t"))
    names: Names
    tags: tuple[str, ...]
    codes: frozenset[int]
    size: Size
    price: Decimal
    lasts: timedelta
    day: date
    inner: Inner
    luggage: Annotated[Bag | Box, Field(discriminator="kind")]
    hand: Annotated[Annotated[Bag, Tag("bag")] | Annotated[Box, Tag("box")], Discriminator(kind_of)]
    twice: Annotated[int, BeforeValidator(lambda value: value * 2)]
    wrapped: Annotated[datetime, WrapValidator(lambda value, handler: handler(value))]

    @model_validator(mode="after")
    def checked(self) -> Everything:
        """Refuse what does not fit together."""
        if self.twice < 0:
            raise ValueError("twice is below 0")
        return self

    @computed_field
    @property
    def more(self) -> int:
        """Not sent."""
        return self.twice + 1


EVERYTHING = {
    **BODY, "place": {"gate": "A"}, "t": "2", "names": ["x"], "tags": ["y"], "codes": [1, 2],
    "size": "small", "price": "1.10", "lasts": "PT5M", "day": "2023-07-01",
    "inner": {"at": TIME, "next": {"at": TIME}}, "luggage": {"kind": "box", "packed": "2023-06-30"},
    "hand": {"kind": "bag", "packed": "2023-06-30"}, "twice": 3, "wrapped": TIME,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (Row, BODY),
        (Row, {"row": BODY, "op": "c"}),
        (FieldBefore, BODY | {"seen": TIME}),
        (Everything, EVERYTHING),
        (Everything, {"row": EVERYTHING}),
    ],
)
def test_what_is_valid_json_is_taken_behind_any_validator(
    model: type[Event], body: dict[str, Any]
) -> None:
    """Times, tuples, sets, names of enumerations, nested and recursive models, unions, aliases."""
    event: Any = json_reader(model).validate_json(orjson.dumps(body))
    assert event.event_time == datetime(2023, 7, 1, 10, tzinfo=UTC)
    assert event.gate == "A"
    if model is Everything:
        assert event.inner.next.at == event.event_time
        assert (event.twice, event.more) == (6, 7)
        assert (type(event.luggage), type(event.hand)) == (Box, Bag)
        assert (event.size, event.codes) == (Size.SMALL, frozenset({1, 2}))


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"event_time": 1_688_205_600}, "event_time"),
        ({"tags": "y"}, "tags"),
        ({"t": 2}, "t"),
        ({"price": "cheap"}, "price"),
        ({"inner": {"at": 5}}, "inner.at"),
        ({"twice": "3"}, "twice"),
    ],
)
def test_what_is_refused_without_a_validator_is_refused_behind_one(
    changes: dict[str, Any], location: str
) -> None:
    """Strict as ever: no number for a time or a text, no text for a list; told by its place."""
    with pytest.raises(ValidationError) as caught:
        json_reader(Everything).validate_json(orjson.dumps({"row": EVERYTHING | changes}))
    assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(location)


def test_a_model_without_such_validators_is_read_by_pydantic_itself() -> None:
    """At no cost."""
    assert json_reader(Event) is Event.__pydantic_validator__


def outputs(use_case: Any, rows: Any) -> list[Any]:
    """All that a run gives."""
    results: list[Any] = []
    run(use_case, rows, partitions=3, definition="d", outputs=results.append)
    return results


def test_a_backtest_of_envelopes_finds_key_and_id_in_them() -> None:
    """Rows as they lie in the topic; the outcome, too, is in its envelope."""
    begin = datetime(2023, 7, 1, tzinfo=UTC)

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for n in range(20):
            time = begin + timedelta(hours=n)
            flight = {"event_id": f"f{n}", "gate": "AB"[n % 2]}
            yield "event", {"row": flight | {"event_time": time}}
            landed = {"event_id": f"f{n}", "minutes": 3.0, "outcome_time": time}
            yield "outcome", {"row": landed, "op": "u"}

    case = use_case(
        event=Row, outcome=Landed, key="gate", features={"gate": lambda event: event.gate},
        kpi=Kpi(lambda _e, o, s: abs(o.minutes - s), unit="m", better="lower", range=(0, 9)),
        label=lambda _e, o: o.minutes, baseline=lambda _e: 1.0, segments=None, slices={},
        plausible=None, models={"linear": use_case().models["linear"]}, champion="linear",
    )  # fmt: skip
    kinds, errors = [], []
    for output in outputs(case, rows()):
        kinds.append(output.kind)
        if output.kind == "dead-letter":
            errors.append(orjson.loads(output.value)["error"])
    assert errors == []
    assert kinds.count("examples") == 20
    assert parsed_input(case, EVENTS, b'{"row": {}}') is None
