"""Records and numbers that are too large, and schemas that grow while the use case runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import field_validator

from models.inputs.decoder import EVENTS
from tests.support.one_partition import (
    FEATURES,
    Delivery,
    Order,
    Out,
    Partition,
    kinds,
    started,
    use_case,
)

KIB = 1_024
BROKER_BYTES_MAX = 1_048_576


# Sizes.


@pytest.mark.parametrize(
    ("value", "rest"),
    [
        (b"\x00" * 10_000_000, {}),
        (b"x", {"headers": (("h", b"x" * 5_000_000),)}),
        (b"x", {"headers": tuple(("", b"") for _ in range(200_000))}),
        (b"x", {"headers": (("n" * 3_000_000, b""),)}),
        (b"x", {"key": b"k" * 3_000_000}),
    ],
    ids=["value", "one header", "many empty headers", "a header's name", "key"],
)
def test_a_dead_letter_fits_any_broker_s_message_size(value: bytes, rest: dict[str, Any]):
    """Else the transaction that carries it could never commit: one bad record for ever."""
    (out,) = [one for one in started().give(EVENTS, value, **rest) if one.kind == "dead-letter"]
    assert size_of(out) < BROKER_BYTES_MAX


@pytest.mark.parametrize("part", ["feature", "label", "validator", "unknown fields"])
def test_an_error_s_text_is_bounded_too(part: str):
    """An author's function may put the whole value into what it raises."""
    text = "\x7f" * (200 * KIB)

    def loud(event: Any, *_: Any) -> Any:
        raise ValueError(f"cannot take {event.colour!r}")

    class Loud(Order, extra="forbid"):
        """An order that is loud about what it cannot take."""

        @field_validator("colour")
        @classmethod
        def _loud(cls, colour: str) -> str:
            if part == "validator":
                raise KeyError(colour)
            return colour

    changes: dict[str, Any] = {"event": Loud, "slices": {}}
    if part == "feature":
        changes["features"] = {"loud": loud}
    if part == "label":
        changes["label"] = loud
    partition = Partition(use_case(**changes))
    extra = {text: 1} if part == "unknown fields" else {"colour": text}
    outputs = partition.event("1", 0, **extra) + partition.outcome("1", 5)
    (out,) = [one for one in outputs if one.kind == "dead-letter"]
    assert size_of(out) < 600 * KIB


def test_the_largest_record_that_is_read_gives_outputs_that_fit_any_broker():
    """All its text is a feature, so features, prediction and example carry it again."""
    partition = Partition(use_case(slices={}))
    text = "\x7f" * (255 * KIB)
    outputs = partition.event("1", 0, colour=text) + partition.outcome("1", 5)
    assert kinds(outputs) == ["features", "predictions", "examples"]
    assert max(map(size_of, outputs)) < BROKER_BYTES_MAX


def size_of(out: Out) -> int:
    """Bytes of the record as Kafka counts them, roughly."""
    headers = sum(len(name.encode()) + len(value) + 10 for name, value in out.raw.headers)
    return len(out.raw.key or b"") + len(out.raw.value) + headers


# Growth of a schema while the use case runs.


class Grown(Order):
    """The same event with one optional field more."""

    fragile: bool = False


def test_an_event_schema_may_grow_by_an_optional_field_while_running():
    """The same state goes on under the new class: waiting and settled ids are still recognised."""
    partition = Partition()
    partition.event("waits", 0)
    partition.event("done", 1)
    partition.outcome("done", 2)
    ledger = partition.task.ledger
    grown = Partition(use_case(event=Grown, features=FEATURES))
    grown.task.ledger.restore(dict(ledger.entries), {})
    assert kinds(grown.event("waits", 0)) == []
    assert kinds(grown.event("done", 1)) == []
    assert kinds(grown.outcome("done", 2)) == []
    assert grown.task.counts["repeats"] == 3
    assert kinds(grown.outcome("waits", 3)) == ["examples"]
    assert kinds(grown.event("new", 5, fragile=True)) == ["features", "predictions"]
    assert kinds(grown.event("new", 5, fragile=True)) == []


def test_an_outcome_schema_may_grow_too():
    """A repeated outcome of before is still a repetition."""

    class More(Delivery):
        """An outcome with a rating."""

        stars: int | None = None

    partition = Partition()
    partition.event("1", 0)
    partition.outcome("1", 2)
    grown = Partition(use_case(outcome=More))
    grown.task.ledger.restore(dict(partition.task.ledger.entries), {})
    assert kinds(grown.outcome("1", 2)) == []
    assert grown.task.counts["repeats"] == 1
