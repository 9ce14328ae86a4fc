"""Values of real topics: each becomes a record, or a dead letter that says why."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest

from models.inputs.decoder import PlainRecord
from models.relay.relay_task import RelayInput, RelayTask
from models.spec.source import Source
from schemas.events import Event
from streams.config.use_case_loader import load
from tests.support.odd_values.gallery import GALLERY
from tests.support.odd_values.value import AT, SKIP, Odd


class Thing(Event):
    """Whatever it is."""

    x: Any = None


USE_CASE = replace(load("flight_eta").use_case, event=Thing, key="event_id")


def relay_of(odd: Odd) -> RelayTask:
    """A relay with that value's source."""

    def mapped(value: Any) -> dict[str, Any] | None:
        x = odd.x(value)
        return None if x is SKIP else {"event_id": "a", "event_time": odd.at(value), "x": x}

    source = Source("odd", format=odd.format, event=mapped)
    use_case = replace(USE_CASE, sources=[source])
    inputs = [RelayInput(source, 0)]
    task = RelayTask(use_case, inputs, partitions=4, definition="d", schemas=odd.schemas)
    task.resume(None)
    return task


@pytest.mark.parametrize("odd", GALLERY, ids=lambda odd: odd.name)
def test_each_becomes_a_record_or_says_why_not(odd: Odd) -> None:
    """The relay raises for none of them, and its position is past it."""
    task = relay_of(odd)
    record = PlainRecord("odd", 0, 5, int(AT.timestamp() * 1000), odd.key, odd.value)
    outputs = task.apply(task.read(0, record))
    assert task.next == [6]
    outputs = [out for out in outputs if out.kind in ("events", "dead-letter")]
    if odd.expected is None:
        assert outputs == []
        return
    (output,) = outputs
    body = orjson.loads(output.value or b"")
    if isinstance(odd.expected, str):
        assert output.kind == "dead-letter", body
        assert odd.expected in body["error"]
        assert (body["error_class"], body["stage"]) == ("malformed", "source")
        return
    assert output.kind == "events", body["error"]
    for name, value in odd.expected.items():
        read = datetime.fromisoformat(body[name]) if name == "event_time" else body[name]
        assert read == value
