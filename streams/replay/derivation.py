"""The state of a partition or the learner derived again, under the definitions of then.

    state, outputs = fold(apply, inputs in the journal's order)

The journal names a definition by its hash; its source is taken from the `definitions` topic and
not from the file at hand, which may have changed. What is not to be had any more (the source, a
part of the log, this River) ends in `Unprovable`: that says nothing about the predictions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from models.inputs.skipped_records import InputOffset, Skip
from models.task.partition_task import PartitionTask
from schemas.errors import Incompatible
from streams.config.settings import Settings
from streams.replay.definition_change import redefined
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.definition_span import DefinitionSpan, Pace
from streams.replay.journal_fold import Diverged, Entry, fold
from streams.replay.kafka_log import log_of, read_versions
from streams.snapshots.fresh_task import fresh_task
from streams.snapshots.version_transfer import VersionReaders


class StartingStates(Protocol):
    """Kept states to start near (an archive)."""

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the newest kept state of that task's partition and definition with at most `seq`
        closed entries; `fresh` itself where there is none.
        """

    async def oldest(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the oldest kept state of at least `seq` closed entries; `fresh` where there is
        none.
        """


class Derivation:
    """One partition or the learner, derived entry by entry. open → to(...) again and again → close.

    With `jumps` it goes on from the nearest kept state, else through every entry that the log still
    has; `began` is the first of them. `watch(task, taken)` is called around each record: it gets
    the task as it was before, and gives what is to be called after with the outputs, or None.
    `readers`: what the derivations of several partitions read versions by; `pace`: what keeps them
    abreast.
    """

    def __init__(
        self,
        settings: Settings,
        names: Mapping[str, str],
        definitions: DefinitionHistory,
        *,
        partition: int,
        partitions: int,
        starts: StartingStates | None = None,
        jumps: bool = True,
        watch: Watch | None = None,
        redefine: Redefine | None = None,
        readers: VersionReaders | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.partition = partition
        self.task: PartitionTask | None = None
        self.began = 0
        self.through: tuple[str, ...] = ()  # definitions that the state was folded under
        self.on_entry: Callable[[int], None] = lambda seq: None
        self._partitions = partitions
        self._definitions = definitions
        self._starts = starts
        self._jumps = jumps
        self._watch = watch
        self._redefine = redefine or carried_over
        self._key = settings.snapshot_key
        self._readers = readers or VersionReaders(self._key)
        self._pace = pace
        self._names = names
        self._log = log_of(settings, names, partition, partitions)

    async def open(self) -> Entry | None:
        """Connect; returns the journal's newest entry."""
        await self._log.start()
        last = await self._log.last()
        read_versions(self._log, self._names, last)
        return last

    async def close(self) -> None:
        """Close the connections."""
        await self._log.close()

    async def to(self, until: int, outputs: Callable[[Sequence[Any]], None]) -> None:
        """Go on until `until` entries are closed; `outputs` gets what each record made known.

        Raises `Unprovable`, or `Diverged` where the journal itself is not what a fold gives.
        """
        task = await self._near(until)
        while True:
            self.task = task
            watched = _Watched(task, self._watch) if self._watch is not None else task
            era = DefinitionSpan(self._log, task.definition, self._pace)
            if task.definition not in self.through:
                self.through += (task.definition,)
            try:
                await fold(watched, era, until=until, on_outputs=outputs, on_progress=self.on_entry)
            except Diverged:
                raise
            except Incompatible as error:
                raise Unprovable(str(error)) from error
            if era.next is None or era.next.seq >= until:
                return
            task = await self._redefine(self, task, era.next)

    async def warm(self, task: PartitionTask, until: int) -> None:
        """Fold the first `until` entries into a fresh task, whatever they were applied under."""
        first = await self.entry(0)
        if first.seq > 0:
            raise Unprovable(
                f"definition {task.definition} began with the whole log, which is kept from entry "
                f"{first.seq} on."
            )
        try:
            await fold(task, self._log, until=until)
        except Diverged:
            raise
        except Incompatible as error:
            raise Unprovable(str(error)) from error

    async def _near(self, until: int) -> PartitionTask:
        """Return the state to go on from: the one at hand, unless a kept one is nearer."""
        at = self.task
        if at is not None and at.seq >= until:
            at = None  # it cannot go back
        if self._starts is not None and self._jumps:
            newest = (await self.entry(max(until - 1, 0))).definition
            start = await self._starts.near(self.fresh(newest), until - 1)
            if start.seq > (0 if at is None else at.seq):
                self.through = ()
                return start
        if at is None:
            self.through = ()
        return at or await self._first()

    async def _first(self) -> PartitionTask:
        """Return the state before all that the log still has."""
        first = await self.entry(0)
        task = self.fresh(first.definition)
        if first.seq > 0 and self._starts is not None:
            task = await self._starts.oldest(task, first.seq)
            self.began = task.seq
        return task

    def fresh(self, definition: str) -> PartitionTask:
        """Return a task that has seen nothing."""
        use_case = self._definitions.loaded(definition).use_case
        task: PartitionTask = fresh_task(
            use_case,
            self.partition,
            partitions=self._partitions,
            definition=definition,
            key=self._key,
            versions=self._readers.of(definition, use_case),
        )
        return task

    async def entry(self, seq: int) -> Entry:
        """Return one journal entry."""
        async for entry in self._log.entries(seq):
            return entry
        raise Unprovable(f"the journal has no entry {seq}.")

    async def entry_of(self, step: int) -> Entry:
        """Return the journal entry that holds a step; raise `Unprovable` if there is none."""
        entry = await self._log.entry_of(step)
        if entry is None:
            raise Unprovable(f"the journal does not hold step {step}.")
        return entry

    async def entry_with(self, index: int, offset: int) -> Entry | None:
        """Return the journal entry that took the record at that offset of an input; None if none
        has.
        """
        return await self._log.entry_with(index, offset)


Watch = Callable[[PartitionTask, Any], Callable[[Sequence[Any]], None] | None]
Redefine = Callable[[Derivation, PartitionTask, Entry], Awaitable[PartitionTask]]
"""The state under an older definition, and the first entry of the next one → the state that the
next one went on from."""


async def carried_over(derivation: Derivation, old: PartitionTask, entry: Entry) -> PartitionTask:
    """Do again what `riverrun redefine` has written into the journal."""
    if entry.redefined is None:
        raise Unprovable(
            f"entry {entry.seq} is of definition {entry.definition}, and the one before of "
            f"{old.definition}; the journal does not say how it was begun."
        )
    try:
        task: PartitionTask = await redefined(derivation, old, entry)
        return task
    except Diverged:
        raise
    except Incompatible as error:
        raise Unprovable(str(error)) from error


class _Watched:
    """A task that lets somebody look before and after each record (recovery.Task)."""

    def __init__(self, task: PartitionTask, watch: Watch) -> None:
        self._task = task
        self._watch = watch

    @property
    def seq(self) -> int:
        return self._task.seq

    @property
    def begun(self) -> int:
        return self._task.begun

    @property
    def step(self) -> int:
        return self._task.step

    @property
    def next(self) -> list[int]:
        return self._task.next

    def read(self, input: int, record: Any) -> Any:
        return self._task.read(input, record)

    def apply(self, taken: Any) -> Sequence[Any]:
        after = self._watch(self._task, taken)
        outputs = self._task.apply(taken)
        if after is not None:
            after(outputs)
        return outputs

    def set_aside(self, index: int, record: Any, skip: Skip) -> Sequence[Any]:
        return self._task.set_aside(index, record, skip)

    def seal(self) -> bytes | None:
        return self._task.seal()

    def skip(self) -> None:
        self._task.skip()

    def note_restored(self, restored: Collection[str]) -> None:
        self._task.note_restored(restored)

    @property
    def marks(self) -> Sequence[int]:
        return self._task.marks

    @property
    def wanted(self) -> dict[InputOffset, Skip]:
        return self._task.wanted
