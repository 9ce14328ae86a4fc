"""The use cases of a cluster, by their `definitions` topics."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from schemas.errors import ConfigError, Unavailable
from streams.config.settings import Settings

TAIL = ".definitions"


async def use_case_names(settings: Settings) -> list[str]:
    """Return the names of the use cases under the settings' prefix, sorted.

    Raises `ConfigError` if there is none, `Unavailable` if Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        await admin.start()
        topics = await admin.list_topics()
    except (KafkaConnectionError, OSError) as error:
        raise Unavailable(f"Kafka does not answer ({error}). See `riverrun doctor`.") from error
    finally:
        await admin.close()
    prefix = settings.riverrun_topic_prefix
    names = sorted(
        topic.removeprefix(prefix).removesuffix(TAIL)
        for topic in topics
        if topic.startswith(prefix) and topic.endswith(TAIL)
    )
    # Without a prefix, names with one belong to other deployments.
    names = [name for name in names if "." not in name]
    if not names:
        raise ConfigError(
            f"No use case has topics with the prefix {prefix!r}.",
            hint="Name one, or start a worker first.",
        )
    return names
