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
from streams.replay.definition_span import Abreast, DefinitionSpan, Pace, together
from streams.replay.journal_fold import fold
from streams.replay.kafka_log import KafkaLog
from streams.replay.learner_derivation import verify_versions
from streams.snapshots.fresh_task import fresh_task
from streams.snapshots.version_transfer import VersionReader, VersionReaders
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
    count = loaded.use_case.partitions
    shared, readers = loaded.use_case.is_shared(count), VersionReaders(settings.snapshot_key)
    differences: list[str] = []
    if shared:
        definitions = await DefinitionHistory.read(topics["definitions"], settings)
        versions = await verify_versions(settings, topics, definitions, count, readers.vouched)
        differences += [*versions.reasons, *filter(None, [versions.different])]
        if not versions.checked:
            differences.append("no version of the shared models was derived again")
    numbers, abreast = range(count), Abreast(range(count))
    partitions = [_Refolded(settings, topics, digests, number) for number in numbers]
    reader = readers.of(loaded.definition, loaded.use_case)

    async def run(partition: _Refolded) -> None:
        try:
            await partition.run(loaded, reader, abreast.pace(partition.number), shared=shared)
        finally:
            abreast.leave(partition.number)

    await together(map(run, partitions))
    for partition in partitions:
        differences += await partition.differing()
    return differences


class _Refolded:
    """One partition, folded by a fresh task, beside what was published."""

    def __init__(
        self,
        settings: Settings,
        topics: Mapping[str, str],
        digests: Mapping[tuple[str, int], Sequence[bytes]],
        number: int,
    ) -> None:
        self.number = number
        self._settings = settings
        self._topics = topics
        self._published = {kind: digests.get((kind, number), ()) for kind in KINDS}
        self._again: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        self._first: dict[str, tuple[int, bytes]] = {}

    async def run(
        self, loaded: LoadedUseCase, reader: VersionReader, pace: Pace, *, shared: bool
    ) -> None:
        """Fold the whole journal."""
        inputs: list[Any] = [self._topics[kind] for kind in INPUTS]
        if shared:
            inputs.append(TopicPartition(self._topics["models"], 0))
        log = KafkaLog(
            self._settings.kafka_client(),
            journal=self._topics["journal"],
            inputs=inputs,
            partition=self.number,
        )
        task: PartitionTask = fresh_task(
            loaded.use_case,
            self.number,
            partitions=loaded.use_case.partitions,
            definition=loaded.definition,
            key=self._settings.snapshot_key,
            versions=reader,
        )
        await log.start()
        try:
            span = DefinitionSpan(log, loaded.definition, pace)
            await fold(task, span, on_outputs=self._take)
        finally:
            await log.close()

    def _take(self, outputs: Sequence[Any]) -> None:
        for output in outputs:
            if output.kind in self._again:
                rows, at = self._again[output.kind], len(self._again[output.kind])
                rows.append(digest(output.key, output.value))
                published = self._published[output.kind]
                if at < len(published) and published[at] != rows[at]:
                    self._first.setdefault(output.kind, (at, output.value))

    async def differing(self) -> list[str]:
        """Return where what was published is not what the fold has given."""
        differences = []
        for kind in KINDS:
            published, again = self._published[kind], self._again[kind]
            if kind in self._first:
                at, value = self._first[kind]
                client = self._settings.kafka_client()
                other = await _nth(client, self._topics[kind], self.number, at)
                differs = sum(a != b for a, b in zip(published, again, strict=False))
                where = f"{kind}[{self.number}] {at}, {differs} in all"
                differences.append(f"{where}: {_fields(other, value)}")
            elif len(published) != len(again):
                had = f"{kind}[{self.number}] has {len(published)}"
                differences.append(f"{had}, the fold gives {len(again)}")
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
