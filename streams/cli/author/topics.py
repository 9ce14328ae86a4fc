"""`riverrun topics` and `schema`: what travels, for people, tools and code generators."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.table import Table

from models.durations import spoken
from schemas.contract import Subject, asyncapi, json_schemas
from schemas.topics import CATALOGUE, topic_names
from streams.cli.options import AsJson, Prefix
from streams.cli.terminal import as_json, data, talk
from streams.loading import load
from streams.settings import Settings

Which = Annotated[
    str | None,
    typer.Argument(metavar="[USECASE]", help="Default: what is common to every use case."),
]


def register(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command()(topics)
    app.command()(schema)


def topics(usecase: Which = None, prefix: Prefix = None, json: AsJson = False) -> None:
    """List every topic: what is on it, by which key, how many partitions, kept for how long.

    Example: `riverrun topics flight_eta`
    """
    rows = _rows(_subject(usecase, prefix))
    if json:
        as_json(rows)
        return
    table = Table("topic", "", "value", "key", "partitions", "kept", "about", box=None)
    for row in rows:
        table.add_row(
            row["topic"],
            {"in": "→", "out": "←"}[row["direction"]],
            row["value"],
            row["key"],
            "as events" if row["partitions"] is None else str(row["partitions"]),
            _kept(row),
            row["about"],
        )
    data.print(table, markup=False)
    talk.print("→ is read by riverrun, ← is written by it.")


def _subject(usecase: str | None, prefix: str | None) -> Subject:
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
    )


def _rows(subject: Subject) -> list[dict[str, Any]]:
    names = topic_names(subject.name, prefix=subject.prefix, adopted=subject.adopted)
    return [
        {
            "kind": topic.kind,
            "topic": names[topic.kind],
            "direction": topic.direction,
            "value": "event or outcome"
            if topic.kind == "history"
            else subject.record(topic).__name__,
            "key": topic.key,
            "partitions": subject.partitions if topic.partitioned else 1,
            "retention_ms": topic.retention_ms,
            "cleanup": topic.cleanup,
            "about": topic.about,
        }
        for topic in CATALOGUE
    ]


def _kept(row: dict[str, Any]) -> str:
    if row["cleanup"] == "compact":
        return "newest of a key"
    return "for ever" if row["retention_ms"] < 0 else spoken(row["retention_ms"] / 1000)


def schema(
    usecase: Which = None,
    format: Annotated[
        Literal["asyncapi", "jsonschema"], typer.Option(help="What is to be written.")
    ] = "asyncapi",
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write files there instead of to stdout.")
    ] = None,
) -> None:
    """Print the contract of the topics: an AsyncAPI 3 document, or JSON Schemas.

    Example: `riverrun schema flight_eta --format jsonschema --to contract`
    """
    subject = Subject() if usecase is None else _subject(usecase, None)
    if format == "asyncapi":
        documents: dict[str, Any] = {
            "asyncapi": asyncapi(subject, importlib.metadata.version("riverrun"))
        }
    else:
        documents = json_schemas(subject)
    if to is None:
        as_json(documents["asyncapi"] if format == "asyncapi" else documents)
        return
    to.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        path = to / f"{name}.json"
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        data.print(str(path), markup=False)
