"""Sources: their topics, their formats, and what they make of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from models.formats.avro import Avro
from models.formats.payload import missing_package
from models.formats.protobuf import Protobuf
from models.spec.source import Source
from models.spec.use_case import UseCase
from models.validation.check_names import TOPIC
from models.validation.findings import Findings, call, nearest, takes
from schemas.personal_data import wire_name
from schemas.topics import topic_names

NEEDS_KEY = (
    "Declare key=, a function of the decoded value or the name of a field in it, or add the field "
    'to the outcome; by="event_id" where outcomes know only the id.'
)


def check_sources(use_case: UseCase, findings: Findings) -> None:
    """Report sources that name no topic of others, make nothing, or cannot give a key."""
    if not findings.sound("sources", "event", "outcome", "key", "topics", "name"):
        return
    seen: set[str] = set()
    own = topic_names(use_case.name, adopted=use_case.topics).values()
    for source in use_case.sources:
        where = ("sources", str(source.topic))
        if not isinstance(source.topic, str) or not TOPIC.fullmatch(source.topic):
            findings.add(
                where,
                f"source {source.topic!r} is no name of a topic that Kafka takes.",
                "Use up to 249 letters, digits, dots, underscores and dashes.",
            )
        elif source.topic in own:
            findings.add(
                where,
                f"source {source.topic!r} is a topic of this use case, which is read as it is.",
                "Name a topic of others, or leave the source out.",
            )
        elif source.topic in seen:
            findings.add(
                where,
                f"two sources name {source.topic!r}.",
                "Make one of them: it may have both event= and outcome=.",
            )
        seen.add(str(source.topic))
        _check_parts(use_case, source, where, findings)


def check_prediction_format(use_case: UseCase, findings: Findings) -> None:
    """Report a format of predictions that needs a package which is not installed."""
    if not findings.sound("prediction_format") or use_case.prediction_format == "json":
        return
    format = Avro() if use_case.prediction_format == "avro" else Protobuf()
    if (package := missing_package(format)) is not None:
        findings.add(
            ("prediction_format",),
            f"{use_case.prediction_format} needs {package}, which is not installed.",
            "pip install 'riverrun[sources]'",
        )


def _check_parts(
    use_case: UseCase, source: Source, where: tuple[str, ...], findings: Findings
) -> None:
    if not callable(getattr(source.format, "decode", None)):
        findings.add(where, f"its format is {source.format!r}.", "Give a format, such as Json().")
    elif (package := missing_package(source.format)) is not None:
        findings.add(
            where,
            f"its format needs {package}, which is not installed.",
            "pip install 'riverrun[sources]'",
        )
    if source.event is None and source.outcome is None:
        findings.add(
            where,
            f"source {source.topic!r} makes neither events nor outcomes.",
            "Give event= or outcome=: a function of the decoded value.",
        )
    for kind, mapper, model in (
        ("event", source.event, use_case.event),
        ("outcome", source.outcome, use_case.outcome),
    ):
        if mapper is not None:
            _check_mapper(kind, mapper, model, where, findings)
            _check_adopted(use_case, kind, where, findings)
    if source.by not in ("key", "event_id"):
        findings.add(where, f"its by is {source.by!r}.", 'Give by="event_id", or leave it out.')
    elif source.by_id:
        _check_by_id(use_case, source, where, findings)
    elif source.outcome is not None and source.key is None:
        if use_case.key not in use_case.outcome.model_fields:
            findings.add(
                where,
                f"its outcomes have no field {use_case.key!r}, which is the use case's key.",
                NEEDS_KEY,
            )
    elif callable(source.key) and (taken := takes(source.key, "value")) is not None:
        findings.add(where, f"its key {taken}.", call("key", "value"))


def _check_by_id(
    use_case: UseCase, source: Source, where: tuple[str, ...], findings: Findings
) -> None:
    if source.outcome is None or source.key is not None:
        findings.add(
            where,
            "it has by= and " + ("no outcome." if source.outcome is None else "key=."),
            "by= says how an outcome finds its event: by its id, or by the key that key= gives.",
        )
    if all(each.event is None for each in use_case.sources):
        findings.add(
            where,
            "its outcomes find their events by id, but no source makes events.",
            "Let the events come through a source, too: what is relayed is known by its id.",
        )


def _check_adopted(
    use_case: UseCase, kind: str, where: tuple[str, ...], findings: Findings
) -> None:
    adopted = use_case.topics.get(f"{kind}s")
    if adopted is not None:
        findings.add(
            where,
            f"its {kind}s would be written to {adopted!r}, which is adopted from others.",
            f"Leave {kind}s out of topics=, so that the use case has a topic of its own.",
        )


def _check_mapper(
    kind: str, mapper: Any, model: type[BaseModel], where: tuple[str, ...], findings: Findings
) -> None:
    if not isinstance(mapper, Mapping):
        if not callable(mapper):
            findings.add(
                where, f"its {kind} is {mapper!r}.", "Give a function, or fields in a dictionary."
            )
        elif (taken := takes(mapper, "value")) is not None:
            findings.add(where, f"its {kind} {taken}.", call(kind, "value"))
        return
    fields = {name: wire_name(name, field) for name, field in model.model_fields.items()}
    for name, field in mapper.items():
        if name not in fields.values() and model.model_config.get("extra") != "allow":
            findings.add(
                where,
                f"its {kind} gives {name!r}, which is not a field of {model.__name__}.",
                nearest(name, fields.values()),
            )
        if not isinstance(field, str) and not callable(field):
            findings.add(
                where,
                f"its {kind} has {field!r} for {name}.",
                'Give the name of a field in the value, such as "order.id", or a function of it.',
            )
    for name, field in model.model_fields.items():
        if field.is_required() and fields[name] not in mapper and name not in mapper:
            findings.add(
                where,
                f"its {kind} does not give {name!r}, which {model.__name__} requires.",
                "Say where it is in the value, or give the field a default.",
            )
