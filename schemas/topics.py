"""The topic catalogue: every topic of a use case, with all its properties.

Creation, `riverrun topics`, the AsyncAPI document and the docs are rendered from this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from schemas import commands, events, records


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
    Topic("events", events.Event, "the use case's key", "events to predict", "in"),
    Topic("outcomes", events.Outcome, "the use case's key", "what happened", "in"),
    Topic("commands", commands.Command, "command id", "promote, roll back, freeze …", "in"),
    Topic("history", events.Event, "the use case's key", "backfill: learnt, not predicted", "in"),
    Topic("features", records.Features, "as the event", "the models' inputs", "out"),
    Topic("predictions", records.Prediction, "as the event", "what was predicted, and why", "out"),
    Topic("examples", records.Example, "as the event", "features and label: a training set", "out"),
    Topic(
        "metrics",
        records.Metric,
        "window, segment, slice, model",
        "quality and KPI as sums; the newest record of a key counts",
        "out",
        cleanup="compact",
    ),
    Topic("evidence", records.Evidence, "block", "KPI sums of each closed block", "out"),
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
        partitioned=False,
    ),
)

SHARED_CATALOGUE: tuple[Topic, ...] = (
    Topic(
        "models",
        records.ModelUpdate,
        "model",
        "versions of the models that all partitions share; written by the learner",
        "out",
        partitioned=False,
    ),
    Topic(
        "window-entries",
        records.WindowEntries,
        "none",
        "what records add to windows that all partitions share",
        "out",
    ),
    Topic(
        "table-rows",
        records.TableRows,
        "none",
        "rows of reference tables that have changed; copied by a worker",
        "out",
        partitioned=False,
    ),
    Topic(
        "learning",
        records.JournalEntry,
        "none",
        "the learner's journal: the order in which it took all partitions' examples",
        "out",
        partitioned=False,
    ),
)
"""Further topics of a use case whose partitions share their models."""

SOURCE_CATALOGUE: tuple[Topic, ...] = (
    Topic(
        "relay",
        records.JournalEntry,
        "none",
        "where the relay of the use case's sources goes on",
        "out",
        partitioned=False,
    ),
    Topic(
        "ids",
        records.RelayedId,
        "event id or origin",
        "keys of relayed events by id, and outcomes that wait for their event",
        "out",
        cleanup="compact",
        partitioned=False,
    ),
)
"""Further topics of a use case with sources."""

SCHEMA_CATALOGUE: tuple[Topic, ...] = (
    Topic(
        "schemas",
        records.SourceSchema,
        "schema id",
        "the schemas that records of sources, and predictions, were written with",
        "out",
        cleanup="compact",
        partitioned=False,
    ),
)
"""A further topic of a use case with sources, or whose predictions are not JSON."""

INPUTS = ("events", "outcomes", "commands", "history")
"""The inputs of a partition task, in the order in which journal entries number them."""

SHARED_INPUTS = (*INPUTS, "models")
"""The same where all partitions share their models."""

LEARNER = -1
"""The partition that the learner's own records name."""

BY_KIND: Mapping[str, Topic] = {
    topic.kind: topic
    for topic in (*CATALOGUE, *SHARED_CATALOGUE, *SOURCE_CATALOGUE, *SCHEMA_CATALOGUE)
}


def topics_of(*, shared: bool, sources: bool, schemas: bool) -> tuple[Topic, ...]:
    """Return the topics of a use case: whether its partitions share models, whether it has sources,
    and whether anything is written by schemas of a registry.
    """
    return (
        *CATALOGUE,
        *(SHARED_CATALOGUE if shared else ()),
        *(SOURCE_CATALOGUE if sources else ()),
        *(SCHEMA_CATALOGUE if sources or schemas else ()),
    )


def topic_names(
    use_case: str, *, prefix: str = "", adopted: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return kind → topic name: `<prefix><use case>.<kind>`, or the name that the use case adopts.

    >>> topic_names("flight_eta", adopted={"events": "departures"})["events"]
    'departures'
    >>> topic_names("flight_eta", prefix="demo-1.")["predictions"]
    'demo-1.flight_eta.predictions'
    """
    names = {kind: f"{prefix}{use_case}.{kind}" for kind in BY_KIND}
    return names | {kind: prefix + name for kind, name in (adopted or {}).items()}
