"""`riverrun schema`: the contract of a use case's topics."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from schemas.asyncapi import Subject, asyncapi, json_schemas
from schemas.records.prediction_schema import schema_text
from streams.cli.author.topics import OptionalUseCase, contract_subject
from streams.cli.shared.terminal import as_json, data


def schema(
    usecase: OptionalUseCase = None,
    format: Annotated[
        Literal["asyncapi", "jsonschema", "avro", "protobuf"],
        typer.Option(help="Which documents to write; avro and protobuf: of predictions."),
    ] = "asyncapi",
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write files there instead of to stdout.")
    ] = None,
) -> None:
    """Print the contract of the topics: an AsyncAPI 3 document, or JSON Schemas.

    The schema of predictions, also as Avro or Protobuf, is the one that `prediction_format`
    registers. Example: `riverrun schema flight_eta --format jsonschema --to contract`
    """
    subject = Subject() if usecase is None else contract_subject(usecase, None)
    if format in ("avro", "protobuf"):
        _of_predictions(format, subject, to)
        return
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
        data.print(str(path))


def _of_predictions(format: str, subject: Subject, to: Path | None) -> None:
    text = schema_text(format, subject.kind)
    if to is None:
        data.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)
        return
    to.mkdir(parents=True, exist_ok=True)
    path = to / ("predictions.avsc" if format == "avro" else "predictions.proto")
    path.write_text(text, "utf-8")
    data.print(str(path))
