"""Personal data shown on request: only with a reason, and only once the reason is on record.

The record is on `lifecycle`, where `riverrun history` finds who asked, when, why and for what. It
is written before anything is shown; if it cannot be written, nothing is.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.personal import NOTHING, Masking, masking_of
from models.usecase import UseCase
from schemas.errors import Misdeclared, Unavailable
from schemas.headers import stamp
from schemas.records import Lifecycle
from streams.loading import load
from streams.settings import Settings
from streams.topics import names_of

REVEALED = "revealed"
"""The `to_state` of such a record."""
SUBJECT = "personal data"
"""Its `model`: it is about none."""


def masking_for(
    use_case: UseCase, settings: Settings, *, why: str | None, what: str, who: str | None = None
) -> Masking:
    """What is to be masked: all that is personal, or with a reason, which is recorded, nothing.

    `what` says in a few words what is shown. Not within a running event loop: see `reveal`.
    """
    masking = masking_of(use_case)
    if why is None or not masking:
        return masking
    asyncio.run(reveal(use_case, settings, why=why, what=what, who=who))
    return NOTHING


async def reveal(
    use_case: UseCase, settings: Settings, *, why: str, what: str, who: str | None = None
) -> None:
    """Put on record that personal data is shown. Raises `Misdeclared` without a reason."""
    if not why.strip():
        raise Misdeclared("--reveal needs a reason.", mend='Such as --reveal "complaint 4711".')
    record = Lifecycle(
        use_case=use_case.name,
        partition=0,
        model=SUBJECT,
        from_state="masked",
        to_state=REVEALED,
        cause="operator",
        who=who or getpass.getuser(),
        why=why,
        command_id=str(uuid4()),
        evidence={"what": what, "fields": masking_of(use_case).fields},
        event_time=None,
        step=0,
    )
    await _write(record, names_of(use_case, settings), settings)


async def _write(record: Lifecycle, names: Mapping[str, str], settings: Settings) -> None:
    now = datetime.now(UTC)
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        await producer.send_and_wait(
            names["lifecycle"],
            key=record.model.encode(),
            value=orjson.dumps(record.model_dump()),
            partition=0,
            timestamp_ms=int(now.timestamp() * 1000),
            headers=[
                *stamp("lifecycle", record.use_case, 0),
                ("ce_id", f"{REVEALED}-{record.command_id}".encode()),
            ],
        )
    except (KafkaError, OSError) as error:
        raise Unavailable(f"the reason could not be recorded, so nothing is shown: {error}") from (
            error
        )
    finally:
        await producer.stop()


@dataclass(frozen=True, slots=True)
class Owned:
    """A topic, the use case that it is of, and which of its kinds it is."""

    use_case: UseCase
    topic: str
    kind: str


def owner_of(topic: str, settings: Settings, usecase: str | None = None) -> Owned:
    """Whose topic that is: by the name before its kind, or as `usecase` (a name or file) says.

    `topic` is without the prefix. Raises `Misdeclared` where it cannot be told: what is personal on
    a topic is known from the use case alone.
    """
    name = topic.rpartition(".")[0]
    try:
        use_case = load(usecase or name or topic).use_case
    except Misdeclared:
        if usecase is not None:
            raise
        raise Misdeclared(
            f"Whose topic {topic} is cannot be told, so neither what on it is personal.",
            mend="Give --usecase NAME, or the path of its file.",
        ) from None
    full = settings.riverrun_topic_prefix + topic
    names = names_of(use_case, settings)
    kind = next((kind for kind, name in names.items() if name == full), None)
    if kind is None:
        raise Misdeclared(
            f"{full} is no topic of {use_case.name}.", mend="`riverrun topics` lists them."
        )
    return Owned(use_case, full, kind)
