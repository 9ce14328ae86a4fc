"""`riverrun topics`: the topics of a use case."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from models.values.durations import spoken
from schemas.asyncapi import Subject
from schemas.topics import Topic, topic_names
from streams.cli.shared.options import AsJson, Prefix
from streams.cli.shared.terminal import TerminalTable, as_json, data, talk
from streams.config.settings import Settings
from streams.config.use_case_loader import load

OptionalUseCase = Annotated[
    str | None,
    typer.Argument(metavar="[USECASE]", help="Default: the common part of every use case."),
]


def topics(usecase: OptionalUseCase = None, prefix: Prefix = None, json: AsJson = False) -> None:
    """List every topic: what is on it, by which key, how many partitions, kept for how long.

    Example: `riverrun topics flight_eta`
    """
    rows = _rows(contract_subject(usecase, prefix))
    if json:
        as_json(rows)
        return
    table = TerminalTable("topic", "", "value", "key", "partitions", "kept", "about", box=None)
    for row in rows:
        table.add_row(
            row["topic"],
            {"in": "→", "out": "←"}[row["direction"]],
            row["value"],
            row["key"],
            "as events" if row["partitions"] is None else str(row["partitions"]),
            _retention(row),
            row["about"],
        )
    data.print(table)
    talk.print("→ is read by riverrun, ← is written by it.")


def contract_subject(usecase: str | None, prefix: str | None) -> Subject:
    """Return the subject of a contract: a use case, or the common part of all."""
    before = Settings.load(riverrun_topic_prefix=prefix).riverrun_topic_prefix
    if usecase is None:
        return Subject(name="<use case>", prefix=before)
    use_case = load(usecase).use_case
    return Subject(
        name=use_case.name,
        event=use_case.event,
        outcome=use_case.outcome,
        key=use_case.key,
        partitions=use_case.partitions,
        prefix=before,
        adopted=use_case.topics,
        owner=use_case.owner,
        shared=use_case.is_shared(use_case.partitions),
        sources=bool(use_case.sources),
        kind=use_case.kind,
        prediction_format=use_case.prediction_format,
    )


def _rows(subject: Subject) -> list[dict[str, Any]]:
    names = topic_names(subject.name, prefix=subject.prefix, adopted=subject.adopted)
    return [
        {
            "kind": topic.kind,
            "topic": names[topic.kind],
            "direction": topic.direction,
            "value": "event or outcome" if topic.kind == "history" else _value(subject, topic),
            "key": topic.key,
            "partitions": subject.partitions if topic.partitioned else 1,
            "retention_ms": topic.retention_ms,
            "cleanup": topic.cleanup,
            "about": topic.about,
        }
        for topic in subject.topics
    ]


def _value(subject: Subject, topic: Topic) -> str:
    """Return the record's name, and its format where that is not JSON."""
    name = subject.record(topic).__name__
    if topic.kind != "predictions" or subject.prediction_format == "json":
        return name
    return f"{name} ({subject.prediction_format})"


def _retention(row: dict[str, Any]) -> str:
    if row["cleanup"] == "compact":
        return "newest of a key"
    return "for ever" if row["retention_ms"] < 0 else spoken(row["retention_ms"] / 1000)
