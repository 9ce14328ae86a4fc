"""The environment of a state: its group, Kafka cluster and journal.

Environments share keys, Redis servers and archives more easily than they should, and their
positions look alike. So a snapshot's signed header names its environment by ids that Kafka assigns
and nobody chooses: the cluster's and the journal topic's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.errors import Unavailable
from streams.config.settings import Settings
from streams.snapshots.signed_format import Origin
from streams.topics.topic_identity import Topics


def origin_of(settings: Settings, group: str, journal: str) -> Callable[[], Origin]:
    """Return the identity of this environment; asked for once, from a thread without a loop."""
    lock, known = threading.Lock(), list[Origin]()

    def ask() -> Origin:
        with lock:
            if not known:
                known.append(asyncio.run(_asked(settings, group, journal)))
        return known[0]

    return ask


async def _asked(settings: Settings, group: str, journal: str) -> Origin:
    admin = AIOKafkaAdminClient(**settings.kafka_client())
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka does not say which cluster it is: {error}") from error
    finally:
        await admin.close()
    async with Topics(settings.kafka_client()) as topics:
        identity = (await topics.identities([journal])).get(journal)
    topic_id = b"" if identity is None or identity.id is None else identity.id
    return Origin(group, cluster or "", topic_id.hex())
