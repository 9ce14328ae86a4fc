"""Drive a use case in a test: the partition task that a worker runs, without Kafka or Redis.

    from riverrun.testing import Loop
    from usecases.flight_eta import USE_CASE

    def test_a_heavy_parcel_takes_longer():
        loop = Loop(USE_CASE)
        prediction = loop.event(event_id="a", event_time="2026-01-01T08:00:00Z", weight_kg=3)
        example = loop.outcome(event_id="a", outcome_time="2026-01-01T09:00:00Z", minutes=60)
        assert example["label"] == 60

Times are those of the records: nothing waits, and the same records give the same floats.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import orjson

from models.outputs.output_records import Output
from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from models.validation import mistakes
from schemas.errors import RiverrunError

__all__ = ["Loop", "RejectedRecord"]


class RejectedRecord(RiverrunError):
    """A record that went to the dead-letter topic; `dead_letter` is what is written there."""

    def __init__(self, dead_letter: dict[str, Any]) -> None:
        super().__init__(dead_letter["error"])
        self.dead_letter = dead_letter


class Loop:
    """A use case and its partitions in memory; (event | outcome)* in the order of their times.

    `topics` holds every record written so far, by the kind of its topic ("predictions", "features",
    "examples", "metrics", …), each as decoded JSON. Memory grows with every record.

    Raises `ConfigError` for a use case that `riverrun check` would refuse without running it.
    """

    def __init__(self, use_case: UseCase, *, partitions: int = 1) -> None:
        for mistake in mistakes(use_case):
            raise mistake
        self._backtest = Backtest(use_case, partitions, "test")
        self.topics: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def event(self, **fields: Any) -> dict[str, Any] | None:
        """Publish an event and return its prediction; None for an event that was answered before.

        Raises `RejectedRecord` if it becomes a dead letter.
        """
        return self._feed("event", fields, "predictions")

    def outcome(self, **fields: Any) -> dict[str, Any] | None:
        """Publish an outcome and return the example it makes; None where there is none yet.

        There is none while the event is still to come. Raises `RejectedRecord` if it becomes a dead
        letter.
        """
        return self._feed("outcome", fields, "examples")

    def _feed(self, kind: str, fields: dict[str, Any], answer: str) -> dict[str, Any] | None:
        written = [self._decoded(output) for output in self._backtest.feed(kind, fields)]
        for topic, record in written:
            self.topics[topic].append(record)
        for topic, record in written:
            if topic == "dead-letter":
                raise RejectedRecord(record)
        return next((record for topic, record in written if topic == answer), None)

    def _decoded(self, output: Output) -> tuple[str, dict[str, Any]]:
        record: dict[str, Any] = orjson.loads(output.value)
        return output.kind, record
