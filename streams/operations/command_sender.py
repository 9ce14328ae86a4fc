"""A command sent to every partition under one id, and what became of it in each.

Each partition journals it as any input and reports on `lifecycle` what it changed, or on
`dead-letter` why it could not. The sender waits for these reports.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from models.spec.use_case import UseCase
from schemas.commands import Command, RecordPosition, Verb
from schemas.errors import Unavailable
from schemas.topics import LEARNER
from streams.config.naming import title_of
from streams.config.settings import Settings
from streams.kafka.topic_reader import TopicReader

MODEL_VERBS = frozenset(
    (
        "promote",
        "rollback",
        "freeze",
        "unfreeze",
        "experiment",
        "drain",
        "retire",
        "reset",
        "deliver",
    )
)
"""Commands about models: one learner applies them where partitions share their models."""


@dataclass(slots=True)
class CommandResult:
    """The result of a command, by partition.

    `refused`: partition → why; `evidence`: partition → the figures that it gave.
    """

    command: Command
    numbers: list[int]  # the partitions that it was sent to
    applied: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    evidence: dict[int, dict[str, Any]] = field(default_factory=dict)
    by_learner: bool = False  # the learner answers on partition 0

    def title(self, number: int) -> str:
        """Return who answered there."""
        return title_of(LEARNER if self.by_learner else number)

    @property
    def partitions(self) -> int:
        """Return the number of partitions that it was sent to."""
        return len(self.numbers)

    @property
    def waiting(self) -> list[int]:
        """Return the partitions that have not answered."""
        answered = {*self.applied, *self.refused}
        return [number for number in self.numbers if number not in answered]

    @property
    def unheld(self) -> list[str]:
        """Return the events of a `release` that no partition has held in quarantine."""
        released = {i for figures in self.evidence.values() for i in figures.get("released", ())}
        return [i for i in dict.fromkeys(self.command.event_ids or ()) if i not in released]

    @property
    def summary(self) -> str:
        """Return the result in words."""
        parts = [f"applied in {len(self.applied)} of {self.partitions}"]
        if self.command.verb == "release":
            ids = dict.fromkeys(self.command.event_ids or ())
            parts = [f"{len(ids) - len(self.unheld)} of {len(ids)} learnt", *parts]
        if self.refused:
            parts.append(f"refused in {len(self.refused)}")
        if self.waiting:
            parts.append(f"no answer from {len(self.waiting)}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return self.command.model_dump() | {
            "partitions": self.partitions,
            "applied": sorted(self.applied),
            "refused": {str(number): why for number, why in sorted(self.refused.items())},
            "waiting": self.waiting,
            "unheld": self.unheld,
        }


def new_command(
    verb: Verb,
    *,
    who: str,
    why: str,
    model: str | None = None,
    event_ids: list[str] | None = None,
    share: float | None = None,
    watermark: datetime | None = None,
    record: Mapping[str, Any] | None = None,
    evidence: dict[str, Any] | None = None,
) -> Command:
    """Return a command of this moment, with an id of its own."""
    return Command(
        command_id=f"{verb}-{uuid4().hex[:12]}",
        verb=verb,
        model=model,
        who=who,
        why=why,
        time=datetime.now(UTC),
        event_ids=event_ids,
        share=share,
        watermark=watermark,
        record=None if record is None else RecordPosition.model_validate(record),
        evidence=evidence,
    )


async def send_command(
    command: Command,
    settings: Settings,
    names: Mapping[str, str],
    *,
    timeout_s: float,
    use_case: UseCase | None = None,
    on_progress: Callable[[CommandResult], None] = lambda _: None,
    by_partition: Mapping[int, Sequence[Command]] | None = None,
) -> CommandResult:
    """Send it to every partition and wait until all have answered, or `timeout_s` have passed.

    With `by_partition` only those partitions get commands: theirs, the last one under the same id.
    Where the partitions of `use_case` share their models, a command about models goes to partition
    0, where the learner reads and answers.
    """
    async with TopicReader([names["lifecycle"], names["dead-letter"]], settings) as topics:
        partitions = len(topics.of(names["lifecycle"]))
        if not partitions:
            raise Unavailable(f"There is no topic {names['lifecycle']}. See `riverrun topics`.")
        shared = use_case is not None and use_case.is_shared(partitions)
        by_learner = shared and command.verb in MODEL_VERBS
        if by_partition is None and by_learner:
            by_partition = {0: [command]}
        sent = by_partition or {number: [command] for number in range(partitions)}
        result = CommandResult(command, sorted(sent), by_learner=by_learner)
        starts = {partition: end for partition, (_, end) in (await topics.bounds()).items()}
        await _send(sent, settings, names["commands"])
        began = monotonic()
        async for records in topics.follow(starts):
            for record in records:
                kind = "lifecycle" if record.topic == names["lifecycle"] else "dead-letter"
                if (row := topics.row(kind, record)) is not None:
                    _record_answer(result, record.partition, kind, row)
            on_progress(result)
            if not result.waiting or monotonic() - began > timeout_s:
                break
        return result


async def _send(sent: Mapping[int, Sequence[Command]], settings: Settings, topic: str) -> None:
    producer = AIOKafkaProducer(**settings.kafka_client(), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for number, commands in sent.items():
            for command in commands:
                await producer.send_and_wait(
                    topic,
                    command.model_dump_json().encode(),
                    key=command.command_id.encode(),
                    partition=number,
                )
    finally:
        await producer.stop()


def _record_answer(
    result: CommandResult, partition: int, kind: str, row: Mapping[str, Any]
) -> None:
    command_id = result.command.command_id
    if kind == "lifecycle":
        if row["command_id"] == command_id and partition not in result.applied:
            result.applied.append(partition)
            result.evidence[partition] = row["evidence"] or {}
    elif row["stage"] == "command" and command_id.encode() in b64decode(row["value_base64"] or ""):
        result.refused[partition] = row["error"]
