"""The topic catalogue: every topic of a use case, and all that is known of it.

Creation, `riverrun topics`, the AsyncAPI document and the docs are rendered from this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from schemas import inputs, records

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of record. `retention_ms` -1 keeps it for ever; `partitioned` follows the events."""

    kind: str
    record: type[BaseModel]
    key: str
    about: str
    direction: str
    cleanup: str = "delete"
    retention_ms: int = -1
    partitioned: bool = True


CATALOGUE: tuple[Topic, ...] = (
    Topic("events", inputs.Event, "the use case's key", "questions to the model", "in"),
    Topic("outcomes", inputs.Outcome, "the use case's key", "what the world answered", "in"),
    Topic("commands", inputs.Command, "command id", "promote, roll back, freeze …", "in"),
    Topic("history", inputs.Event, "the use case's key", "backfill: learnt, not answered", "in"),
    Topic("features", records.Features, "as the event", "what the models saw", "out"),
    Topic("predictions", records.Prediction, "as the event", "what was said, and why", "out"),
    Topic("examples", records.Example, "as the event", "features and label: a training set", "out"),
    Topic(
        "metrics",
        records.Metric,
        "window, segment, slice, model",
        "quality and KPI as sums; the newest record of a key counts",
        "out",
        cleanup="compact",
    ),
    Topic("evidence", records.Evidence, "block", "KPI sums of each settled block", "out"),
    Topic(
        "verdicts",
        records.Standing,
        "model",
        "who is better, by how much, how sure; written by the decider",
        "out",
        partitioned=False,
    ),
    Topic(
        "delays",
        records.Delays,
        "segment",
        "how long labels take; the newest record of a key counts",
        "out",
        cleanup="compact",
    ),
    Topic("drift", records.Drift, "subject", "what changed, from what to what", "out"),
    Topic("lifecycle", records.Lifecycle, "model", "who promoted what and why", "out"),
    Topic(
        "alerts",
        records.Alert,
        "alert id",
        "what operators should know; written by the monitor",
        "out",
        partitioned=False,
    ),
    Topic(
        "dead-letter", records.DeadLetter, "as it came", "what could not be used, and why", "out"
    ),
    Topic("journal", records.JournalEntry, "none", "the order of all inputs: the position", "out"),
    Topic(
        "definitions",
        records.Definition,
        "definition hash",
        "source and versions of each definition",
        "out",
        cleanup="compact",
        partitioned=False,
    ),
)

INPUTS = ("events", "outcomes", "commands", "history")
"""The inputs of a partition task, in the order in which journal entries number them."""

BY_KIND: Mapping[str, Topic] = {topic.kind: topic for topic in CATALOGUE}


def topic_names(
    use_case: str, *, prefix: str = "", adopted: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Kind → topic name: `<prefix><use case>.<kind>`, or the name that the use case adopts.

    >>> topic_names("flight_eta", adopted={"events": "departures"})["events"]
    'departures'
    >>> topic_names("flight_eta", prefix="demo-1.")["predictions"]
    'demo-1.flight_eta.predictions'
    """
    names = {topic.kind: f"{prefix}{use_case}.{topic.kind}" for topic in CATALOGUE}
    return names | {kind: prefix + name for kind, name in (adopted or {}).items()}
