"""What came of a use case, counted from its topics: by reading committed records, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from models.spec.problem_types import KINDS, metric_value
from models.spec.use_case import UseCase
from schemas.timestamps import moment
from schemas.unreadable_records import Unreadable
from streams.kafka.record_decoder import content

READ = ("events", "outcomes", "predictions", "examples", "dead-letter", "metrics")
"""The kinds of topic that are counted."""


class Count:
    """Counts and sums over everything read so far. Memory: two numbers for each event id."""

    def __init__(self, use_case: UseCase, names: Mapping[str, str]) -> None:
        self.use_case = use_case
        self.records = dict.fromkeys(READ, 0)
        self.unreadable = Unreadable()
        self.duplicates = 0
        self.time: str | None = None
        self._kind = KINDS[use_case.kind]
        self._of = {
            "events": self._event,
            "outcomes": self._outcome,
            "predictions": self._prediction,
            "examples": self._example,
            "metrics": self._metric,
        }
        self._kinds = {names[kind]: kind for kind in READ}
        self._asked: dict[str, float] = {}
        self._answered: set[str] = set()
        self._outcomes: dict[str, float] = {}
        self._learnt: set[str] = set()
        self._cells: dict[tuple[int, bytes], dict[str, Any]] = {}

    def take(self, records: Iterable[Any]) -> None:
        """Count committed records of any of the topics; what cannot be read counts as a record."""
        for record in records:
            kind = self._kinds[record.topic]
            self.records[kind] += 1
            reader = self._of.get(kind)
            if reader is None or record.value is None:
                continue
            try:
                row = content(kind, record)
            except ValueError as error:
                self.unreadable.note(record, error)
            else:
                reader(record, row)

    def _event(self, record: Any, event: dict[str, Any]) -> None:
        time = moment(event.get("event_time"))
        if time is not None:
            self._asked[event["event_id"]] = time

    def _outcome(self, record: Any, outcome: dict[str, Any]) -> None:
        time = moment(outcome.get("outcome_time"))
        if time is not None:
            self._outcomes[outcome["event_id"]] = time

    def _prediction(self, record: Any, prediction: dict[str, Any]) -> None:
        if prediction["event_id"] in self._answered:
            self.duplicates += 1
        self._answered.add(prediction["event_id"])
        self.time = prediction["event_time"]

    def _example(self, record: Any, example: dict[str, Any]) -> None:
        if example["learnt"]:
            self._learnt.add(example["event_id"])

    def _metric(self, record: Any, cell: dict[str, Any]) -> None:
        self._cells[record.partition, record.key] = cell

    @property
    def answered(self) -> int:
        """Return the number of event ids with a prediction."""
        return len(self._answered)

    @property
    def learnt(self) -> int:
        """Return the number of event ids whose label was learnt."""
        return len(self._learnt)

    @property
    def due(self) -> int:
        """Return the number of outcomes that should be learnt.

        These are the outcomes of an event that come within the horizon.
        """
        horizon, asked = self.use_case.horizon, self._asked
        return sum(i in asked and t - asked[i] <= horizon for i, t in self._outcomes.items())

    @property
    def complete(self) -> bool:
        """Return whether every event has its prediction and every outcome within its horizon is
        learnt.
        """
        return self._asked.keys() == self._answered and self.learnt >= self.due

    def scores(self) -> dict[str, dict[str, float | None]]:
        """Return model → metric, total KPI and examples, from each key's newest metric record."""
        sums: dict[str, Counter[str]] = {}
        kpi: dict[str, float] = {}
        for cell in self._cells.values():
            if cell["segment"] is None and cell["slice"] is None:
                sums.setdefault(cell["model"], Counter()).update(cell["sums"])
                kpi[cell["model"]] = kpi.get(cell["model"], 0.0) + (cell["kpi_sum"] or 0.0)
        return {
            model: {
                "metric": metric_value(self.use_case.metric, own["n"], own),
                "kpi": kpi[model],
                "examples": own["n"],
            }
            for model, own in sums.items()
        }
