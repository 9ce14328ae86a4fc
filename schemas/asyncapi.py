"""The contract of a use case's topics: an AsyncAPI 3.0 document and JSON Schemas.

Rendered from the topic catalogue and the pydantic models, so it cannot contradict the code.
Operations are from riverrun's view: it receives inputs and sends outputs. Without a use case the
document has a parameter in the topics' names, and events and outcomes are their common part.

Schemas in the AsyncAPI document are of JSON Schema draft 7, its own dialect; those of
`json_schemas` are of draft 2020-12. Both leave out that further fields are forbidden, although
riverrun writes none: its records may gain optional fields, and a reader is to tolerate them.

Sources: AsyncAPI 3.0.0; its Kafka bindings 0.5.0; CloudEvents 1.0.2, Kafka protocol binding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.events import Event, Outcome
from schemas.headers import DATA_SCHEMA
from schemas.records.prediction_schema import CONTENT_TYPES, PredictionFormat, schema_text
from schemas.topics import Topic, topic_names, topics_of

Document = dict[str, Any]
Payloads = Mapping[type[BaseModel], Document]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BINDING = "0.5.0"
USE_CASE = "{useCase}"
SCHEMA_FORMATS = {
    "avro": "application/vnd.apache.avro;version=1.9.0",
    "protobuf": "application/vnd.google.protobuf;version=3",
}

_TEXT: Document = {"type": "string"}
_CLOUDEVENTS: Document = {
    "ce_specversion": {**_TEXT, "const": "1.0"},
    "ce_id": {**_TEXT, "description": "Unique among records of its source and type."},
    "content-type": {**_TEXT, "const": "application/json"},
}
_TIME: Document = {**_TEXT, "format": "date-time", "description": "The event's own time."}
_TRACE: Document = {**_TEXT, "description": "W3C trace context of the event, passed through."}
_OF_AN_EVENT = ("features", "predictions", "examples")
_CONNECT = {
    "topic": "Topic that it came on.",
    "partition": "Partition that it came on.",
    "offset": "Offset that it had.",
    "stage": "Input that it was read from.",
    "exception.class.name": "The counted word for what is wrong.",
    "exception.message": "What is wrong, and what to do.",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a contract: one use case, or (all defaults) any."""

    name: str = USE_CASE
    event: type[Event] = Event
    outcome: type[Outcome] = Outcome
    key: str | None = None
    partitions: int | None = None
    prefix: str = ""
    adopted: Mapping[str, str] | None = None
    owner: str = ""
    shared: bool = True
    """Whether its partitions share their models."""
    sources: bool = True
    """True where topics of others are adopted."""
    kind: str = "regression"
    prediction_format: PredictionFormat = "json"

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics of the use case."""
        schemas = self.prediction_format != "json"
        return topics_of(shared=self.shared, sources=self.sources, schemas=schemas)

    def record(self, topic: Topic) -> type[BaseModel]:
        """Return the record type on a topic of this use case."""
        own: dict[str, type[BaseModel]] = {"events": self.event, "outcomes": self.outcome}
        own["history"] = self.event  # and outcomes: told apart by a header
        return own.get(topic.kind, topic.record)


def json_schemas(subject: Subject) -> dict[str, Document]:
    """Return one JSON Schema for each kind of record, each complete in itself."""
    schemas = {}
    for topic in subject.topics:
        if topic.kind == "history":  # its records are those of events and outcomes
            continue
        schema = _open(subject.record(topic).model_json_schema())
        head = {"$schema": DIALECT, "$id": f"urn:riverrun:{subject.name}:{topic.kind}"}
        if subject.name == USE_CASE:
            head["$id"] = f"urn:riverrun:{topic.kind}"
        schemas[topic.kind] = head | schema
    return schemas


def asyncapi(subject: Subject, version: str) -> Document:
    """Return the AsyncAPI 3.0 document; `version` is riverrun's."""
    names = topic_names(subject.name, prefix=subject.prefix, adopted=subject.adopted)
    kinds = {topic.kind: topic for topic in subject.topics}
    payloads, schemas = _components(subject)
    document: Document = {
        "asyncapi": "3.0.0",
        "id": f"urn:riverrun:{'any' if subject.name == USE_CASE else subject.name}",
        "info": _info(subject, version),
        "defaultContentType": "application/json",
        "channels": {kind: _channel(subject, kinds[kind], names[kind]) for kind in kinds},
        "operations": {_verb(t) + _camel(t.kind): _operation(t) for t in subject.topics},
        "components": {
            "messages": {_camel(t.kind): _message(subject, t, payloads) for t in subject.topics},
            "schemas": schemas,
        },
    }
    return document


def _info(subject: Subject, version: str) -> Document:
    named = subject.name != USE_CASE
    info: Document = {
        "title": f"riverrun: {subject.name}" if named else "riverrun",
        "version": version,
        "description": "The closed loop around an online model: events in, predictions out, "
        "outcomes learnt. Values are JSON. Whoever produces events, outcomes and history has to "
        "use Kafka's default partitioner (murmur2; librdkafka: partitioner=murmur2_random). "
        "Read with isolation.level=read_committed.",
        "license": {"name": "Apache-2.0"},
    }
    if subject.owner:
        info["contact"] = {"name": subject.owner}
    return info


def _channel(subject: Subject, topic: Topic, name: str) -> Document:
    config: Document = {"cleanup.policy": [topic.cleanup], "retention.ms": topic.retention_ms}
    binding: Document = {"topicConfiguration": config, "bindingVersion": BINDING}
    if subject.partitions is not None:
        binding["partitions"] = subject.partitions if topic.partitioned else 1
    channel: Document = {
        "address": name,
        "description": topic.about,
        "messages": {_camel(topic.kind): {"$ref": f"#/components/messages/{_camel(topic.kind)}"}},
        "bindings": {"kafka": binding},
    }
    if USE_CASE in name:
        channel["parameters"] = {"useCase": {"description": "The use case's name."}}
    return channel


def _verb(topic: Topic) -> str:
    return "receive" if topic.direction == "in" else "send"


def _operation(topic: Topic) -> Document:
    return {
        "action": _verb(topic),
        "channel": {"$ref": f"#/channels/{topic.kind}"},
        "summary": topic.about,
        "messages": [{"$ref": f"#/channels/{topic.kind}/messages/{_camel(topic.kind)}"}],
    }


def _message(subject: Subject, topic: Topic, payloads: Payloads) -> Document:
    payload = payloads[subject.record(topic)]
    if topic.kind == "history":
        payload = {"anyOf": [payloads[subject.event], payloads[subject.outcome]]}
    binding: Document = {"key": _key(subject, topic), "bindingVersion": BINDING}
    message: Document = {
        "name": f"riverrun.{topic.kind}",
        "title": _camel(topic.kind),
        "summary": topic.about,
        "contentType": "application/json",
        "headers": _headers(topic),
        "payload": payload,
        "bindings": {"kafka": binding},
    }
    if topic.kind == "predictions" and subject.prediction_format != "json":
        _in_format(message, binding, subject)
    return message


def _in_format(message: Document, binding: Document, subject: Subject) -> None:
    """Describe predictions that are not JSON: their schema, and where its id is in a value."""
    format = subject.prediction_format
    content_type = CONTENT_TYPES[format]
    text = schema_text(format, subject.kind)
    schema = orjson.loads(text) if format == "avro" else text
    headers = message["headers"]
    where = {**_TEXT, "description": "/riverrun/schemas/<topic>/<id>: where the schema is kept."}
    headers["properties"]["content-type"] = {**_TEXT, "const": content_type}
    headers["properties"][DATA_SCHEMA] = where
    headers["required"] = [*headers["required"], DATA_SCHEMA]
    message["contentType"] = content_type
    message["payload"] = {"schemaFormat": SCHEMA_FORMATS[format], "schema": schema}
    binding |= {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}


def _key(subject: Subject, topic: Topic) -> Document:
    key = topic.key
    if subject.key is not None:
        key = key.replace("the use case's key", f"the event's `{subject.key}` as text, UTF-8")
        key = key.replace("as the event", f"the event's `{subject.key}` as text, UTF-8")
    return {"type": ["string", "null"] if topic.key == "none" else "string", "description": key}


def _headers(topic: Topic) -> Document:
    if topic.direction == "in":
        return _in_headers(topic)
    if topic.kind == "journal":
        return {"type": "object", "description": "None: it is about no event."}
    source: Document = {**_TEXT, "description": "/riverrun/<use case>/<partition>"}
    properties: Document = {
        **_CLOUDEVENTS,
        "ce_type": {**_TEXT, "const": f"riverrun.{topic.kind}"},
        "ce_source": source,
    }
    required = ["ce_specversion", "ce_id", "ce_type", "ce_source", "content-type"]
    if topic.kind in _OF_AN_EVENT:
        properties |= {"ce_time": _TIME, "traceparent": _TRACE}
        required.append("ce_time")
    if topic.kind == "dead-letter":
        connect = {
            f"__connect.errors.{n}": {**_TEXT, "description": d} for n, d in _CONNECT.items()
        }
        properties |= connect
        required += connect
    return {"type": "object", "properties": properties, "required": required}


def _in_headers(topic: Topic) -> Document:
    """Return the schema of the headers.

    Producers need none, except that history names the kind of its record.
    """
    headers: Document = {"type": "object", "properties": {"traceparent": _TRACE}}
    if topic.kind == "history":
        headers["properties"]["riverrun_kind"] = {**_TEXT, "enum": ["event", "outcome"]}
        headers["required"] = ["riverrun_kind"]
    return headers


def _components(subject: Subject) -> tuple[Payloads, Document]:
    """Return where each record type's schema is in the document, and all schemas."""
    models = list(dict.fromkeys(subject.record(topic) for topic in subject.topics))
    places, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    payloads = {model: places[model, "validation"] for model in models}
    return payloads, _draft_7(_open(definitions["$defs"]))


def _open(schema: Any) -> Any:
    """Return the schema without `additionalProperties: false`."""
    if isinstance(schema, dict):
        return {
            name: _open(value)
            for name, value in schema.items()
            if not (name == "additionalProperties" and value is False)
        }
    return [_open(value) for value in schema] if isinstance(schema, list) else schema


def _draft_7(schema: Any) -> Any:
    """Return tuples as JSON Schema draft 7 has them: `items` is the list, and nothing follows."""
    if isinstance(schema, dict):
        converted = {name: _draft_7(value) for name, value in schema.items()}
        if "prefixItems" in converted:
            converted["items"] = converted.pop("prefixItems")
            converted["additionalItems"] = False
        return converted
    return [_draft_7(value) for value in schema] if isinstance(schema, list) else schema


def _camel(kind: str) -> str:
    """Return a kind as a name in the document.

    >>> _camel("dead-letter")
    'DeadLetter'
    """
    return "".join(part.capitalize() for part in kind.split("-"))
