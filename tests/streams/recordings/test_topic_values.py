"""The records of a topic as a recording: judged as a worker judges them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streams.recordings import recording_of
from streams.recordings.topic_values import TopicValue
from tests.support.use_cases.clinic import CLINIC, faults, ids, visit

STAMPED = 1714600000_000


def test_times_on_a_topic_are_believed_as_far_as_a_worker_believes_them() -> None:
    """Three producers' records of next year would leave all that is honest behind the watermark."""
    far = "2025-05-01T00:00:00Z"
    rows = [visit(0), *(visit(n, event_time=far, outcome_time=far) for n in (4, 5, 6)), visit(1)]
    placed = [
        TopicValue(f"partition 0, offset {n}", encoded(r), STAMPED) for n, r in enumerate(rows)
    ]
    recorded = recording_of(CLINIC, ["visits"], [], lambda topic: placed)
    assert ids(recorded) == ["v0", "v1"]
    assert recorded.report.refused == 3
    assert "later than its Kafka timestamp, 2024-05-01T21:46:40+00:00" in faults(recorded)[0]
    again = [TopicValue(each.location, each.value, 1746100000_000) for each in placed]
    assert len(ids(recording_of(CLINIC, ["visits"], [], lambda topic: again))) == 5


def encoded(fields: dict[str, Any]) -> bytes:
    """As a producer sends it."""
    return json.dumps(fields).encode()


def test_records_of_a_topic_are_judged_as_live(tmp_path: Path) -> None:
    """In the topic's order; what a worker would park is counted, with its place."""
    values = [
        json.dumps(visit(0)).encode(),
        b"\xff not JSON",
        json.dumps(visit(2, event_time=1714525200)).encode(),
        json.dumps(visit(3, outcome_time=None, nights=None)).encode(),
        json.dumps(visit(1)).encode(),
    ]
    placed = [TopicValue(f"partition 0, offset {n}", v, STAMPED) for n, v in enumerate(values)]
    recorded = recording_of(CLINIC, ["visits"], [], lambda topic: placed)
    assert ids(recorded) == ["v0", "v3", "v1"]
    assert recorded.report.refused == 2
    assert "visits, partition 0, offset 1: it" in faults(recorded)[0]
    assert "visits, partition 0, offset 2, column event_time" in faults(recorded)[1]
