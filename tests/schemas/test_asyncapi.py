"""What travels is a contract: the documents are right, complete, and as they were."""

from __future__ import annotations

import copy
import importlib.metadata
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from models.replay.backtest import Backtest
from models.spec.use_case import UseCase
from schemas.asyncapi import Subject, asyncapi, json_schemas
from schemas.events import Event
from schemas.records.prediction_schema import CONTENT_TYPES, PredictionFormat, name_of
from schemas.topics import BY_KIND, CATALOGUE
from streams.config.use_case_loader import load

HERE = Path(__file__).parents[2] / "tests"
GOLDEN = HERE / "golden"
REGENERATE = "`make golden` writes it again; look at what changed, readers depend on it"


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """The AsyncAPI initiative's own schema of AsyncAPI 3.0.0 documents."""
    return Draft7Validator(json.loads((HERE / "data" / "asyncapi-3.0.0.json").read_text()))


@pytest.fixture(scope="module")
def phishing() -> UseCase:
    """A use case with records of its own."""
    return load(str(HERE.parent / "usecases" / "phishing.py")).use_case


@pytest.fixture(scope="module")
def subject(phishing: UseCase) -> Subject:
    """What the contract of that use case is made of."""
    return Subject(
        name=phishing.name,
        event=phishing.event,
        outcome=phishing.outcome,
        key=phishing.key,
        partitions=phishing.partitions,
        owner=phishing.owner,
        adopted={"events": "pages"},
    )


def document(subject: Subject) -> dict[str, Any]:
    """The AsyncAPI document, as a reader gets it."""
    text: dict[str, Any] = orjson.loads(orjson.dumps(asyncapi(subject, "1.2.3")))
    return text


def test_the_asyncapi_document_is_valid(official: Draft7Validator, subject: Subject) -> None:
    """Of any use case, and of one, by the official schema."""
    for whole in (document(Subject()), document(subject)):
        assert [error.message for error in official.iter_errors(whole)] == []


@pytest.mark.parametrize(
    "path",
    [
        ("channels", "events", "bindings", "kafka", "topicConfiguration", "cleanup.policy"),
        ("operations", "sendPredictions", "action"),
        ("components", "messages", "Metrics", "contentType"),
    ],
)
def test_the_official_schema_refuses_what_is_wrong(
    official: Draft7Validator, path: tuple[str, ...]
) -> None:
    """It looks as deep as the Kafka bindings, so the test above can fail."""
    broken = copy.deepcopy(document(Subject()))
    target = broken
    for part in path[:-1]:
        target = target[part]
    assert path[-1] in target
    target[path[-1]] = 7
    assert not official.is_valid(broken)


def test_every_topic_has_a_channel_a_message_and_an_operation(subject: Subject) -> None:
    """From riverrun's view: it receives what comes in and sends what goes out."""
    whole = document(subject)
    assert list(whole["channels"]) == [topic.kind for topic in subject.topics]
    assert whole["channels"]["events"]["address"] == "pages"
    actions = {
        operation["channel"]["$ref"].rpartition("/")[2]: operation["action"]
        for operation in whole["operations"].values()
    }
    assert actions == {t.kind: "receive" if t.direction == "in" else "send" for t in subject.topics}
    kafka = whole["channels"]["metrics"]["bindings"]["kafka"]
    assert kafka["partitions"] == 1
    assert kafka["topicConfiguration"] == {"cleanup.policy": ["compact"], "retention.ms": -1}


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("format", ["avro", "protobuf"])
def test_predictions_in_a_format_are_described(
    official: Draft7Validator, subject: Subject, format: PredictionFormat, kind: str
) -> None:
    """Their schema, the header that says where it is kept, and where its id is in a value."""
    contract = document(replace(subject, prediction_format=format, kind=kind, sources=False))
    assert [error.message for error in official.iter_errors(contract)] == []
    message = contract["components"]["messages"]["Predictions"]
    assert message["contentType"] == CONTENT_TYPES[format]
    schema = message["payload"]["schema"]
    assert name_of(kind) in (schema["name"] if format == "avro" else schema)
    assert "ce_dataschema" in message["headers"]["required"]
    assert message["bindings"]["kafka"]["schemaIdPayloadEncoding"] == "confluent"
    assert "schemas" in contract["channels"]
    assert "relay" not in contract["channels"]
    others = contract["components"]["messages"]["Examples"]
    assert others["contentType"] == "application/json"


def test_every_reference_leads_somewhere(subject: Subject) -> None:
    """No dangling $ref, in either document."""

    def follow(whole: dict[str, Any], value: Any) -> int:
        if isinstance(value, list):
            return sum(follow(whole, inner) for inner in value)
        if not isinstance(value, dict):
            return 0
        if "$ref" in value:
            target: Any = whole
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return 1
        return sum(follow(whole, inner) for inner in value.values())

    for whole in (document(Subject()), document(subject)):
        assert follow(whole, whole) > len(CATALOGUE)


def test_the_contract_has_the_use_cases_own_fields(subject: Subject) -> None:
    """With their descriptions, and history has both of its records."""
    whole = document(subject)
    page = whole["components"]["schemas"]["PageOpened"]
    assert "trusted" in page["properties"]["https"]["description"]
    assert "mailbox" in page["required"]
    history = whole["components"]["messages"]["History"]["payload"]["anyOf"]
    assert [ref["$ref"].rpartition("/")[2] for ref in history] == ["PageOpened", "Verdict"]
    assert (
        "`mailbox`"
        in whole["components"]["messages"]["Events"]["bindings"]["kafka"]["key"]["description"]
    )


def test_an_event_may_be_named_like_a_record_of_riverruns() -> None:
    """Then each keeps its own schema."""
    other = type("Prediction", (Event,), {"__module__": "somewhere", "__doc__": "Mine."})
    whole = document(Subject(name="mine", event=other))
    places = {
        whole["components"]["messages"][name]["payload"]["$ref"]
        for name in ("Events", "Predictions")
    }
    assert len(places) == 2


def test_json_schemas_are_schemas(subject: Subject) -> None:
    """One a kind, each complete, each of the dialect that it names."""
    for schemas in (json_schemas(Subject()), json_schemas(subject)):
        assert list(schemas) == [t.kind for t in subject.topics if t.kind != "history"]
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
    assert json_schemas(subject)["events"]["$id"] == "urn:riverrun:phishing:events"


def test_what_a_task_writes_fits_its_schema(phishing: UseCase, subject: Subject) -> None:
    """Values by the JSON Schemas and by the AsyncAPI payloads, headers by the messages."""
    whole = document(subject)
    schemas = json_schemas(subject)
    resolved = {"components": whole["components"]}
    messages = {message["name"]: message for message in whole["components"]["messages"].values()}
    backtest = Backtest(phishing, partitions=1, definition="abc")
    assert phishing.recorded is not None
    seen: set[str] = set()
    for kind, fields in phishing.recorded():
        outputs = backtest.feed(kind, fields)
        if kind == "event" and fields["event_id"] == "page-0007":
            outputs += backtest.feed("event", {**fields, "https": 9})
        for output in outputs + (backtest.task(0).report() if not seen else []):
            value = json.loads(output.value)
            seen.add(output.kind)
            Draft202012Validator(schemas[output.kind]).validate(value)
            message = messages[f"riverrun.{output.kind}"]
            Draft7Validator({**resolved, **message["payload"]}).validate(value)
            headers = {name: text.decode() for name, text in output.headers}
            Draft7Validator(message["headers"]).validate(headers)
        if len(seen) == 6:
            return
    assert seen >= {"features", "predictions", "examples", "lifecycle", "dead-letter", "metrics"}


def test_a_reader_tolerates_what_comes_to_be_added() -> None:
    """Records may gain optional fields, so no schema forbids further ones."""
    for schema in json_schemas(Subject()).values():
        assert schema.get("additionalProperties") is not False


def test_the_asyncapi_document_is_as_it_was() -> None:
    """The golden file: a change of the contract is seen in review."""
    whole = orjson.loads(orjson.dumps(asyncapi(Subject(), importlib.metadata.version("riverrun"))))
    assert whole == orjson.loads((GOLDEN / "asyncapi.json").read_bytes()), REGENERATE


@pytest.mark.parametrize("kind", [kind for kind in BY_KIND if kind != "history"])
def test_the_json_schemas_are_as_they_were(kind: str) -> None:
    """A golden file a kind."""
    schema = orjson.loads(orjson.dumps(json_schemas(Subject())[kind]))
    assert schema == orjson.loads((GOLDEN / "schemas" / f"{kind}.json").read_bytes()), REGENERATE
