"""What came of a use case, counted from its topics: by reading committed records, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from models.kinds import KINDS, metric_value
from models.usecase import UseCase

READ = ("events", "outcomes", "predictions", "examples", "dead-letter", "metrics")
"""The kinds of topic that are counted."""


class Count:
    """Counts and sums over everything read so far. Memory: two numbers for each event id."""

    def __init__(self, use_case: UseCase, names: Mapping[str, str]) -> None:
        self.use_case = use_case
        self.records = dict.fromkeys(READ, 0)
        self.duplicates = 0
        self.time: str | None = None
        self._kind = KINDS[use_case.kind]
        self._of = {
            names["events"]: self._event,
            names["outcomes"]: self._outcome,
            names["predictions"]: self._prediction,
            names["examples"]: self._example,
            names["metrics"]: self._metric,
        }
        self._kinds = {names[kind]: kind for kind in READ}
        self._asked: dict[str, float] = {}
        self._answered: set[str] = set()
        self._outcomes: dict[str, float] = {}
        self._learnt: set[str] = set()
        self._cells: dict[tuple[int, bytes], dict[str, Any]] = {}

    def take(self, records: Iterable[Any]) -> None:
        """Count committed records of any of the topics."""
        for record in records:
            self.records[self._kinds[record.topic]] += 1
            reader = self._of.get(record.topic)
            if reader is not None and record.value is not None:
                reader(record)

    def _event(self, record: Any) -> None:
        event = orjson.loads(record.value)
        self._asked[event["event_id"]] = _seconds(event["event_time"])

    def _outcome(self, record: Any) -> None:
        outcome = orjson.loads(record.value)
        self._outcomes[outcome["event_id"]] = _seconds(outcome["outcome_time"])

    def _prediction(self, record: Any) -> None:
        said = orjson.loads(record.value)
        if said["event_id"] in self._answered:
            self.duplicates += 1
        self._answered.add(said["event_id"])
        self.time = said["event_time"]

    def _example(self, record: Any) -> None:
        example = orjson.loads(record.value)
        if example["learnt"]:
            self._learnt.add(example["event_id"])

    def _metric(self, record: Any) -> None:
        self._cells[record.partition, record.key] = orjson.loads(record.value)

    @property
    def answered(self) -> int:
        """Event ids with a prediction."""
        return len(self._answered)

    @property
    def learnt(self) -> int:
        """Event ids whose label was learnt."""
        return len(self._learnt)

    @property
    def due(self) -> int:
        """Outcomes that should be learnt: those of an event, within the horizon."""
        horizon, asked = self.use_case.horizon, self._asked
        return sum(i in asked and t - asked[i] <= horizon for i, t in self._outcomes.items())

    @property
    def complete(self) -> bool:
        """Every event has its prediction, every outcome within its horizon is learnt."""
        return self._asked.keys() == self._answered and self.learnt >= self.due

    def scores(self) -> dict[str, dict[str, float | None]]:
        """Model → metric, KPI in all and examples, from the newest metric record of each key."""
        sums: dict[str, dict[str, float]] = {}
        kpi: dict[str, float] = {}
        for cell in self._cells.values():
            if cell["segment"] is None and cell["slice"] is None:
                mine = sums.setdefault(cell["model"], {})
                for name, value in cell["sums"].items():
                    mine[name] = mine.get(name, 0.0) + value
                kpi[cell["model"]] = kpi.get(cell["model"], 0.0) + (cell["kpi_sum"] or 0.0)
        return {
            model: {
                "metric": metric_value(self.use_case.metric, mine["n"], mine),
                "kpi": kpi[model],
                "examples": mine["n"],
            }
            for model, mine in sums.items()
        }


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
