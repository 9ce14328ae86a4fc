"""A command sent to every partition under one id, and what became of it in each.

Each partition journals it as any input and says on `lifecycle` what it changed, or on
`dead-letter` why it could not. That is waited for: the command itself is only a wish.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer

from schemas.errors import Unavailable
from schemas.inputs import Command, Verb
from streams.settings import Settings
from streams.tapes import Tapes


@dataclass(slots=True)
class Obeyed:
    """What became of a command. `refused`: partition → why; `evidence`: what each said with it."""

    command: Command
    partitions: int
    applied: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    evidence: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def waiting(self) -> list[int]:
        """Partitions that have not answered."""
        answered = {*self.applied, *self.refused}
        return [number for number in range(self.partitions) if number not in answered]

    @property
    def summary(self) -> str:
        """As people say it."""
        parts = [f"applied in {len(self.applied)} of {self.partitions}"]
        if self.refused:
            parts.append(f"refused in {len(self.refused)}")
        if self.waiting:
            parts.append(f"no answer from {len(self.waiting)}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        return self.command.model_dump() | {
            "partitions": self.partitions,
            "applied": sorted(self.applied),
            "refused": {str(number): why for number, why in sorted(self.refused.items())},
            "waiting": self.waiting,
        }


def command(
    verb: Verb,
    *,
    who: str,
    why: str,
    model: str | None = None,
    event_ids: list[str] | None = None,
    share: float | None = None,
) -> Command:
    """A new command, asked now."""
    return Command(
        command_id=f"{verb}-{uuid4().hex[:12]}",
        verb=verb,
        model=model,
        who=who,
        why=why,
        time=datetime.now(UTC),
        event_ids=event_ids,
        share=share,
    )


async def order(
    order: Command,
    settings: Settings,
    names: Mapping[str, str],
    *,
    timeout_s: float,
    on_progress: Callable[[Obeyed], None] = lambda _: None,
    each: Mapping[int, Sequence[Command]] | None = None,
) -> Obeyed:
    """Send it to every partition and wait until all have answered, or `timeout_s` have passed.

    `each`: what a partition gets in its place, the last one under the same id.
    """
    async with Tapes([names["lifecycle"], names["dead-letter"]], settings) as tapes:
        partitions = len(tapes.of(names["lifecycle"]))
        if not partitions:
            raise Unavailable(f"There is no topic {names['lifecycle']}. See `riverrun topics`.")
        obeyed = Obeyed(order, partitions)
        starts = {place: end for place, (_, end) in (await tapes.bounds()).items()}
        sent = {number: [order] for number in range(partitions)} if each is None else each
        await _send(sent, settings, names["commands"])
        began = monotonic()
        async for records in tapes.follow(starts):
            for record in records:
                _note(obeyed, record, names)
            on_progress(obeyed)
            if not obeyed.waiting or monotonic() - began > timeout_s:
                break
        return obeyed


async def _send(sent: Mapping[int, Sequence[Command]], settings: Settings, topic: str) -> None:
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for number, commands in sent.items():
            for one in commands:
                await producer.send_and_wait(
                    topic,
                    one.model_dump_json().encode(),
                    key=one.command_id.encode(),
                    partition=number,
                )
    finally:
        await producer.stop()


def _note(obeyed: Obeyed, record: Any, names: Mapping[str, str]) -> None:
    value = orjson.loads(record.value)
    command_id = obeyed.command.command_id
    if record.topic == names["lifecycle"]:
        if value["command_id"] == command_id and record.partition not in obeyed.applied:
            obeyed.applied.append(record.partition)
            obeyed.evidence[record.partition] = value["evidence"] or {}
    elif value["stage"] == "command" and command_id.encode() in b64decode(value["value_base64"]):
        obeyed.refused[record.partition] = value["error"]
