"""State as a fold of the log: the same code resumes a partition, verifies it and is simulated.

    state = fold(apply, inputs in the journal's order)

A journal entry says which runs of which input were applied, in which order. To fold is to read
those runs again, apply them without publishing, close each entry as it was closed then, and
compare. Nothing here knows Kafka: journal and inputs are given as readers (`Log`), so that an
in-memory log serves as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from models.inputs.journal import digest_of
from models.inputs.skipped_records import InputOffset, Skip
from schemas.errors import Incompatible

BREATH_S = 0.01  # longest time without a turn of the event loop, apart from a single record's


class Entry(NamedTuple):
    """One journal record: the numbers of one committed batch."""

    seq: int
    step: int
    runs: list[tuple[int, int, int, int]]
    next: list[int]
    definition: str
    redefined: dict[str, Any] | None = None  # schemas.records.Redefined; it has no runs then
    restored: list[str] | None = None  # commands that put a model back as it was
    skipped: list[dict[str, Any]] | None = (
        None  # records that were set aside: models.inputs.skipped_records.Skip
    )
    marks: Sequence[
        int
    ] = ()  # of the record before `next` of each input (models/inputs/journal.py)
    partitions: int | None = None  # how many the topics had then
    clock_s: float | None = None  # of the task, where learning is shared: how far it has come
    inputs: Sequence[Sequence[Any]] | None = None  # of a relay: (topic, partition) of each input
    updates: int | None = None  # of the learner: records of `models` up to and with this entry
    digest: str = ""  # of its value (models/inputs/journal.py)

    def record(self) -> dict[str, Any]:
        """Return what the journal holds of it."""
        fields = self._asdict()
        del fields["digest"]  # of the record itself
        return fields

    @classmethod
    def decode(cls, value: bytes) -> Entry:
        """Read a journal record's value."""
        raw = orjson.loads(value)
        runs = [(run[0], run[1], run[2], run[3]) for run in raw["runs"]]
        return cls(
            raw["seq"],
            raw["step"],
            runs,
            raw["next"],
            raw["definition"],
            raw.get("redefined"),
            raw.get("restored"),
            raw.get("skipped"),
            raw.get("marks", ()),
            raw.get("partitions"),
            raw.get("clock_s"),
            raw.get("inputs"),
            raw.get("updates"),
            digest_of(value),
        )


class Reached(NamedTuple):
    """The progress of a task as of an entry, without its runs, of which there may be thousands."""

    seq: int
    clock_s: float | None
    next: list[int]
    updates: int | None

    @classmethod
    def decode(cls, value: bytes | None) -> Reached:
        """Read both ends of a journal record's value. Raises `ValueError` for what is none."""
        value = value or b""
        begin, at = value.find(b","), value.rfind(b'"next":')
        if begin < 0 or at < begin:
            raise ValueError("it is no journal entry")
        raw = orjson.loads(value[:begin] + b"," + value[at:])
        if not isinstance(raw.get("seq"), int) or not isinstance(raw.get("next"), list):
            raise ValueError("it is no journal entry")
        return cls(raw["seq"], raw.get("clock_s"), raw["next"], raw.get("updates"))


class Task(Protocol):
    """What recovery needs of a partition task (models/task/partition_task.py)."""

    @property
    def seq(self) -> int: ...  # noqa: D102 - models/task/partition_task.py says it
    @property
    def begun(self) -> int: ...  # noqa: D102
    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def next(self) -> list[int]: ...  # noqa: D102
    def read(self, input: int, record: Any) -> Any: ...  # noqa: D102 - models/task/partition_task.py says it
    def apply(self, taken: Any) -> Sequence[Any]: ...  # noqa: D102
    def set_aside(self, index: int, record: Any, skip: Skip) -> Sequence[Any]: ...  # noqa: D102
    def seal(self) -> bytes | None: ...  # noqa: D102
    def skip(self) -> None: ...  # noqa: D102
    def note_restored(self, restored: Collection[str]) -> None: ...  # noqa: D102
    @property
    def marks(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def wanted(self) -> dict[InputOffset, Skip]: ...  # noqa: D102


class Log(Protocol):
    """One partition's journal and inputs, as committed."""

    async def last(self) -> Entry | None:
        """Return the newest journal entry; None if there never was one."""

    def entries(self, seq: int) -> AsyncIterator[Entry]:
        """Yield journal entries from that number on, to the end that the journal has now."""

    async def run(self, input: int, first: int, count: int) -> Sequence[Any]:
        """Yield `count` visible records of an input from offset `first` on."""


class Diverged(Incompatible):
    """Folding gave something else than the journal holds: the definition or the inputs differ."""


async def fold(
    task: Task,
    log: Log,
    *,
    until: int | None = None,
    on_outputs: Callable[[Sequence[Any]], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Bring a task from its own seq to the journal's end, or to `until` entries.

    Raises `Diverged` as soon as an entry is closed differently than it was. The task is then
    useless. Takes its time in slices of `BREATH_S`. Broken off at any of its awaits, it can be
    called again with the same task: what the open entry holds is not applied twice.
    """
    clock = asyncio.get_running_loop().time
    breath = clock() + BREATH_S
    async for entry in log.entries(task.seq):
        if until is not None and entry.seq >= until:
            break
        if entry.seq != task.seq:
            raise Diverged(
                f"the journal goes on with entry {entry.seq} where {task.seq} was expected: a part "
                "of it is gone. Start from a newer snapshot or from an archive."
            )
        task.note_restored(entry.restored or ())
        skips = {skip.input_offset: skip for skip in (Skip(**one) for one in entry.skipped or ())}
        begun = task.begun
        for input, first, count, _ in entry.runs:
            if begun >= count:
                begun -= count
                continue
            records = await log.run(input, first, count)
            for record in records[begun:]:
                outputs = _applied(task, entry, input, record, skips)
                if on_outputs is not None:
                    on_outputs(outputs)
                if clock() > breath:
                    await asyncio.sleep(0)
                    breath = clock() + BREATH_S
            begun = 0
        if entry.runs:
            _compare(task, entry)
        else:
            task.skip()
        if on_progress is not None:
            on_progress(entry.seq)


def _applied(
    task: Task, entry: Entry, input: int, record: Any, skips: Mapping[InputOffset, Skip]
) -> Sequence[Any]:
    try:
        if skips and (skip := skips.get((input, record.offset))) is not None:
            return task.set_aside(input, record, skip)
        return task.apply(task.read(input, record))
    except Exception as error:
        raise Diverged(
            f"{record.topic}[{record.partition}] offset {record.offset} was applied in journal "
            f"entry {entry.seq}, and fails when it is folded again ({type(error).__name__})"
        ) from error


async def rolled(task: Task, log: Log, on_progress: Callable[[Any], None]) -> Any:
    """Return the task at the journal's end, where one definition made all of it."""
    await fold(task, log, on_progress=lambda _: on_progress(task))
    return task


def _compare(task: Task, entry: Entry) -> None:
    sealed = task.seal()
    again = None if sealed is None else Entry.decode(sealed)
    if again is not None and again[:4] == entry[:4] and again.marks != entry.marks:
        raise Diverged(
            f"journal entry {entry.seq} was made of other records than the inputs hold now: a "
            "topic was created again, or restored with something else"
        )
    if again is None or again[:4] != entry[:4]:
        raise Diverged(f"journal entry {entry.seq} was {entry}, and is {again} when folded again")
    # Under another definition ("warm") the models of then are not put back.
    if again.definition == entry.definition and again.restored != entry.restored:
        raise Incompatible(
            f"journal entry {entry.seq} put models back as they were ({entry.restored}), and here "
            f"{again.restored} can be: the state that the command brought is not signed with this "
            "RIVERRUN_SNAPSHOT_KEY, or is not read by this version. Set the key that its workers "
            "had, or start from a snapshot of after it"
        )


def check_position(task: Task, last: Entry | None) -> None:
    """Hold a task against the journal's end: the same seq, step and next, or `Diverged`."""
    if last is None:
        expected = (0, 0)
        position = (task.seq, task.step)
        if position == expected:
            return
    elif (task.seq, task.step, list(task.next)) == (last.seq + 1, last.step, last.next):
        return
    raise Diverged(
        f"state is at entry {task.seq}, step {task.step}, next {task.next}; the journal ends "
        f"with {last}"
    )
