"""The model check: the inputs folded again in the journal's order give every byte again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition

from models.task.partition_task import PartitionTask
from schemas.topics import INPUTS
from streams.config.gc_tuning import bound_pauses
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.replay.definition_history import DefinitionHistory
from streams.replay.journal_fold import fold
from streams.replay.kafka_log import KafkaLog
from streams.replay.learner_derivation import verify_versions
from streams.snapshots.fresh_task import fresh_task
from tests.chaos.verifier import digest, records

USE_CASE = Path(__file__).with_name("shipments.py")
KINDS = ("features", "predictions", "examples")


async def differing(
    settings: Settings,
    topics: Mapping[str, str],
    digests: Mapping[tuple[str, int], Sequence[bytes]],
    loaded: LoadedUseCase,
) -> list[str]:
    """Where what was published is not what a fresh fold publishes."""
    bound_pauses()  # versions of a tree are many objects
    client = settings.kafka_client()
    count = loaded.use_case.partitions
    inputs: list[Any] = [topics[kind] for kind in INPUTS]
    differences = []
    if loaded.use_case.is_shared(count):
        inputs.append(TopicPartition(topics["models"], 0))
        definitions = await DefinitionHistory.read(topics["definitions"], settings)
        versions = await verify_versions(settings, topics, definitions, count)
        differences += [*versions.reasons, *filter(None, [versions.different])]
        if not versions.checked:
            differences.append("no version of the shared models was derived again")
    for number in range(count):
        log = KafkaLog(
            client,
            journal=topics["journal"],
            inputs=inputs,
            partition=number,
        )
        task: PartitionTask = fresh_task(
            loaded.use_case,
            number,
            partitions=count,
            definition=loaded.definition,
            key=settings.snapshot_key,
        )
        again: dict[str, list[bytes]] = {kind: [] for kind in KINDS}

        first: dict[str, tuple[int, bytes]] = {}

        def take(
            outputs: Sequence[Any],
            number: int = number,
            again: dict[str, list[bytes]] = again,
            first: dict[str, tuple[int, bytes]] = first,
        ) -> None:
            for output in outputs:
                if output.kind in again:
                    rows, at = again[output.kind], len(again[output.kind])
                    rows.append(digest(output.key, output.value))
                    published = digests.get((output.kind, number), ())
                    if at < len(published) and published[at] != rows[at]:
                        first.setdefault(output.kind, (at, output.value))

        await log.start()
        try:
            await fold(task, log, on_outputs=take)
        finally:
            await log.close()
        for kind in KINDS:
            count_then, count_now = len(digests.get((kind, number), ())), len(again[kind])
            if kind in first:
                at, value = first[kind]
                other = await _nth(client, topics[kind], number, at)
                differs = sum(
                    a != b for a, b in zip(digests[kind, number], again[kind], strict=False)
                )
                differences.append(
                    f"{kind}[{number}] {at}, {differs} in all: {_fields(other, value)}"
                )
            elif count_then != count_now:
                differences.append(f"{kind}[{number}] has {count_then}, the fold gives {count_now}")
    return differences


async def _nth(client: Mapping[str, Any], topic: str, partition: int, at: int) -> bytes:
    count = 0
    async for record in records(client, topic):
        if record.partition == partition:
            if count == at:
                return bytes(record.value)
            count += 1
    return b"{}"


def _fields(published: bytes, folded: bytes) -> str:
    one, other = orjson.loads(published), orjson.loads(folded)
    differ = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return f"step {one.get('step')}: " + ", ".join(
        f"{name} was {one.get(name)}, is {other.get(name)}" for name in sorted(differ)
    )
