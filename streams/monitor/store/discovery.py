"""Which use cases there are on a cluster, by their `definitions` topics."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from schemas.errors import Misdeclared, Unavailable
from streams.settings import Settings

TAIL = ".definitions"


async def found(settings: Settings) -> list[str]:
    """The names of the use cases under the settings' prefix, sorted.

    Raises `Misdeclared` if there is none, `Unavailable` if Kafka does not answer.
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
    # Without a prefix, what has one is somebody else's run.
    names = [name for name in names if "." not in name]
    if not names:
        raise Misdeclared(
            f"No use case has topics under the prefix {prefix!r}.",
            mend="Name one, or start a worker first.",
        )
    return names
