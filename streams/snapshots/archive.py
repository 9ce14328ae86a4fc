"""Snapshots as files, at any fsspec URL: `RIVERRUN_ARCHIVE`.

    <url>/<group>/<partition>/<entry>-<unix seconds>-<definition>.snapshot

Each is complete and signed, and is known by its signed header alone: a file whose name contradicts
its header, or that has none, is ignored and reported. Archived snapshots start recovery where Redis
was lost, start verification near the position asked for, and reach back past the topics' retention.
Kept: all of the last `ALL_S`, then the newest of each day for `DAILY_S`, and in any case the newest
`LEAST` and, once there was another, the first of each definition: what ran before it may be beyond
proof here, and what came after starts there. A file has its name once all of it is written; one
that was cut off is found out, and passed over.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, MutableSequence
from typing import Any, NamedTuple

import fsspec

from models.task.partition_task import PartitionTask
from schemas.errors import ConfigError
from streams.snapshots.background_io import awaited
from streams.snapshots.delta import check_fits, restore
from streams.snapshots.signed_format import (
    Header,
    Origin,
    Reader,
    UnusableSnapshot,
    checked,
    opened,
    signed_in,
)
from streams.unpickling.safe_unpickler import Allowed

ALL_S = 24 * 3_600.0
DAILY_S = 90 * 86_400.0
LEAST = 3
END_BYTES = 64 << 10
"""The bytes read from each file's end at first: nearly always the whole header."""
AGAIN_S = 60.0
"""The time after a failure at which the archive is tried again."""

_CHUNK = 8 << 20
_PARTIAL = ".partial"
_NAME = re.compile(r"(\d{20})-(\d+)-([0-9a-zA-Z_]+)\.snapshot$")


class ArchivedSnapshot(NamedTuple):
    """One archived snapshot, as its signed header says."""

    seq: int
    written_s: float
    definition: str
    partition: int
    path: str


ArchivedSnapshots = list[ArchivedSnapshot]


class Archive:
    """The archived snapshots of one group. What file systems raise is passed on.

    `due` and `done` are the loop's, all else blocks.
    """

    def __init__(
        self,
        url: str,
        group: str,
        key: bytes,
        interval_s: float,
        origin: Callable[[], Origin] | None = None,
    ) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"RIVERRUN_ARCHIVE cannot be opened: {error}.",
                hint="Give an fsspec URL, and install the package that it needs.",
            ) from error
        self._root = f"{root.rstrip('/')}/{group}"
        self._key = key
        self._interval_s = interval_s
        self._origin = origin or (lambda: Origin(group))
        self._written_s: dict[int, float] = {}
        self._known: dict[tuple[str, int], Header | str] = {}

    # When.

    def due(self, partition: int) -> bool:
        """Return True if the next snapshot is to be archived."""
        return time.time() >= self._written_s.get(partition, 0.0) + self._interval_s

    def done(self, partition: int) -> float:
        """Note that it was written; return the time, in seconds since 1970."""
        self._written_s[partition] = time.time()
        return self._written_s[partition]

    def failed(self, partition: int) -> None:
        """Note that it was not written: again in `AGAIN_S`."""
        self._written_s[partition] = time.time() - self._interval_s + min(AGAIN_S, self._interval_s)

    def tried(self, header: Header, data: Any) -> tuple[bool, str | None]:
        """Store one; return whether it is stored, and why it is not. A failure here affects nothing
        else.
        """
        try:
            self.put(header, data)
        except Exception as failure:  # whatever a file system raises
            return False, f"{type(failure).__name__}: {failure}"
        return True, None

    # What there is.

    def list(self) -> ArchivedSnapshots:
        """Return all snapshots of the group, by partition, the newest entry first."""
        if not self._files.exists(self._root):
            return []
        numbers = sorted(
            int(name)
            for path in self._files.ls(self._root, detail=False)
            if (name := path.rstrip("/").rpartition("/")[2]).isdigit()
        )
        return [snapshot for number in numbers for snapshot in self.of(number)]

    def of(self, partition: int, problems: MutableSequence[str] | None = None) -> ArchivedSnapshots:
        """Return a partition's snapshots, newest entry first; files that were ignored are added to
        `problems`.
        """
        folder = f"{self._root}/{partition}"
        self._files.invalidate_cache(folder)
        if not self._files.exists(folder):
            return []
        files = {
            file["name"]: int(file["size"] or 0)
            for file in self._files.ls(folder, detail=True)
            if _NAME.search(file["name"])
        }
        snapshots, left = [], []
        for path, header in self._headers(files).items():
            snapshot = None if isinstance(header, str) else _snapshot_of(header, path)
            if snapshot is not None and snapshot.partition == partition:
                snapshots.append(snapshot)
            else:
                why = header if isinstance(header, str) else "its name is not what its header says"
                left.append(f"{path} ({why})")
        if left and problems is not None:
            files_are = "1 file is" if len(left) == 1 else f"{len(left):,} files are"
            problems.append(f"{files_are} passed over in the archive, the first {left[0]}")
        snapshots.sort(reverse=True)
        if snapshots:
            newest = max(snapshot.written_s for snapshot in snapshots)
            self._written_s[partition] = max(self._written_s.get(partition, 0.0), newest)
        return snapshots

    def _headers(self, files: Mapping[str, int]) -> dict[str, Header | str]:
        """Return each file's signed header, or why it has none; read once, from its end."""
        due = {path: END_BYTES for path, size in files.items() if (path, size) not in self._known}
        while due:
            starts = [max(0, files[path] - length) for path, length in due.items()]
            ends = self._files.cat_ranges(
                list(due), starts, [files[path] for path in due], on_error="return"
            )
            short: dict[str, int] = {}
            for path, end in zip(due, ends, strict=True):
                header = self._header(end, files[path])
                if isinstance(header, int):
                    short[path] = header
                else:
                    self._known[path, files[path]] = header
            due = short
        return {path: self._known[path, size] for path, size in files.items()}

    def _header(self, end: Any, size: int) -> Header | str | int:
        if isinstance(end, Exception):
            return f"it cannot be read: {end}"
        try:
            signed = signed_in(end, size)
            header = signed if isinstance(signed, int) else opened(signed, self._key)
            if isinstance(header, Header) and header.origin != self._origin():
                return "it is of another environment: group, Kafka cluster or journal differ"
        except UnusableSnapshot as error:
            return str(error)
        return header

    def newest(
        self, partition: int, not_after_seq: int | None = None, definition: str | None = None
    ) -> ArchivedSnapshot | None:
        """Return the newest snapshot of at most `seq` closed entries; None if there is none."""
        for snapshot in self.of(partition):
            if not_after_seq is not None and snapshot.seq > not_after_seq:
                continue
            if definition is None or snapshot.definition == definition:
                return snapshot
        return None

    # In and out.

    def put(self, header: Header, data: Any) -> str:
        """Write one, and drop what is not kept any longer; gives its path."""
        folder = f"{self._root}/{header.partition}"
        name = _name(header)
        self._files.makedirs(folder, exist_ok=True)
        try:
            with (
                memoryview(data) as view,
                self._files.open(f"{folder}/{name}{_PARTIAL}", "wb") as f,
            ):
                for start in range(0, len(view), _CHUNK):
                    with view[start : start + _CHUNK] as chunk:
                        f.write(chunk)
            self._files.mv(f"{folder}/{name}{_PARTIAL}", f"{folder}/{name}")
        finally:
            self._drop_partial(folder)
        for snapshot in outlived(self.of(header.partition), time.time()):
            self._files.rm_file(snapshot.path)
        return f"{folder}/{name}"

    def _drop_partial(self, folder: str) -> None:
        # Of this one if it failed, and of what was killed before.
        with contextlib.suppress(Exception):  # whatever a file system raises
            for path in self._files.ls(folder, detail=False):
                if path.endswith(_PARTIAL):
                    self._files.rm_file(path)

    def header(self, snapshot: ArchivedSnapshot) -> Header:
        """Return the header of a kept snapshot; raise `UnusableSnapshot`."""
        with tempfile.NamedTemporaryFile() as file:
            self._files.get_file(snapshot.path, file.name)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return opened(Reader(bytes(data)).signed, self._key)

    def restore(self, snapshot: ArchivedSnapshot, task: PartitionTask, allowed: Allowed) -> None:
        """Put one into a fresh task; raises `UnusableSnapshot`, and the task is then of no use."""
        with tempfile.NamedTemporaryFile() as file:
            self._files.get_file(snapshot.path, file.name)
            data = file.read()
        reader = Reader(data)
        header = opened(reader.signed, self._key)
        check_fits(header, task, self._origin())
        restore(
            header, lambda name: checked(header, name, [reader.blob(header, name)]), task, allowed
        )

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """Return the newest usable one of at most `seq` entries; else `fresh` itself."""
        return await awaited(lambda: self._near(fresh, seq))

    def _near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        use_case = fresh.use_case
        allowed = Allowed(use_case.models.values(), use_case.event.__module__)
        for snapshot in self.of(fresh.partition):
            if snapshot.seq > seq or snapshot.definition != fresh.definition:
                continue
            task = fresh.fresh()
            try:
                self.restore(snapshot, task, allowed)
            except UnusableSnapshot:
                continue
            task.ledger.changed = None
            return task
        return fresh


def _name(header: Header) -> str:
    return f"{header.seq:020d}-{int(header.written_s)}-{header.definition}.snapshot"


def _snapshot_of(header: Header, path: str) -> ArchivedSnapshot | None:
    """Return what a file is, if its name says the same as its header."""
    if path.rpartition("/")[2] != _name(header):
        return None
    written_s = float(int(header.written_s))
    return ArchivedSnapshot(header.seq, written_s, header.definition, header.partition, path)


def outlived(snapshots: Iterable[ArchivedSnapshot], now_s: float) -> list[ArchivedSnapshot]:
    """Return the snapshots of one partition that are no longer retained."""
    newest_first = sorted(snapshots, reverse=True)
    begun = {snapshot.definition: snapshot.path for snapshot in newest_first}  # the oldest of each
    days: set[int] = set()
    outlived_snapshots = []
    for index, snapshot in enumerate(newest_first):
        age_s, day = now_s - snapshot.written_s, int(snapshot.written_s // 86_400)
        if begun[snapshot.definition] == snapshot.path and len(begun) > 1:
            continue
        if index >= LEAST and age_s > ALL_S and (age_s > DAILY_S or day in days):
            outlived_snapshots.append(snapshot)
        else:
            days.add(day)
    return outlived_snapshots


def archive_of(
    url: str | None,
    group: str,
    key: bytes,
    interval_s: float,
    origin: Callable[[], Origin] | None = None,
) -> Archive | None:
    """Return the archive that is set, or None."""
    return None if url is None else Archive(url, group, key, interval_s, origin)
