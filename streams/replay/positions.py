"""The state of each partition at a place of its past or at its newest, for whoever asks about it.

A place is a partition's step: the state after so many records. `PARTITION/STEP` names one, a time
names that of every partition, as of what was committed by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from models.task import PartitionTask
from schemas.errors import Misdeclared, RiverrunError
from streams.deriving import Derivation, Starts
from streams.loading import Loaded
from streams.operating import store_of
from streams.past_definitions import Definitions
from streams.settings import Settings
from streams.tapes import Tapes

Places = Mapping[int, int]
"""Partition → step."""


async def places_of(text: str | None, journal: str, settings: Settings) -> Places:
    """What `--as-of` means: `PARTITION/STEP` (several with commas), a time, None: the newest.

    Partitions that had taken nothing by then are left out.
    """
    if text is not None and "/" in text:
        return dict(_place(part) for part in text.split(","))
    until = None if text is None else _time_ms(text)
    found = {}
    async with Tapes([journal], settings) as tapes:
        if not tapes.places:
            raise RiverrunError(f"there is no topic {journal}: no worker has run. See --prefix.")
        for place in tapes.places:
            records = tapes.records(place) if until is not None else _each(await tapes.last(place))
            async for record in records:
                if until is not None and record.timestamp > until:
                    break
                found[place.partition] = orjson.loads(record.value)["step"]
    return found


async def places_everywhere(
    text: str, journal: str, settings: Settings, partitions: int
) -> dict[int, int]:
    """What `--as-of` means for every partition: those that it does not name are as of the time at
    which the newest of its places was committed, and 0 where nothing was taken by then.
    """
    found = dict(await places_of(text, journal, settings))
    if "/" in text:
        if max(found) >= partitions:
            raise Misdeclared(
                f"--as-of {text!r} is no place: there is no partition {max(found)}.",
                mend=f"There are {partitions}, from 0.",
            )
        time = await _committed(found, journal, settings)
        found = {**await places_of(time, journal, settings), **found}
    return {number: found.get(number, 0) for number in range(partitions)}


async def _committed(places: Places, journal: str, settings: Settings) -> str:
    newest = 0
    async with Tapes([journal], settings) as tapes:
        for place in tapes.places:
            step = places.get(place.partition)
            async for record in tapes.records(place):
                if step is None:
                    break
                if orjson.loads(record.value)["step"] >= step:
                    newest = max(newest, record.timestamp)
                    break
            else:
                if step is not None:
                    raise RiverrunError(
                        f"partition {place.partition} has not taken {step} records: "
                        f"{place.partition}/{step} is no place of its past."
                    )
    return datetime.fromtimestamp(newest / 1000, UTC).isoformat()


def _place(text: str) -> tuple[int, int]:
    partition, _, step = text.strip().partition("/")
    if not (partition.isdigit() and step.isdigit()):
        raise Misdeclared(
            f"--as-of {text!r} is no place.",
            mend="Write PARTITION/STEP as predictions have them, or a time: 2024-05-01T12:00:00Z.",
        )
    return int(partition), int(step)


def _time_ms(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misdeclared(
            f"--as-of {text!r} is neither a place nor a time.",
            mend="Write PARTITION/STEP as predictions have them, or a time: 2024-05-01T12:00:00Z.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


async def _each(records: Sequence[Any]) -> Any:
    for record in records:
        yield record


class Historian:
    """Brings partitions to their places, from snapshots where there are any, else from the log."""

    def __init__(
        self,
        loaded: Loaded,
        settings: Settings,
        names: Mapping[str, str],
        partitions: int,
        starts: Starts | None = None,
    ) -> None:
        self._loaded, self._settings, self._names = loaded, settings, names
        self._partitions = partitions
        self._starts = Nearest(loaded, settings, starts)

    async def visit(self, partition: int, step: int, look: Callable[[PartitionTask], None]) -> None:
        """Call `look` with the partition's state after `step` records; it may change it.

        Raises `Unprovable` or `Diverged` where that state is not to be had any more.
        """
        seen = False

        def watch(task: PartitionTask, _: Any) -> None:
            nonlocal seen
            if task.step == step and not seen:
                seen = True
                look(task)

        topic, trusted = self._names["definitions"], [self._loaded.source]
        definitions = await Definitions.read(topic, self._settings, trusted=trusted)
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
                raise RiverrunError(f"partition {partition} has not taken {step} records.")
            goal = await derivation.entry_of(step)
            await derivation.to(goal.seq + 1, lambda made: None)
            if not seen:
                assert derivation.task is not None
                assert derivation.task.step == step
                look(derivation.task)
        finally:
            await derivation.close()


class Nearest:
    """Kept states to start near (deriving.Starts): this use case's snapshot, or the archive's."""

    def __init__(self, loaded: Loaded, settings: Settings, archive: Starts | None) -> None:
        self._loaded, self._settings, self._archive = loaded, settings, archive

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """The snapshot, if it is not beyond; else what the archive has; else `fresh`."""
        if fresh.definition == self._loaded.definition and self._settings.redis_url is not None:
            # Each try needs a task of its own; closing the store would write a snapshot.
            store = store_of(self._loaded, self._settings, lambda _: fresh.anew())
            task = await store.load(fresh.partition)
            if 0 < task.seq <= seq:
                return task
        return fresh if self._archive is None else await self._archive.near(fresh, seq)

    async def oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """As the archive has it."""
        return fresh if self._archive is None else await self._archive.oldest(fresh, seq)
