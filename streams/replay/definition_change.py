"""A new definition under a running state: refused, explained, and done as a deliberate act.

The act is one journal entry in each partition, without runs, that names the new definition, how the
state is carried over (`models.replay.state_migration`), by whom and why. So every fold comes to it
at the same place and does the same, and what was said before is verified under the definition of
then.
"""

from __future__ import annotations

import difflib
import logging
import pickle
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from models.replay.state_migration import Task, carry, carry_learner, carry_position, is_shared
from models.spec.use_case import UseCase
from models.task.learner_task import LearnerTask
from models.task.partition_task import PartitionTask
from schemas.errors import Incompatible
from schemas.records.definitions import Definition
from streams.config.settings import Settings
from streams.config.use_case_loader import LoadedUseCase, namespace_of, runtime, standing_in
from streams.replay.definition_history import DefinitionHistory, Unprovable
from streams.replay.definition_span import DefinitionSpan
from streams.replay.journal_fold import Entry, Log, fold
from streams.snapshots.fresh_task import fresh_task

log = logging.getLogger("riverrun.redefining")

DIFF_LINES = 60


class Past(Protocol):
    """What a change of definition is derived with (deriving.Derivation)."""

    def fresh(self, definition: str) -> Any:
        """Return a task of any definition that ever ran."""

    async def warm(self, task: Any, until: int) -> None:
        """Fold the first `until` entries into it, whatever they were applied under."""


async def redefined(past: Past, old: Any, entry: Entry) -> Any:
    """Return the state of a partition, or the learner, after an entry that begins a definition.

    `old` is of no use after.
    """
    assert entry.redefined is not None
    new, how = past.fresh(entry.definition), entry.redefined["how"]
    if isinstance(old, LearnerTask):
        assert isinstance(new, LearnerTask)
        carry_learner(old, new, clean=how == "clean")
        _adopt(old.use_case, new)
    else:
        await _carried(past, old, new, entry)
    new.lifecycle_log.announced.add("beginning")  # the act itself tells of it
    new.skip()
    return new


async def _carried(past: Past, old: PartitionTask, new: Any, entry: Entry) -> None:
    assert entry.redefined is not None
    how = entry.redefined["how"]
    if how == "clean":
        carry_position(old, new)
        return
    if how == "warm":
        refuse_warm(new)
        warmed = past.fresh(entry.definition)
        await past.warm(warmed, entry.seq)
        carry(old, new, warmed)
        return
    carry(old, new)
    _adopt(old.use_case, new)


def refuse_warm(new: Task) -> None:
    """Raise `Incompatible` if the models of a task are shared: nothing can warm them."""
    if is_shared(new):
        raise Incompatible(
            "models that all partitions share cannot be warmed: the learner has the examples, and "
            "not the events that other features are made of. Use --how keep, or clean and backfill"
        )


def _adopt(before: UseCase, task: Task) -> None:
    # Classes and functions of the author's own, in kept models, become those of the new file. Of
    # shared models a partition has copies, which are read again.
    module, after = task.use_case.event.__module__, task.use_case
    old, new = (
        namespace_of(module, [*case.models.values(), case.label]) for case in (before, after)
    )
    own = list(task.router.slots()) if _trains(task) else list(task.router.own)
    for slot in own:
        with standing_in(module, old):
            data = pickle.dumps(slot.model)
        with standing_in(module, new):
            slot.model = pickle.loads(data)


def _trains(task: Task) -> bool:
    return isinstance(task, LearnerTask) or task.shared is None


class Eras:
    """Recovery through changes of definition, as a worker does it (wiring.Wiring.roll)."""

    def __init__(
        self, loaded: LoadedUseCase, settings: Settings, names: Mapping[str, str], partitions: int
    ) -> None:
        self.loaded = loaded
        self.settings = settings
        self.names = names
        self.partitions = partitions

    async def roll(
        self, task: PartitionTask, log: Log, on_progress: Callable[[PartitionTask], None]
    ) -> PartitionTask:
        """Return the task at the journal's end. Raise `Incompatible` if that is of another
        definition.
        """
        last = await log.last()
        if last is None:
            return task
        past = self.past(log, task.partition)
        if last.definition != self.loaded.definition:
            await past.read()
            raise Incompatible(explained(self.loaded, last, past.definitions))
        return await past.roll(task, on_progress)

    def past(self, log: Log, partition: int) -> LogsPast:
        """Return the past of one partition."""
        return LogsPast(self, log, partition)


class LogsPast:
    """A partition's past, with definitions from their topic and records from a log.

    `exact`: what ran on another runtime is refused, else warned of.
    """

    def __init__(self, eras: Eras, log: Log, partition: int) -> None:
        self.exact = True
        self.definitions = DefinitionHistory({})
        self._eras = eras
        self._log = log
        self._partition = partition

    async def read(self) -> None:
        """Read the definitions, once."""
        eras = self._eras
        if not self.definitions.records:
            self.definitions = await DefinitionHistory.read(
                eras.names["definitions"], eras.settings
            )

    async def roll(
        self, task: PartitionTask, on_progress: Callable[[PartitionTask], None]
    ) -> PartitionTask:
        """Roll a task forward to the log's end, through every change of definition. What
        `on_progress` was told of last may be rolled on, if this one is broken off.
        """
        try:
            async for first in self._log.entries(task.seq):
                if not task.step and first.definition != task.definition:
                    await self.read()
                    task = self.fresh(first.definition)
                break
            while True:
                era = DefinitionSpan(self._log, task.definition)
                await self._folded(task, era, on_progress)
                if era.next is None:
                    return task
                if era.next.redefined is None:
                    raise Incompatible(
                        f"entry {era.next.seq} is of definition {era.next.definition}, and the one "
                        f"before of {task.definition}; the journal does not say how it was begun"
                    )
                await self.read()
                task = await redefined(self, task, era.next)
                on_progress(task)
        except Unprovable as error:
            raise Incompatible(str(error)) from error

    async def _folded(
        self, task: PartitionTask, era: DefinitionSpan, on_progress: Callable[[PartitionTask], None]
    ) -> None:
        began, checked = task.seq, False

        def progressed(seq: int) -> None:
            nonlocal checked
            if not checked:
                self._check_runtime(task.definition, began)
            checked = True
            on_progress(task)

        await fold(task, era, on_progress=progressed)

    def _check_runtime(self, definition: str, first: int) -> None:
        # Its source is at hand, the River or the riverrun that ran it is not.
        record = self.definitions.records.get(definition)
        if record is None or record.runtime == runtime():
            return
        message = (
            f"entries from {first} on, of definition {definition}, ran on {record.runtime}, not "
            f"{runtime()}"
        )
        if self.exact:
            raise Incompatible(
                f"{message}: folded here they may give other numbers. Restore a snapshot of after "
                "them (Redis, RIVERRUN_ARCHIVE)"
            )
        log.warning("%s; the state may differ in what they taught", message)

    def fresh(self, definition: str) -> PartitionTask:
        """Return a task of any definition that ever ran."""
        task: PartitionTask = fresh_task(
            self.loaded(definition).use_case,
            self._partition,
            partitions=self._eras.partitions,
            definition=definition,
            key=self._eras.settings.snapshot_key,
        )
        return task

    def loaded(self, definition: str) -> LoadedUseCase:
        """Load any definition that ever ran; the module that is in place stays in place."""
        current = self._eras.loaded
        if definition == current.definition:
            return current
        module = current.use_case.event.__module__
        with standing_in(module, vars(sys.modules[module])):
            return self.definitions.loaded(definition)

    async def warm(self, task: PartitionTask, until: int) -> None:
        """Fold the first `until` entries into it, whatever they were applied under."""
        await fold(task, self._log, until=until)


def explained(loaded: LoadedUseCase, last: Entry, definitions: DefinitionHistory) -> str:
    """Say why a file is not run on a state of another definition, what changed, and the ways on."""
    name = loaded.use_case.name
    command = f"riverrun redefine {shlex.quote(loaded.argument)} --why '…' --how"
    return (
        f"{name} runs under definition {last.definition}, and this file is {loaded.definition}. "
        "Nothing was applied.\n\n"
        f"{changes(loaded, last.definition, definitions)}\n\n"
        "A new definition is a deliberate act, and is written into the journal. Stop all workers, "
        "then one of\n"
        f"    {command} keep    windows, waiting predictions and unchanged models stay; what is "
        "new begins beside them\n"
        f"    {command} warm    as keep, but windows and models as if the new definition had seen "
        "the whole log\n"
        f"    {command} clean   nothing stays but the position\n"
        "or go back to the file as it was."
    )


def changes(loaded: LoadedUseCase, before: str, definitions: DefinitionHistory) -> str:
    """Return what differs between the running definition and a file, as a diff or in words."""
    record = definitions.records.get(before)
    if record is None:
        return f"The source of {before} is not on the definitions topic."
    lines: list[Any] = []
    if record.runtime != runtime():
        lines.append(f"It ran on {record.runtime}; here is {runtime()}.")
    lines += _changed_files(record, loaded)
    diff = list(
        difflib.unified_diff(
            record.source.splitlines(),
            loaded.source.splitlines(),
            f"{record.file} ({before})",
            f"{loaded.path.name} ({loaded.definition})",
            lineterm="",
            n=1,
        )
    )
    if len(diff) > DIFF_LINES:
        diff[DIFF_LINES:] = [f"… and {len(diff) - DIFF_LINES} lines more"]
    return "\n".join([*lines, *(diff or [f"{loaded.path.name} itself is the same."])])


def _changed_files(record: Definition, loaded: LoadedUseCase) -> list[str]:
    then = {file.name: file.sha256 for file in record.files}
    now = {file.name: file.sha256 for file in loaded.files}
    return [
        f"{name}, which it reads, is another: SHA-256 {then.get(name, 'none')[:12]} then, "
        f"{now.get(name, 'none')[:12]} now."
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]
