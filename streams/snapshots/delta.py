"""The parts of a task that a snapshot holds: written, and restored.

Each part of `models.task.checkpoint` is one pickle. A slot that did not change since the base is
carried over. Ids go as a delta: {id: entry, or None where it was forgotten}; once the deltas
outweigh what is alive, all ids are rewritten.
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from models.serving.model_slot import ModelSlot
from models.task.checkpoint import parts_of, take_parts
from models.task.partition_task import PartitionTask
from streams.config.use_case_loader import versions
from streams.snapshots.signed_format import (
    FORM,
    Blob,
    Header,
    Origin,
    Reader,
    SnapshotPart,
    UnusableSnapshot,
    Writer,
    opened,
    sign,
)
from streams.unpickling.safe_unpickler import Allowed, RefusedPickle, unpickle

IDS_AT_ONCE = 20_000
"""Ids of one part: a few megabytes."""

ENTRY_BYTES = 500
"""Of one id's entry, while none is known."""

DELTAS_MAX = 200
PROTOCOL = 5


class Base(NamedTuple):
    """The snapshot that a new one builds on, and the ids that changed since."""

    header: Header
    changed: frozenset[str]


def write(
    task: PartitionTask,
    file: BinaryIO,
    base: Base | None,
    key: bytes,
    now_s: float,
    origin: Origin,
) -> None:
    """Write what changed since `base`, or everything; the task's slots are marked as kept."""
    writer = Writer(file)
    parts: dict[str, SnapshotPart] = {}
    for name, part in parts_of(task).items():
        known = base.header.parts.get(name) if base is not None else None
        if isinstance(part, ModelSlot):
            if known is not None and not part.changed:
                parts[name] = known
                continue
            part.changed = False
        parts[name] = _dump(writer, name, part)
    ids = [] if base is None or _outgrown(task, base) else list(base.header.ids)
    if base is not None:
        parts.update((name, base.header.parts[name]) for name, _ in ids)
    entries = task.ledger.entries
    due: Collection[str] = entries if not ids or base is None else base.changed
    for number, some in enumerate(_chunks(due)):
        name = f"ids/{task.seq}/{number}"
        parts[name] = _dump(writer, name, {event_id: entries.get(event_id) for event_id in some})
        ids.append((name, len(some)))
    header = Header(
        form=FORM,
        origin=origin,
        entry=task.sealed,
        use_case=task.use_case.name,
        partition=task.partition,
        partitions=task.partitions,
        definition=task.definition,
        seq=task.seq,
        step=task.step,
        written_s=now_s,
        parts=parts,
        ids=tuple(ids),
        **versions(),
    )
    writer.finish(sign(header, key))


def expected_bytes(task: PartitionTask, base: Base) -> int:
    """Return the approximate bytes that `write` will write over that base, as if all slots had
    changed.
    """
    sizes, ids = base.header.parts, dict(base.header.ids)
    of_ids = sum(sizes[name].size for name in ids)
    mean = of_ids / sum(ids.values()) if ids else ENTRY_BYTES
    due = task.ledger.entries if not ids or _outgrown(task, base) else base.changed
    return base.header.size - of_ids + int(mean * len(due))


def _outgrown(task: PartitionTask, base: Base) -> bool:
    deltas = base.header.ids
    written = sum(count for _, count in deltas) + len(base.changed)
    return len(deltas) >= DELTAS_MAX or written > 2 * len(task.ledger.entries) + IDS_AT_ONCE


def _dump(writer: Writer, name: str, part: Any) -> SnapshotPart:
    writer.begin(name)
    if isinstance(part, ModelSlot) and (state := part.pickled()) is not None:
        writer.write(state)
        return writer.end()
    try:
        pickle.Pickler(writer, PROTOCOL).dump(part)
    except RecursionError:
        # From Python 3.12 on C code has a limit of its own, whatever the stack; this is slow.
        writer.begin(name, again=True)
        pickle._Pickler(writer, PROTOCOL).dump(part)
    return writer.end()


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while some := list(islice(rest, IDS_AT_ONCE)):
        yield some


def prove(file: BinaryIO, key: bytes, allowed: Allowed) -> None:
    """Load what was just written, so that a state that cannot be loaded is noticed now and not at
    the next recovery. Raises `RefusedPickle`.
    """
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = Reader(bytes(data))
        header = opened(reader.signed, key)
        for name in reader.places:
            unpickle([reader.blob(header, name)], allowed)


def check_fits(header: Header, task: PartitionTask, origin: Origin) -> None:
    """Raise `UnusableSnapshot` if it is another's: environment, use case, partition, definition,
    Python or River.
    """
    own_versions = versions()
    pairs = {
        "group": (header.origin.group, origin.group),
        "Kafka cluster": (header.origin.cluster, origin.cluster),
        "journal": (header.origin.journal, origin.journal),
        "use case": (header.use_case, task.use_case.name),
        "partition": (header.partition, task.partition),
        "number of partitions": (header.partitions, task.partitions),
        "definition": (header.definition, task.definition),
        "River": (header.river, own_versions["river"]),
        "Python": (_minor(header.python), _minor(own_versions["python"])),
    }
    wrong = [f"{name} is {was}, not {now}" for name, (was, now) in pairs.items() if was != now]
    if wrong:
        raise UnusableSnapshot(f"its {', its '.join(wrong)}")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def restore(
    header: Header, blob: Callable[[str], Blob], task: PartitionTask, allowed: Allowed
) -> None:
    """Put it into a fresh task. `blob` gives a part by its name, checked.

    Raises `UnusableSnapshot`; the task is then of no use.
    """
    try:
        ids: dict[str, Any] = {}
        for name, _ in header.ids:
            _merge(ids, unpickle(blob(name), allowed))
        of_ids = {name for name, _ in header.ids}
        parts = {name: unpickle(blob(name), allowed) for name in header.parts if name not in of_ids}
        take_parts(task, parts, ids)
    except RefusedPickle as error:
        raise UnusableSnapshot(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UnusableSnapshot(
            f"its parts do not fit this riverrun: {type(error).__name__}: {error}"
        ) from error
    if (task.seq, task.step, task.sealed) != (header.seq, header.step, header.entry):
        raise UnusableSnapshot(f"it says entry {header.seq} and holds {task.seq}")
    for slot in task.router.slots():
        slot.changed = False


def _merge(ids: dict[str, Any], delta: dict[str, Any]) -> None:
    for event_id, entry in delta.items():
        if entry is None:
            ids.pop(event_id, None)
        else:
            ids[event_id] = entry
