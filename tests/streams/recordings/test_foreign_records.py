"""Recorded records of a foreign topic, mapped as a relay would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from models.formats.avro import Avro
from models.spec.source import Source
from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.recordings.recording import recording_of
from streams.recordings.topic_values import TopicValue
from tests.support.use_cases.declared_shop import SOURCE, declared

EVENT = {"event_id": "id", "event_time": "at", "shop": "shop", "city": "shop", "price": "p"}


def shop(**source: object) -> UseCase:
    """A use case that adopts `orders`, whose records are orders and, once paid, outcomes."""
    orders = Source(
        "orders",
        event=lambda r: None if "paid" in r else {name: r[at] for name, at in EVENT.items()},
        outcome=lambda r: (
            {"event_id": r["id"], "outcome_time": r["at"], "amount": r["paid"]}
            if "paid" in r
            else None
        ),
        key="shop",
    )
    return replace(declared(SOURCE), sources=[replace(orders, **source)])


def rows() -> list[bytes]:
    """An order and its payment, out of order, and a record that cannot be mapped."""
    order = {"id": "a", "at": "2024-03-01T08:00:00Z", "shop": "x", "p": 1.5}
    paid = {"id": "a", "at": "2024-03-01T09:00:00Z", "shop": "x", "paid": 2.0}
    return [orjson.dumps(paid), b'{"id": 1}', orjson.dumps(order)]


def test_a_file_is_read_as_the_topic_that_it_is_named_after(tmp_path: Path) -> None:
    """In the order of time; what cannot be mapped is reported with its line."""
    file = tmp_path / "orders.jsonl"
    file.write_bytes(b"\n".join(rows()) + b"\n\n")
    recording = recording_of(shop(), [f"orders={file}"], [], lambda topic: [])
    assert [(kind, fields["event_id"]) for kind, fields in recording] == [
        ("event", "a"),
        ("outcome", "a"),
    ]
    assert (recording.report.events, recording.report.outcomes, recording.report.refused) == (
        1,
        1,
        1,
    )
    (fault,) = recording.report.faults
    assert "line 2: the source cannot map it: KeyError" in str(fault)
    assert list(recording) == list(recording)


def test_the_topic_itself_is_read_by_its_name() -> None:
    """By the same source."""
    values = [TopicValue(f"partition 0, offset {n}", value, 0) for n, value in enumerate(rows())]
    recording = recording_of(shop(), ["orders"], [], lambda topic: values)
    assert [kind for kind, _ in recording] == ["event", "outcome"]


def test_a_file_cannot_hold_what_is_no_text(tmp_path: Path) -> None:
    """Avro has no lines."""
    file = tmp_path / "orders.bin"
    file.write_bytes(b"\x00")
    with pytest.raises(ConfigError, match="--source orders"):
        recording_of(shop(format=Avro()), [f"orders={file}"], [], lambda topic: [])
