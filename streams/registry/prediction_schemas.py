"""The schema of a use case's predictions: registered, and kept beside them, before any is written.

Its subject is that of Confluent's TopicNameStrategy, `<topic>-value`. What is on the topic
`schemas` needs no registry any more: a worker that starts again asks nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

from models.formats.payload import WriterSchema
from models.formats.prediction_codec import encoder_of
from models.inputs.json_bytes import encoded
from models.spec.use_case import UseCase
from riverrun.client.compacted_topic import newest_values
from riverrun.client.written_predictions import written_schema
from schemas.errors import ConfigError, Incompatible
from schemas.headers import formatted
from schemas.records.prediction_schema import CONTENT_TYPES, TYPES, schema_text
from streams.config.settings import Settings
from streams.registry.proto_compiler import compiled
from streams.registry.schema_registry import SchemaRegistry, registry_of

Encoders = Mapping[str, Callable[[Any], Any]]
"""Kind of record → what makes of an output the one that is written."""

NO_REGISTRY = (
    "Set SCHEMA_REGISTRY_URL: the schema of predictions is registered before any is written."
)


async def announce(use_case: UseCase, names: Mapping[str, str], settings: Settings) -> None:
    """Register the schema of the use case's predictions, and keep it beside them; JSON has none.

    Raises `ConfigError` if no registry is set, `Incompatible` if it refuses the schema,
    `Unavailable` if it does not answer.
    """
    if use_case.prediction_format == "json" or await _kept(use_case, names, settings) is not None:
        return
    registry = registry_of(settings)
    if registry is None:
        raise ConfigError(
            f"{use_case.name} writes its predictions as {use_case.prediction_format}, and no "
            "Schema Registry is set.",
            hint=NO_REGISTRY,
        )
    type, text = TYPES[use_case.prediction_format], _text(use_case)
    async with registry:
        try:
            id = await registry.register(subject_of(names), type, text)
        except Incompatible as error:
            raise Incompatible(_refused(names, str(error))) from None
    value = encoded(_as_kept(id, type, text)._asdict())
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(names["schemas"], value, key=str(id).encode(), partition=0)
    finally:
        await producer.stop()


async def encoders_of(use_case: UseCase, names: Mapping[str, str], settings: Settings) -> Encoders:
    """Return what writes the use case's predictions, once `announce` has been there."""
    if use_case.prediction_format == "json":
        return {}
    schema = await _kept(use_case, names, settings)
    if schema is None:
        raise ConfigError(
            f"{names['schemas']} has no schema of the predictions.", hint="Restart the worker."
        )
    encode, topic, id = encoder_of(schema), names["schemas"], schema.id
    content_type = CONTENT_TYPES[use_case.prediction_format]

    def written(output: Any) -> Any:
        headers = formatted(output.headers, content_type, topic, id)
        return output._replace(value=encode(output.value), headers=headers)

    return {"predictions": written}


async def misfit(
    use_case: UseCase, names: Mapping[str, str], registry: SchemaRegistry
) -> str | None:
    """Return why the registry would refuse the schema of the predictions; None if it takes it."""
    type, text = TYPES[use_case.prediction_format], _text(use_case)
    async with registry:
        reason = await registry.misfit(subject_of(names), type, text)
    return None if reason is None else _refused(names, reason)


def subject_of(names: Mapping[str, str]) -> str:
    """Return the subject of the predictions' schema."""
    return f"{names['predictions']}-value"


def _refused(names: Mapping[str, str], reason: str) -> str:
    return (
        f"the schema of predictions does not fit what is registered under {subject_of(names)!r}: "
        f"{reason.rstrip('.')}. Whoever reads the topic relies on that one: give predictions a "
        'topic of their own (topics={"predictions": …}), or delete the subject if nobody does.'
    )


def _text(use_case: UseCase) -> str:
    return schema_text(use_case.prediction_format, use_case.kind)


def _as_kept(id: int, type: str, text: str) -> WriterSchema:
    return WriterSchema(id, type, compiled(text, {}) if type == "PROTOBUF" else text)


async def _kept(
    use_case: UseCase, names: Mapping[str, str], settings: Settings
) -> WriterSchema | None:
    """Return the schema as the topic `schemas` has it; None if it is not there."""
    wanted = _as_kept(-1, TYPES[use_case.prediction_format], _text(use_case))
    for value in (await newest_values(settings.kafka_client(), names["schemas"])).values():
        schema = written_schema(value)
        if schema._replace(id=-1) == wanted:
            return schema
    return None
