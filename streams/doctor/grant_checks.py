"""What `riverrun doctor` finds out about who riverrun is to Kafka: its token, and its grants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TransactionalIdAuthorizationFailed,
)

from models.spec.use_case import UseCase
from schemas.errors import ConfigError
from streams.config.check_result import CheckResult, bad, doubtful, good
from streams.config.naming import group_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.credentials.reauthentication import connected
from streams.kafka import authorized_operations
from streams.topics.topic_admin import catalogue_of, names_of

TIMEOUT_S = 15.0
CLOSE_S = 0.1  # a connection that was refused closes after the error is raised
SASL_ARGUMENTS = (
    "ssl_context",
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)


def check_token(settings: Settings) -> Iterator[CheckResult]:
    """Check that there is a token for Kafka, where it asks for one."""
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return
    source = f"KAFKA_SASL_TOKEN_SOURCE={settings.kafka_sasl_token_source}"
    try:
        settings.kafka_tokens().renewed()
    except ConfigError as error:
        yield bad("kafka token", error.reason, error.hint)
    except KafkaError as error:
        yield bad("kafka token", _text(error), f"See the settings with {source}.")
    else:
        yield good("kafka token", f"{source} gives one")


def refusal(settings: Settings) -> str:
    """Return what the first broker says when this client connects; empty if it lets it in.

    aiokafka's own clients only say that they could not connect to any.
    """
    try:
        return asyncio.run(_refusal(settings))
    except (ConfigError, KafkaError, OSError, TimeoutError) as error:
        return _text(error)


async def _refusal(settings: Settings) -> str:
    client = settings.kafka_client()
    host, _, port = client["bootstrap_servers"].split(",")[0].strip().rpartition(":")
    arguments = {name: client[name] for name in SASL_ARGUMENTS if name in client}
    try:
        async with asyncio.timeout(TIMEOUT_S):
            connection = await connected(host.strip("[]"), int(port), **arguments)
        connection.close()
    finally:
        await asyncio.sleep(CLOSE_S)
    return ""


def check_grants(loaded: LoadedUseCase, settings: Settings) -> Iterator[CheckResult]:
    """Check what a worker of a use case has to be authorized for; changes nothing.

    Where Kafka authorizes nobody in particular, everything is allowed.
    """
    group = group_of(loaded, settings)
    names = names_of(loaded.use_case, settings)
    try:
        missing = asyncio.run(_missing(loaded.use_case, names, group, settings))
    except NotImplementedError:
        yield doubtful("grants", "Kafka tells no grants", "Use a Kafka of 2.3 or later.")
        return
    except (KafkaError, OSError, TimeoutError) as error:
        yield doubtful("grants", f"they cannot be asked for: {_text(error)}", "Try again.")
        return
    for cause, remedy in missing:
        yield bad("grants", cause, remedy)
    if not missing:
        yield good("grants", f"all that workers of {loaded.use_case.name} need")


async def _missing(
    use_case: UseCase, names: Mapping[str, str], group: str, settings: Settings
) -> list[tuple[str, str]]:
    client = settings.kafka_client()
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            missing = await _of_topics(admin, use_case, names)
            missing += await _of_group(admin, group)
    finally:
        await admin.close()
    producer = AIOKafkaProducer(**client, transactional_id=f"{group}-doctor")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await producer.start()
    except TransactionalIdAuthorizationFailed:
        cause = f"this user may not use transactional ids that begin with {group}-"
        remedy = f"Grant WRITE and DESCRIBE on transactional ids with the prefix {group}-."
        missing.append((cause, remedy))
    finally:
        await producer.stop()
    return missing


async def _of_topics(
    admin: AIOKafkaAdminClient, use_case: UseCase, names: Mapping[str, str]
) -> list[tuple[str, str]]:
    catalogue = catalogue_of(use_case, use_case.partitions)
    topics = {names[topic.kind]: topic for topic in catalogue}
    relayed = ("events", "outcomes") if use_case.sources else ()
    authorized = await authorized_operations.of_topics(admin, topics)
    missing = []
    for name, operations in sorted(authorized.items()):
        if operations is None:
            continue
        needed = {"READ", "DESCRIBE", "DESCRIBE_CONFIGS"}
        if topics[name].direction == "out" or topics[name].kind in relayed:
            needed.add("WRITE")
        if lacking := sorted(needed - operations):
            missing.append((f"no {_and(lacking)} on topic {name}", _grant(lacking, "topic", name)))
    absent = [name for name, operations in authorized.items() if operations is None]
    missing += await _of_creation(admin, absent) if absent else []
    return missing + await _of_foreign_topics(admin, use_case)


async def _of_foreign_topics(
    admin: AIOKafkaAdminClient, use_case: UseCase
) -> list[tuple[str, str]]:
    """Return what is missing on the topics of sources and tables, which are only read."""
    tables = [table.topic for table in use_case.tables.values()]
    topics = {source.topic for source in use_case.sources} | set(tables)
    authorized = await authorized_operations.of_topics(admin, topics) if topics else {}
    missing = []
    for name, operations in sorted(authorized.items()):
        if operations is not None and (lacking := sorted({"READ", "DESCRIBE"} - operations)):
            cause = f"no {_and(lacking)} on topic {name}, which the use case reads"
            missing.append((cause, _grant(lacking, "topic", name)))
    return missing


async def _of_creation(admin: AIOKafkaAdminClient, absent: Sequence[str]) -> list[tuple[str, str]]:
    topics = [NewTopic(name, 1, 1) for name in absent]
    answer = await admin.create_topics(topics, validate_only=True)
    refused = [
        name
        for name, error, *_ in answer.topic_errors
        if error == authorized_operations.TOPIC_AUTHORIZATION_FAILED
    ]
    if not refused:
        return []
    remedy = (
        "Grant CREATE on the cluster or on their prefix, or create them; see `riverrun topics`."
    )
    return [(f"{len(refused)} topics, {refused[0]} first, cannot be created", remedy)]


async def _of_group(admin: AIOKafkaAdminClient, group: str) -> list[tuple[str, str]]:
    try:
        operations = await authorized_operations.of_group(admin, group)
    except GroupAuthorizationFailedError:
        operations = set()
    if "READ" in operations:
        return []
    return [(f"no READ on group {group}", _grant(["READ"], "group", group))]


def _grant(operations: Sequence[str], resource: str, name: str) -> str:
    return f"Grant {_and(operations)} on {resource} {name} to this user."


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _text(error: Exception) -> str:
    """Return an error without the name that aiokafka puts before its text."""
    return str(error.args[0]) if error.args else type(error).__name__
