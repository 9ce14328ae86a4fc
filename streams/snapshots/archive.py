"""Snapshots as files, at any fsspec URL: `RIVERRUN_ARCHIVE`.

    <url>/<group>/<partition>/<entry>-<unix seconds>-<definition>.snapshot

Each is whole and signed. They start recovery where Redis was lost, start verification near what is
asked for, and reach back past the topics' retention. Kept: all of the last `ALL_S`, then the newest
of each day for `DAILY_S`, and in any case the newest `LEAST` and, once there was another, the first
of each definition: what ran before it may be beyond proof here, and what came after starts there. A
file that is cut off is found out when it is read, and passed over.
"""

from __future__ import annotations

import mmap
import re
import tempfile
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import fsspec

from models.task import PartitionTask
from schemas.errors import Misdeclared
from streams.snapshots.parts import check_fits, restore
from streams.snapshots.sealed import Header, Reader, Unusable, checked, opened
from streams.snapshots.threads import awaited
from streams.unpickling import Allowed

ALL_S = 24 * 3_600.0
DAILY_S = 90 * 86_400.0
LEAST = 3
_CHUNK = 8 << 20
_NAME = re.compile(r"(\d{20})-(\d+)-([0-9a-zA-Z_]+)\.snapshot$")


class Kept(NamedTuple):
    """One archived snapshot, as its name says; only its header is to be believed."""

    seq: int
    written_s: float
    definition: str
    partition: int
    path: str


Found = list[Kept]


class Archive:
    """The archived snapshots of one group. What file systems raise is passed on.

    `due` and `done` are the loop's, all else blocks.
    """

    def __init__(self, url: str, group: str, key: bytes, interval_s: float) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise Misdeclared(
                f"RIVERRUN_ARCHIVE cannot be opened: {error}.",
                mend="Give an fsspec URL, and install the package that it needs.",
            ) from error
        self._root = f"{root.rstrip('/')}/{group}"
        self._key = key
        self._interval_s = interval_s
        self._written_s: dict[int, float] = {}

    # When.

    def due(self, partition: int) -> bool:
        """Whether the next snapshot is to be archived."""
        return time.time() >= self._written_s.get(partition, 0.0) + self._interval_s

    def done(self, partition: int) -> float:
        """It was; gives the time."""
        self._written_s[partition] = time.time()
        return self._written_s[partition]

    # What there is.

    def list(self) -> Found:
        """All of the group, by partition, the newest entry first."""
        if not self._files.exists(self._root):
            return []
        numbers = sorted(
            int(name)
            for path in self._files.ls(self._root, detail=False)
            if (name := path.rstrip("/").rpartition("/")[2]).isdigit()
        )
        return [kept for number in numbers for kept in self.of(number)]

    def of(self, partition: int) -> Found:
        """Those of a partition, the newest entry first."""
        folder = f"{self._root}/{partition}"
        self._files.invalidate_cache(folder)
        if not self._files.exists(folder):
            return []
        found = []
        for path in self._files.ls(folder, detail=False):
            if name := _NAME.search(path):
                seq, written, definition = name.groups()
                found.append(Kept(int(seq), float(written), definition, partition, path))
        found.sort(reverse=True)
        if found:
            newest = max(kept.written_s for kept in found)
            self._written_s[partition] = max(self._written_s.get(partition, 0.0), newest)
        return found

    def newest(
        self, partition: int, not_after_seq: int | None = None, definition: str | None = None
    ) -> Kept | None:
        """The newest one, of at most so many closed entries; None if there is none."""
        for kept in self.of(partition):
            if not_after_seq is not None and kept.seq > not_after_seq:
                continue
            if definition is None or kept.definition == definition:
                return kept
        return None

    # In and out.

    def put(self, header: Header, data: Any) -> str:
        """Write one, and drop what is not kept any longer; gives its path."""
        folder = f"{self._root}/{header.partition}"
        name = f"{header.seq:020d}-{int(header.written_s)}-{header.definition}.snapshot"
        self._files.makedirs(folder, exist_ok=True)
        with memoryview(data) as view, self._files.open(f"{folder}/{name}", "wb") as file:
            for start in range(0, len(view), _CHUNK):
                with view[start : start + _CHUNK] as chunk:
                    file.write(chunk)
        for kept in outlived(self.of(header.partition), time.time()):
            self._files.rm_file(kept.path)
        return f"{folder}/{name}"

    def header(self, kept: Kept) -> Header:
        """What one says of itself; raises `Unusable`."""
        with tempfile.NamedTemporaryFile() as file:
            self._files.get_file(kept.path, file.name)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return opened(Reader(bytes(data)).signed, self._key)

    def restore(self, kept: Kept, task: PartitionTask, allowed: Allowed) -> None:
        """Put one into a fresh task; raises `Unusable`, and the task is then of no use."""
        with tempfile.NamedTemporaryFile() as file:
            self._files.get_file(kept.path, file.name)
            data = file.read()
        reader = Reader(data)
        header = opened(reader.signed, self._key)
        check_fits(header, task)
        restore(
            header, lambda name: checked(header, name, [reader.blob(header, name)]), task, allowed
        )

    async def near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        """deriving.Starts: the newest usable one of at most `seq` entries; else `fresh` itself."""
        return await awaited(lambda: self._near(fresh, seq))

    def _near(self, fresh: PartitionTask, seq: int) -> PartitionTask:
        use_case = fresh.use_case
        allowed = Allowed(use_case.models.values(), use_case.event.__module__)
        for kept in self.of(fresh.partition):
            if kept.seq > seq or kept.definition != fresh.definition:
                continue
            task = fresh.anew()
            try:
                self.restore(kept, task, allowed)
            except Unusable:
                continue
            task.ledger.changed = None
            return task
        return fresh


def outlived(kept: Iterable[Kept], now_s: float) -> list[Kept]:
    """Those of one partition that are not kept any longer."""
    newest_first = sorted(kept, reverse=True)
    begun = {found.definition: found.path for found in newest_first}  # the oldest of each
    days: set[int] = set()
    gone = []
    for place, found in enumerate(newest_first):
        age_s, day = now_s - found.written_s, int(found.written_s // 86_400)
        if begun[found.definition] == found.path and len(begun) > 1:
            continue
        if place >= LEAST and age_s > ALL_S and (age_s > DAILY_S or day in days):
            gone.append(found)
        else:
            days.add(day)
    return gone


def archive_of(url: str | None, group: str, key: bytes, interval_s: float) -> Archive | None:
    """The archive that is set, or None."""
    return None if url is None else Archive(url, group, key, interval_s)
