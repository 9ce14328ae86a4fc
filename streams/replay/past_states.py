"""The state of each partition at a past position, or the newest.

A position is a partition's step: the state after so many records. `PARTITION/STEP` names one, a
time names that of every partition, as of what was committed by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from models.task.partition_task import PartitionTask
from schemas.errors import ConfigError, RiverrunError
from schemas.topics import LEARNER
from streams.config.naming import title_of
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase
from streams.kafka.topic_reader import TopicReader
from streams.replay.definition_history import DefinitionHistory
from streams.replay.derivation import Derivation, StartingStates
from streams.replay.kafka_log import journal_entry
from streams.snapshots.factory import store_of

Positions = Mapping[int, int]
"""Partition → step."""


async def places_of(text: str | None, journal: str, settings: Settings) -> Positions:
    """Return what `--as-of` means: `PARTITION/STEP` (several with commas), a time, None: the
    newest.

    Partitions that had taken nothing by then are left out.
    """
    if text is not None and "/" in text:
        return dict(_place(part) for part in text.split(","))
    until = None if text is None else _time_ms(text)
    steps = {}
    async with TopicReader([journal], settings) as reader:
        if not reader.topic_partitions:
            raise RiverrunError(f"there is no topic {journal}: no worker has run. See --prefix.")
        for topic_partition in reader.topic_partitions:
            records = (
                reader.records(topic_partition)
                if until is not None
                else _each(await reader.last(topic_partition))
            )
            async for record in records:
                if until is not None and record.timestamp > until:
                    break
                steps[topic_partition.partition] = journal_entry(record).step
    return steps


async def places_everywhere(
    text: str, journal: str, settings: Settings, partitions: int
) -> dict[int, int]:
    """Return what `--as-of` means for every partition: those that it does not name are as of the
    time at which the newest of its positions was committed, and 0 where nothing was taken by then.
    """
    steps = dict(await places_of(text, journal, settings))
    if "/" in text:
        if max(steps) >= partitions:
            raise ConfigError(
                f"--as-of {text!r} is no position: there is no partition {max(steps)}.",
                hint=f"There are {partitions}, from 0.",
            )
        time = await _committed(steps, journal, settings)
        steps = {**await places_of(time, journal, settings), **steps}
    return {number: steps.get(number, 0) for number in range(partitions)}


async def learner_place(text: str, names: Mapping[str, str], settings: Settings) -> int:
    """Return the learner's step that `--as-of` means, 0 before it had learnt anything.

    `learner/STEP` names one; a time, or a partition's place, that of what was committed by then.
    """
    number, _, step = text.partition("/")
    if number == title_of(LEARNER):
        return _place(f"0/{step}")[1]
    if step:
        text = await _committed(await places_of(text, "", settings), names["journal"], settings)
    return (await places_of(text, names["learning"], settings)).get(0, 0)


async def _committed(positions: Positions, journal: str, settings: Settings) -> str:
    newest = 0
    async with TopicReader([journal], settings) as reader:
        for topic_partition in reader.topic_partitions:
            step = positions.get(topic_partition.partition)
            async for record in reader.records(topic_partition):
                if step is None:
                    break
                if journal_entry(record).step >= step:
                    newest = max(newest, record.timestamp)
                    break
            else:
                if step is not None:
                    raise RiverrunError(
                        f"partition {topic_partition.partition} has not taken {step} records: "
                        f"{topic_partition.partition}/{step} is no position of its past."
                    )
    return datetime.fromtimestamp(newest / 1000, UTC).isoformat()


def _place(text: str) -> tuple[int, int]:
    partition, _, step = text.strip().partition("/")
    if not (partition.isdigit() and step.isdigit()):
        raise ConfigError(
            f"--as-of {text!r} is no position.",
            hint="Write PARTITION/STEP as predictions have them, or a time: 2024-05-01T12:00:00Z.",
        )
    return int(partition), int(step)


def _time_ms(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--as-of {text!r} is neither a place nor a time.",
            hint="Write PARTITION/STEP as predictions have them, or a time: 2024-05-01T12:00:00Z.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


async def _each(records: Sequence[Any]) -> Any:
    for record in records:
        yield record


class Checkpoints:
    """Brings partitions to their positions, from snapshots where there are any, else from the log.

    With `newest`, a snapshot that its worker wrote after the positions were read is used as it is:
    folding the log from its beginning to an older place would take minutes and say less.
    """

    def __init__(
        self,
        loaded: LoadedUseCase,
        settings: Settings,
        names: Mapping[str, str],
        partitions: int,
        starts: StartingStates | None = None,
        *,
        newest: bool = False,
    ) -> None:
        self._loaded, self._settings, self._names = loaded, settings, names
        self._partitions, self._newest = partitions, newest
        self._starts = Nearest(loaded, settings, starts)

    async def visit(self, partition: int, step: int, look: Callable[[Any], None]) -> None:
        """Call `look` with the state of a partition, or the learner, after `step` records; it may
        change it.

        With `newest` the state is that one or a later one.
        Raises `Unprovable` or `Diverged` where that state is not to be had any more.
        """
        seen = False

        def watch(task: Any, _: Any) -> None:
            nonlocal seen
            if task.step == step and not seen:
                seen = True
                look(task)

        topic, trusted = self._names["definitions"], [self._loaded.source]
        definitions = await DefinitionHistory.read(topic, self._settings, trusted=trusted)
        derivation = Derivation(
            self._settings,
            self._names,
            definitions,
            partition=partition,
            partitions=self._partitions,
            starts=self._starts,
            watch=watch,
        )
        try:
            last = await derivation.open()
            if last is None or step > last.step:
                raise RiverrunError(f"{title_of(partition)} has not taken {step} records.")
            if self._newest:
                snapshot = await self._starts.snapshot(derivation.fresh(last.definition))
                if snapshot is not None and snapshot.step >= step:
                    look(snapshot)
                    return
                derivation.task = snapshot
            goal = await derivation.entry_of(step)
            await derivation.to(goal.seq + 1, lambda outputs: None)
            if not seen:
                assert derivation.task is not None
                assert derivation.task.step == step
                look(derivation.task)
        finally:
            await derivation.close()


class Nearest:
    """Kept states to start near (deriving.Starts): this use case's snapshot, or the archive's."""

    def __init__(
        self, loaded: LoadedUseCase, settings: Settings, archive: StartingStates | None
    ) -> None:
        self._loaded, self._settings, self._archive = loaded, settings, archive

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the snapshot, if it is not beyond; else what the archive has; else `fresh`."""
        snapshot = await self.snapshot(fresh)
        if snapshot is not None and snapshot.seq <= seq:
            return snapshot
        return fresh if self._archive is None else await self._archive.near(fresh, seq)

    async def snapshot(self, fresh: PartitionTask) -> PartitionTask | None:
        """Return the partition's snapshot; None if there is none of that definition."""
        if fresh.definition != self._loaded.definition or self._settings.redis_url is None:
            return None
        # Each try needs a task of its own; closing the store would write a snapshot.
        store = store_of(self._loaded, self._settings, lambda _: fresh.fresh())
        task = await store.load(fresh.partition)
        return task if task.seq > 0 else None

    async def oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return what the archive has."""
        return fresh if self._archive is None else await self._archive.oldest(fresh, seq)
