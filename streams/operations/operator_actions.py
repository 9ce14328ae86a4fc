"""Actions of operators that no partition carries out: a record on `lifecycle`, nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.spec.use_case import UseCase
from schemas.errors import Unavailable
from schemas.headers import stamp
from schemas.records import Lifecycle
from streams.config.settings import Settings
from streams.topics.topic_admin import names_of

ALERTS, LETTERS, PERSONAL_DATA = SUBJECTS = ("alerts", "dead letters", "personal data")
"""The subject of such a record, in its field `model`."""


async def record_action(
    use_case: UseCase,
    settings: Settings,
    *,
    subject: str,
    from_state: str | None = None,
    to_state: str,
    who: str,
    why: str,
    evidence: Mapping[str, Any] | None,
) -> None:
    """Write the record on partition 0, for `riverrun history`; raise `Unavailable` on failure."""
    record = Lifecycle(
        use_case=use_case.name,
        partition=0,
        model=subject,
        from_state=from_state,
        to_state=to_state,
        cause="operator",
        who=who,
        why=why,
        command_id=str(uuid4()),
        evidence=None if evidence is None else dict(evidence),
        event_time=None,
        step=0,
    )
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        await producer.send_and_wait(
            names_of(use_case, settings)["lifecycle"],
            key=subject.encode(),
            value=orjson.dumps(record.model_dump()),
            partition=0,
            timestamp_ms=int(datetime.now(UTC).timestamp() * 1000),
            headers=[
                *stamp("lifecycle", record.use_case, 0),
                ("ce_id", f"{to_state}-{record.command_id}".encode()),
            ],
        )
    except (KafkaError, OSError) as error:
        raise Unavailable(
            f"The action could not be recorded: Kafka failed ({type(error).__name__}). Try again."
        ) from error
    finally:
        await producer.stop()
