"""A partition's state derived again from its log, under the definitions that it ran under then.

    state, outputs = fold(apply, inputs in the journal's order)

The journal names a definition by its hash; its source is taken from the `definitions` topic and
not from the file at hand, which may have changed. What is not to be had any more (the source, a
part of the log, this River) ends in `Unprovable`: that says nothing about the predictions.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from models.task import PartitionTask
from schemas.errors import Incompatible, Misdeclared, RiverrunError
from schemas.records import Definition
from schemas.topics import INPUTS
from streams.loading import Loaded, definition_of, load, lock, runtime, versions
from streams.log import KafkaLog
from streams.recovery import Diverged, Entry, Log, fold
from streams.settings import Settings
from streams.tapes import Tapes

FLOATS_FROM = ("numpy", "scipy", "river", "orjson", "pydantic", "pydantic-core")
"""Distributions whose version may change a float, or how one is written."""


class Unprovable(RiverrunError):
    """What is needed to derive it again is not to be had; it may well be right."""


class Starts(Protocol):
    """Kept states to start near (an archive)."""

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """The newest kept state of that task's partition and definition with at most `seq` closed
        entries; `fresh` itself where there is none.
        """


class Definitions:
    """Every definition that ever ran, from its topic. Loads each at most once, in this process."""

    def __init__(
        self, records: Mapping[str, Definition], unread: Collection[str] = frozenset()
    ) -> None:
        self.records = dict(records)
        self._unread = unread
        self._loaded: dict[str, Loaded] = {}
        self._differences: dict[str, list[str]] = {}

    @classmethod
    async def read(cls, topic: str, settings: Settings) -> Definitions:
        """All that the topic holds; of one hash the newest record counts."""
        found: dict[str, Definition] = {}
        unread = set()
        async with Tapes([topic], settings) as tapes:
            for place in tapes.places:
                async for record in tapes.records(place):
                    try:
                        definition = Definition.model_validate_json(record.value or b"")
                        found[definition.definition] = definition
                    except ValidationError:
                        unread.add((record.key or b"").decode(errors="replace"))
        return cls(found, unread)

    def loaded(self, definition: str) -> Loaded:
        """Run its source as it was; raises `Unprovable` if that is not to be had or fails here."""
        found = self._loaded.get(definition)
        if found is None:
            found = self._loaded[definition] = self._load(definition)
        return found

    def _load(self, definition: str) -> Loaded:
        record = self.records.get(definition)
        if record is None and definition in self._unread:
            raise Unprovable(
                f"definition {definition} was published by another version of riverrun, in a form "
                "that this one does not read."
            )
        if record is None:
            raise Unprovable(
                f"definition {definition} is not on the definitions topic: it was never published, "
                "or deleted."
            )
        if definition_of(record.source, record.runtime) != definition:
            raise Unprovable(f"the source on the definitions topic is not that of {definition}.")
        # Not removed: a traceback, and a pickled class, look for the file.
        path = Path(tempfile.mkdtemp(prefix=f"riverrun-{definition}-")) / Path(record.file).name
        path.write_text(record.source, "utf-8")
        try:
            return load(str(path))
        except Misdeclared as error:
            raise Unprovable(
                f"definition {definition} does not run here any more: {error}"
            ) from error

    def differences(self, definition: str) -> list[str]:
        """What differs between the versions that it ran on and those of this process."""
        if definition not in self._differences:
            self._differences[definition] = self._compared(definition)
        return self._differences[definition]

    def _compared(self, definition: str) -> list[str]:
        record = self.records.get(definition)
        if record is None:
            return []
        if record.runtime != runtime():
            return [f"{record.runtime} then, {runtime()} now"]
        was = _pinned(record.lock) | {
            "python": record.python,
            "river": record.river,
            "riverrun": record.riverrun,
        }
        now = _pinned(lock()) | versions()
        names = ("python", "riverrun", *FLOATS_FROM)
        return [
            f"{name} {was.get(name, 'none')} then, {now.get(name, 'none')} now"
            for name in names
            if was.get(name) != now.get(name)
        ]


def _pinned(text: str) -> dict[str, str]:
    pairs = (line.partition("==") for line in text.splitlines())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in pairs}


class Derivation:
    """One partition, derived entry by entry. open → to(...) again and again → close.

    `watch(task, taken)` is called around each record: it gets the task as it was before, and gives
    what is to be called after with the outputs, or None.
    """

    def __init__(
        self,
        settings: Settings,
        names: Mapping[str, str],
        definitions: Definitions,
        *,
        partition: int,
        partitions: int,
        starts: Starts | None = None,
        watch: Watch | None = None,
        redefine: Redefine | None = None,
    ) -> None:
        self.partition = partition
        self.task: PartitionTask | None = None
        self.on_entry: Callable[[int], None] = lambda seq: None
        self._partitions = partitions
        self._definitions = definitions
        self._starts = starts
        self._watch = watch
        self._redefine = redefine or _not_redefined
        self._log = KafkaLog(
            settings.kafka_client(),
            journal=names["journal"],
            inputs=[names[kind] for kind in INPUTS],
            partition=partition,
        )

    async def open(self) -> Entry | None:
        """Connect; returns the journal's newest entry."""
        await self._log.start()
        return await self._log.last()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._log.close()

    async def to(self, until: int, outputs: Callable[[Sequence[Any]], None]) -> None:
        """Go on until `until` entries are closed; `outputs` gets what each record made known.

        Raises `Unprovable`, or `Diverged` where the journal itself is not what a fold gives.
        """
        task = await self._near(until)
        while True:
            self.task = task
            watched = _Watched(task, self._watch) if self._watch is not None else task
            era = _Era(self._log, task.definition)
            try:
                await fold(watched, era, until=until, on_outputs=outputs, on_progress=self.on_entry)
            except Diverged:
                raise
            except Incompatible as error:
                raise Unprovable(str(error)) from error
            if era.next is None:
                return
            task = self._redefine(task, self.fresh(era.next.definition), era.next)

    async def _near(self, until: int) -> PartitionTask:
        """The state to go on from: the one at hand, unless a kept one is nearer."""
        at = self.task
        if at is not None and at.seq >= until:
            at = None  # it cannot go back
        if self._starts is not None:
            newest = (await self.entry(max(until - 1, 0))).definition
            kept = await self._starts.near(self.fresh(newest), until - 1)
            if kept.seq > (0 if at is None else at.seq):
                return kept
        return at or self.fresh((await self.entry(0)).definition)

    def fresh(self, definition: str) -> PartitionTask:
        """A task that has seen nothing."""
        return PartitionTask(
            self._definitions.loaded(definition).use_case,
            partition=self.partition,
            partitions=self._partitions,
            definition=definition,
        )

    async def entry(self, seq: int) -> Entry:
        """One journal entry."""
        async for entry in self._log.entries(seq):
            return entry
        raise Unprovable(f"the journal has no entry {seq}.")

    async def entry_of(self, step: int) -> Entry:
        """The journal entry that holds a step, from where the task is now on."""
        async for entry in self._log.entries(0 if self.task is None else self.task.seq):
            if entry.step >= step:
                return entry
        raise Unprovable(f"the journal does not hold step {step}.")


Watch = Callable[[PartitionTask, Any], Callable[[Sequence[Any]], None] | None]
Redefine = Callable[[PartitionTask, PartitionTask, Entry], PartitionTask]
"""The state under an older definition, a fresh task of the newer, the newer's first entry → the
state that the newer went on from."""


def _not_redefined(old: PartitionTask, new: PartitionTask, entry: Entry) -> PartitionTask:
    raise Unprovable(
        f"entry {entry.seq} was applied under definition {new.definition}, and the state before it "
        f"under {old.definition}; how it was carried over is not known here."
    )


class _Watched:
    """A task that lets somebody look before and after each record (recovery.Task)."""

    def __init__(self, task: PartitionTask, watch: Watch) -> None:
        self._task = task
        self._watch = watch

    @property
    def seq(self) -> int:
        return self._task.seq

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

    def seal(self) -> bytes | None:
        return self._task.seal()


class _Era:
    """A log up to where its definition changes: `next` is the first entry of the next one."""

    def __init__(self, log: Log, definition: str) -> None:
        self.next: Entry | None = None
        self._log = log
        self._definition = definition

    async def last(self) -> Entry | None:
        return await self._log.last()

    async def entries(self, seq: int) -> AsyncIterator[Entry]:
        first = True
        async for entry in self._log.entries(seq):
            if first and entry.seq > seq:
                raise Unprovable(
                    f"the journal is kept from entry {entry.seq} on, and {seq} was needed. Keep "
                    "snapshots in an archive (RIVERRUN_ARCHIVE) to prove what retention deletes."
                )
            first = False
            if entry.definition != self._definition:
                self.next = entry
                return
            yield entry

    async def run(self, input: int, first: int, count: int) -> Sequence[Any]:
        return await self._log.run(input, first, count)
